"""The towers of a CalLMIP entry: experiments, days that are kept back, and outputs by day."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from caliche.callmip.weather import DailyWeather, weather_by_day
from caliche.callmip.write import water_above
from caliche.commands.callmip.config import Entry
from caliche.commands.callmip.prepare import FEWEST, FITTED
from caliche.data.callmip_flux import DAY, LATENT, SENSIBLE, read_daily_fluxes
from caliche.data.callmip_sites import CALIBRATION, CallmipSite
from caliche.data.gaps import first_from_second
from caliche.data.humidity import relative_humidity
from caliche.data.locate import find_data
from caliche.errors import InputError
from caliche.estimation.information import with_information
from caliche.experiments.config.read import read_config
from caliche.experiments.experiment import Experiment
from caliche.observations import Observations, Stream, make_operator
from caliche.problems.inverse import InverseProblem
from caliche.variables import stream_name, variable
from caliche.wording import listing, number_of

# Output variable -> the stream that it is the daily mean of, where the model computes it.
OUTPUTS = {
    "hfls": LATENT,
    "hfss": SENSIBLE,
    "hfg": stream_name("ground_heat_flux", 0.0),
    "ts": "surface_temperature",
}
STORES = ("root_zone_water", "groundwater")  # kg m-2, whose sum is mrso
UPPER = 0.1  # m, of mrsos
COMMENTS = {
    "mrso": "water of the root zone above the wilting point, and groundwater",
    "mrsos": "water of the root zone above the wilting point, the zone cut exactly at 0.1 m",
    "ts": "one temperature of the surface, bare, vegetated or under snow",
}


@dataclass(frozen=True)
class Tower:
    """One tower of an entry.

    site : its row in the table.  experiment : with the streams that are observed here.
    fitted : streams that are calibrated.  scored_only : streams with too few days for that.
    """

    site: CallmipSite
    experiment: Experiment
    fitted: tuple[str, ...]
    scored_only: tuple[str, ...]
    every: int | None
    block: int

    @property
    def calibrates(self) -> bool:
        """Whether the calibration sees it."""
        return bool(self.fitted)

    @property
    def steps(self) -> int:
        """Steps of the model in a day."""
        return round(DAY / self.experiment.config.window.time_step)

    @functools.cached_property
    def days(self) -> np.ndarray:
        """The local day (time + 1,) that ends at each time; NaT where none does."""
        times = self.experiment.dataset["time"].values.astype("datetime64[ns]")
        local = times + np.timedelta64(round(self.site.utc_offset * 3600), "s")
        midnight = local.astype("datetime64[D]")
        day = midnight - np.timedelta64(1, "D")
        return np.where(local == midnight, day, np.datetime64("NaT"))

    @functools.cached_property
    def held(self) -> np.ndarray:
        """Whether the day that ends at a time (time + 1,) is kept from the calibration."""
        known = ~np.isnat(self.days)
        found = np.zeros(len(self.days), bool)
        if self.every is not None and known.any():
            first = self.days[known][0]
            block = (self.days[known] - first).astype(int) // self.block
            found[known] = block % self.every == self.every - 1
        return found

    @property
    def rows(self) -> np.ndarray:
        """Times at which a whole local day of the model ends."""
        whole = np.arange(len(self.days)) >= self.steps
        record = self.site.days
        inside = (self.days >= record[0]) & (self.days <= record[-1])
        return np.flatnonzero(~np.isnat(self.days) & whole & inside)

    def problem(self) -> InverseProblem:
        """Its fitted streams, without the days that are kept back."""
        problem = self.experiment.problem()
        kept = jnp.asarray(~self.held[: problem.observations.mask.shape[0], None])
        mask = problem.observations.mask & kept
        problem = dataclasses.replace(
            problem, observations=dataclasses.replace(problem.observations, mask=mask)
        )
        return with_information(problem, None)  # as it is fitted, so that one program serves all

    def outputs(self, u: np.ndarray) -> dict[str, np.ndarray]:
        """The protocol's variables that the model has, by day (of `rows`), at a control vector."""
        problem = self._output_problem
        made = np.asarray(_forward(problem, jnp.asarray(u)))[self.rows]
        streams = [stream.name for stream in problem.operator.streams]
        series = {name: made[:, k] for k, name in enumerate(streams)}
        found = {name: series[s] for name, s in OUTPUTS.items() if s in series}
        stores = [series[s] for s in STORES if s in series]
        if stores:
            found["mrso"] = np.sum(stores, axis=0)
            params = problem.space.to_physical(jnp.asarray(u))
            derived = problem.model.derived(params)
            if STORES[0] in series and "rooting_depth" in derived:
                depth = np.array([float(derived["rooting_depth"])])
                found["mrsos"] = water_above(UPPER, depth, series[STORES[0]][:, None])
        return found

    @property
    def outputs_had(self) -> set[str]:
        """Names of the protocol's variables that `outputs` gives."""
        has = {variable(name).name for name in self._output_problem.stream_names}
        found = {name for name, stream in OUTPUTS.items() if variable(stream).name in has}
        if has & set(STORES):
            found.add("mrso")
        return found | ({"mrsos"} if STORES[0] in has else set())

    @functools.cached_property
    def _output_problem(self) -> InverseProblem:
        """Everything that the protocol asks for and the model has, as means of days."""
        wanted = [*OUTPUTS.values(), *STORES]
        return self.without_observations(wanted)

    def without_observations(self, names: list[str]) -> InverseProblem:
        """A problem with nothing observed, of those streams that the model has."""
        e = self.experiment
        has = [name for name in names if variable(name).name in e.model.diagnostics]
        step = e.config.window.time_step
        streams = [Stream(name, self.steps) for name in has]
        operator = make_operator(e.model, streams, e.nuisances, step)
        forcing = {
            name: jnp.asarray(first_from_second(e.dataset[source].values))
            for name, source in e.forcing_sources.items()
        }
        shape = (len(e.dataset.time), len(has))
        nothing = Observations(jnp.zeros(shape), jnp.zeros(shape, bool), jnp.ones(shape))
        problem = InverseProblem(e.model, forcing, operator, nothing, e.space.until(shape[0]))
        return with_information(problem, None)

    def weather(self) -> DailyWeather | None:
        """Its weather by day, for regressions; None without humidity or pressure."""
        data = self.experiment.dataset
        names = ("incoming_shortwave", "air_temperature", "specific_humidity", "air_pressure")
        if not all(name in data for name in names):
            return None
        sun, air, humidity, pressure = (data[name].values[1:] for name in names)
        return weather_by_day(
            data["time"].values[1:],
            self.experiment.config.window.time_step,
            self.site.utc_offset,
            sun,
            air,
            relative_humidity(humidity, pressure, air),
        )


_forward = jax.jit(InverseProblem.forward)


def open_towers(entry: Entry) -> tuple[Tower, ...]:
    """Every tower of an entry, its data read.

    Raises
    ------
    InputError : an experiment that cannot be, named with its tower; no tower left to calibrate on.
    """
    hold = entry.table.hold_out
    every, block = (None, 1) if hold is None else (hold.every, hold.days)
    towers = []
    for code, site in entry.towers.items():
        path = entry.folder / entry.table.sites[code].experiment
        config = read_config(str(path))
        wanted = [FITTED[name] for name in entry.variables]
        observations: dict[str, Any] = {}
        few = []
        if site.role == CALIBRATION:  # at others fluxes are withheld, whatever files are at hand
            counted = _days_with(config, code)
            for stream, said in config.observations.items():
                enough = counted.get(stream, 0) >= FEWEST
                fit = said.fit and stream in wanted and enough
                if said.fit and stream in wanted and not enough:
                    few.append(stream)
                if counted.get(stream, 0):
                    observations[stream] = dataclasses.replace(
                        said, fit=fit, estimate_sigma=said.estimate_sigma and fit
                    )
        fitted = tuple(name for name, o in observations.items() if o.fit)
        config = dataclasses.replace(config, observations=observations)
        towers.append(Tower(site, Experiment(config), fitted, tuple(few), every, block))
    if not any(tower.calibrates for tower in towers):
        raise InputError(
            f"a tower with {number_of(FEWEST, 'day')} or more of a flux to calibrate on",
            listing(entry.calibrating),
            "add a tower, or lengthen the window of its experiment",
        )
    return tuple(towers)


def _days_with(config: Any, code: str) -> dict[str, int]:
    """Days of each daily flux within the window of a configuration."""
    found: dict[str, int] = {}
    for source in config.sources.values():
        if source.format == "callmip":
            fluxes = read_daily_fluxes(find_data(source.path, config.folder))
            if fluxes.site != code:
                raise InputError(
                    f"the flux file of {code} in its experiment",
                    f"{source.path.name}, of {fluxes.site}",
                    "correct its path",
                )
            shift = np.timedelta64(round(config.utc_offset * 3600), "s")
            ends = (config.window.start, config.window.end)
            first, last = ((t + shift).astype("datetime64[D]") for t in ends)
            inside = (fluxes.days >= first) & (fluxes.days < last)
            for flux, values in fluxes.values.items():
                found[flux] = int((np.isfinite(values) & inside).sum())
    return found
