"""An experiment: configuration, data and model joined into an inverse problem."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from caliche.data.companions import add_companions
from caliche.data.gaps import fill_short_gaps, first_from_second
from caliche.data.locate import find_data
from caliche.data.longwave import derive_incoming_longwave
from caliche.data.merge import merge_sources
from caliche.data.open import open_source
from caliche.data.site import derive_surface_temperature, select_window
from caliche.errors import InputError, nearest
from caliche.estimation.hyperparameters import Hyperparameters, Unknown, with_hyperparameters
from caliche.experiments import twin
from caliche.experiments.config.emulated import exact_config
from caliche.experiments.config.read import config_from_dict, read_config
from caliche.experiments.config.tables import ExperimentConfig
from caliche.experiments.error_model import stream_sigma, with_error_model
from caliche.experiments.models import build_model, refuse_untrained
from caliche.experiments.space import make_nuisances, make_space, true_parameters
from caliche.models.base import Model, ParameterDeclaration
from caliche.models.lad.fluxes import FluxLaw
from caliche.names import without_knot
from caliche.observations import Nuisance, Observations, Stream, make_operator
from caliche.parameters import ParameterSpace
from caliche.problems.inverse import InverseProblem
from caliche.variables import stream_name, variable
from caliche.wording import number_of

BOTTOM = "bottom_temperature"  # the forcing that a measured bottom follows


def load_experiment(experiment: str | Path, overrides: Sequence[str] = ()) -> Experiment:
    """Experiment of a bundled name or a TOML path.

    Parameters
    ----------
    overrides : `key=value` in TOML syntax, such as `parameters.albedo.value=0.2`.

    Raises
    ------
    InputError : a configuration that cannot be.
    """
    return Experiment(read_config(experiment, overrides))


@dataclass(frozen=True)
class Experiment:
    """A configured experiment; data are read when first needed.

    `problem()` is the inverse problem of the fitted window with its fitted streams;
    `scoring_problem()` runs on through the hold-out and sees every observed stream. `found` holds
    hyperparameters that were estimated before; None leaves what is unknown at its first guess.
    `fluxes` is a law of the turbulent fluxes that was learned.
    """

    config: ExperimentConfig
    found: Hyperparameters | None = None
    fluxes: FluxLaw | None = None

    @classmethod
    def from_dict(
        cls,
        config: Mapping[str, Any],
        data: Any = None,
        name: str = "experiment",
        folder: Path | None = None,
    ) -> Experiment:
        """The experiment of a table such as a TOML file holds.

        Parameters
        ----------
        config : tables within tables, `extends` included; tuples and numpy values are welcome.
        data : in place of files: a pandas DataFrame or xarray Dataset for the only source, or
            a mapping of such by the names of sources. Its source says `time` and `columns` as for
            a file with format = "table", and needs no path.
        name : of the experiment, unless the table has one.
        folder : that relative paths begin from; the current one without it.

        Raises
        ------
        InputError : a configuration that cannot be, or data of no source.
        """
        return cls(config_from_dict(config, data, name, folder))

    def calibrated(self, found: Hyperparameters | None) -> Experiment:
        """The experiment with its unknown hyperparameters as they were found."""
        if found is None:
            return self
        return self._with(("_tower", "dataset", "model"), found=found)

    def with_fluxes(self, law: FluxLaw) -> Experiment:
        """The experiment with this law of the turbulent fluxes in its model."""
        return self._with(("_tower", "dataset"), fluxes=law)

    def _with(self, known: Sequence[str], **changed: Any) -> Experiment:
        """The experiment changed, with what need not be read or built again."""
        other = dataclasses.replace(self, **changed)
        other.__dict__.update(
            {name: self.__dict__[name] for name in known if name in self.__dict__}
        )
        return other

    @functools.cached_property
    def model(self) -> Model:
        """The model, with the observed initial profile where that is asked for."""
        values = [self._initial_observation(name) for name in self.initial_streams]
        return self._model(jnp.asarray(values) if values else None)

    def _model(self, initial_values: Array | None) -> Model:
        model = build_model(self.config, initial_values)
        if self.fluxes is None:
            return model
        return eqx.tree_at(lambda m: m.fluxes, model, self.fluxes, is_leaf=lambda x: x is None)

    @functools.cached_property
    def exact(self) -> Experiment | None:
        """The experiment with the model that an emulated column stands for; None without one."""
        config = exact_config(self.config)
        return None if config is None else dataclasses.replace(self, config=config)

    @functools.cached_property
    def nuisances(self) -> tuple[Nuisance, ...]:
        """What may be wrong with the observations."""
        return make_nuisances(self.config.nuisances)

    @functools.cached_property
    def _tower(self) -> xr.Dataset:
        """Forcing on the window; with the observations too, unless this is a twin."""
        c = self.config
        if self.exact is not None:
            return self.exact._tower
        if c.synthetic is not None:
            return twin.synthetic_forcing(c.window, c.synthetic.forcing)
        opened = []
        for source in c.sources.values():
            if source.data is None:
                path = find_data(source.path, c.folder)
                source = dataclasses.replace(source, path=path)
            opened.append(open_source(source))
        merged = merge_sources(opened)
        if c.derive_incoming_longwave is not None:
            merged = derive_incoming_longwave(merged, c.derive_incoming_longwave)
        if c.derive_surface_temperature is not None:
            merged = derive_surface_temperature(merged, *c.derive_surface_temperature)
        streams = dict.fromkeys([*c.observations, *self.initial_streams, *self._sigma_columns()])
        forcing = [*self._forcing_names(), *self._bottom_streams()]
        if c.window.fill_gaps:
            merged = fill_short_gaps(merged, forcing, c.window.fill_gaps)
        window = select_window(
            merged,
            c.window.start - self._spin_up,
            c.window.end,
            c.window.time_step,
            forcing,
            list(streams),
            c.window.resample,
        )
        return add_companions(window, merged, c.window.resample)

    @functools.cached_property
    def dataset(self) -> xr.Dataset:
        """Forcing and observations on the times of the window, SI, NaN where missing."""
        synthetic = self.config.synthetic
        if self.exact is not None:  # the truth of a twin is the model's, not the network's
            return self.exact.dataset
        if synthetic is None:
            return self._observed_from_start(self._tower)
        self._known(synthetic.truth, "synthetic.truth")
        params = true_parameters(self.space, synthetic.truth)
        names = list(self.config.observations)
        n_time = len(self._tower.time)
        problem = self._problem(self._tower, names, n_time, self.space, observed=False)
        perfect = np.asarray(_predict(problem, params))
        series = {name: perfect[:, k] for k, name in enumerate(names)}
        streams = self.config.observations
        return self._observed_from_start(
            twin.with_observations(self._tower, series, streams, synthetic)
        )

    @property
    def truth(self) -> Mapping[str, float] | None:
        """The known parameters of a twin, and known values at the knots of those that vary."""
        if self.config.synthetic is None:
            return None
        found: dict[str, float] = {}
        for name, value in self.config.synthetic.truth.items():
            knots = [n for n in self.space.names if without_knot(n) == name]
            if isinstance(value, tuple):
                found |= dict(zip(knots, value, strict=True))
            else:
                found |= dict.fromkeys(knots or [name], value)
        return found

    def _observed_from_start(self, dataset: xr.Dataset) -> xr.Dataset:
        """The dataset without observations of the spin-up."""
        if not self.config.window.spin_up:
            return dataset
        before = dataset.time.values < self.config.window.start
        blank = {
            name: dataset[name].where(~xr.DataArray(before, dims="time"))
            for name in self.config.observations
            if name not in self.forcing_sources.values()
        }
        return dataset.assign(blank)

    @property
    def _spin_up(self) -> np.timedelta64:
        return np.timedelta64(round(self.config.window.spin_up), "s")

    @functools.cached_property
    def _times(self) -> np.ndarray:
        """Times (UTC) of the run, spin-up and hold-out included."""
        w = self.config.window
        if np.isnat(w.start):
            return np.array([], w.start.dtype)
        step = np.timedelta64(round(w.time_step * 1e9), "ns")
        return np.arange(w.start - self._spin_up, w.end + step // 2, step)

    @property
    def n_fit(self) -> int:
        """Number of times that belong to the fit, the initial one included."""
        return int((self.dataset.time.values <= self.config.window.fit_until).sum())

    @functools.cached_property
    def space(self) -> ParameterSpace:
        """Free and fixed parameters."""
        c = self.config
        nuisances = {name: n.parameter for name, n in c.nuisances.items()}
        return make_space(
            self._declarations,
            {**c.parameters, **nuisances},
            self._times,
            c.utc_offset,
            c.prior_correlations,
        )

    @property
    def unknown(self) -> Unknown:
        """Hyperparameters that are to be estimated from the fitted streams."""
        c = self.config
        if self.found is not None:
            return Unknown()
        streams = [(n, c.observations[n]) for n in self.fitted_streams]
        varying = [(n, p.variation) for n, p in c.parameters.items() if p.variation is not None]
        return Unknown(
            tuple(n for n, variation in varying if variation.smoothness is None),
            tuple(n for n, o in streams if o.estimate_sigma),
            tuple(n for n, o in streams if o.estimate_autocorrelation),
            "weights" if c.weights == "information" else "bars",
        )

    def problem(self) -> InverseProblem:
        """The inverse problem: fitted streams within the fitted window."""
        return self._problem(self.dataset, self.fitted_streams, self.n_fit, self.space)

    @property
    def fitted_streams(self) -> list[str]:
        """Streams that are fitted."""
        return [name for name, o in self.config.observations.items() if o.fit]

    def blank_problem(self, n_time: int) -> InverseProblem:
        """The problem of no site in particular, of so many times: zeros for data, none fitted.

        A flux without an average is compared over the last step.
        """
        c, names = self.config, self.fitted_streams
        refuse_untrained(c, self.fluxes)
        special = any(c.observations[n].special for n in names)
        varied = self.space.variations or self.space.correlation is not None
        if special or self.nuisances or c.model.period or varied:
            raise InputError(
                "constant parameters, and independent errors and priors of known size, with many "
                "sites",
                "nuisances, a periodic spin-up, parameters that vary, correlated priors "
                "or errors of another kind",
                "leave them out, or estimate such sites one by one with caliche estimate",
            )
        model = self._model(jnp.zeros(len(self.initial_streams)) if self.initial_streams else None)
        forcing = {name: jnp.zeros(n_time) for name in self.forcing_sources}
        shape = (n_time, len(names))
        sigma = jnp.asarray([c.observations[name].sigma for name in names])
        observations = Observations(jnp.zeros(shape), jnp.zeros(shape, bool), sigma)
        streams = [self._instant(name) for name in names]
        operator = make_operator(model, streams, self.nuisances, self.config.window.time_step)
        return InverseProblem(
            model, forcing, operator, observations, self.space, self._period_steps
        )

    def scoring_problem(self, n_time: int | None = None) -> InverseProblem:
        """Every observed stream that the model computes, over fit and hold-out or so many times."""
        n_time = len(self.dataset.time) if n_time is None else n_time
        return self._problem(self.dataset, self.scored_streams, n_time, self.space)

    @functools.cached_property
    def scored_streams(self) -> list[str]:
        """Observed streams that the model can be compared with."""
        return [n for n, o in self.config.observations.items() if o.fit or self._computes(n)]

    # -- parts --------------------------------------------------------------------------------

    def _computes(self, stream: str) -> bool:
        return variable(stream).name in self.model.diagnostics

    def _problem(
        self,
        dataset: xr.Dataset,
        names: Sequence[str],
        n_time: int,
        space: ParameterSpace,
        observed: bool = True,
    ) -> InverseProblem:
        refuse_untrained(self.config, self.fluxes)
        time_step = self.config.window.time_step
        streams = [Stream(n, self._steps(dataset, n, time_step)) for n in names]
        operator = make_operator(self.model, streams, self.nuisances, time_step)
        forcing = {
            name: jnp.asarray(first_from_second(dataset[source].values[:n_time]))
            for name, source in self.forcing_sources.items()
        }
        series = {
            name: dataset[name].values[:n_time] if observed else np.zeros(n_time) for name in names
        }
        configs = [self.config.observations[n] for n in names]
        errors = {
            n: stream_sigma(dataset, n, c, n_time) for n, c in zip(names, configs, strict=True)
        }
        observations = with_error_model(Observations.from_series(series, errors), configs)
        problem = InverseProblem(
            self.model, forcing, operator, observations, space.until(n_time), self._period_steps
        )
        return problem if self.found is None else with_hyperparameters(problem, self.found)

    def _sigma_columns(self) -> list[str]:
        """Streams that hold the error of each value of another."""
        observations = self.config.observations.items()
        return [f"{name}_sigma" for name, o in observations if o.sigma_from_data]

    @property
    def _period_steps(self) -> int:
        period, step = self.config.model.period, self.config.window.time_step
        if period is None:
            return 0
        steps = round(period / step)
        if steps < 1 or abs(steps * step - period) > 1e-6:
            raise InputError(
                f"spin_up_period_days of a whole number of time steps of {step:g} s",
                number_of(period / 86400.0, "day"),
                "spin_up_period_days = 1.0",
            )
        return steps

    def _steps(self, dataset: xr.Dataset, name: str, time_step: float) -> int:
        """Steps over which a stream is averaged; 0 for a state at the instant of its stamp."""
        average = self.config.observations[name].average
        if average is None and name in dataset:  # the reader may know: a week's mean
            average = dataset[name].attrs.get("mean_over")
        if average is None:
            if variable(name).is_state or self.config.synthetic is not None:
                return 0
            # A value sampled from a finer file is compared with the mean of the model's step.
            average = max(time_step, float(dataset[name].attrs.get("interval", time_step)))
        steps = round(average / time_step)
        if steps < 1 or abs(steps * time_step - average) > 1e-6:
            raise InputError(
                f"average of {name} to be a whole number of time steps of {time_step:g} s",
                f"{average:g} s",
                "shorten time_step, or leave average out",
            )
        return steps

    def _instant(self, name: str) -> Stream:
        """A fitted stream among many sites; a flux's mean over one step is what its end shows."""
        average, step = self.config.observations[name].average, self.config.window.time_step
        if average is None or (average == step and not variable(name).is_state):
            return Stream(name)
        raise InputError(
            f"{name} compared at the instant or over one step, when there are many sites",
            f"average = {average:g} s",
            "leave average out of that stream",
        )

    def _forcing_names(self) -> list[str]:
        names = self._model(None).forcing_variables
        return [name for name in names if name != BOTTOM]

    def _bottom_streams(self) -> list[str]:
        stream = self.config.model.bottom_stream
        return [] if stream is None else [stream]

    @property
    def forcing_sources(self) -> dict[str, str]:
        """Forcing of the model -> the stream that it comes from."""
        sources = {name: name for name in self._forcing_names()}
        for stream in self._bottom_streams():
            sources[BOTTOM] = stream
        return sources

    @property
    def initial_streams(self) -> list[str]:
        """Streams whose first values are the profile that the model starts from."""
        c = self.config.model
        if c.initial != "observed":
            return []
        return [stream_name("soil_temperature", depth) for depth in c.initial_depths]

    def _initial_observation(self, name: str) -> float:
        value = float(self._tower[name].values[0])
        if not np.isfinite(value):
            raise InputError(
                f"an observation of {name} at the start of the window",
                "none",
                "move the start, or set initial = 'estimated'",
            )
        return value

    def _known(self, values: Mapping[str, Any], where: str) -> None:
        """Refuse values of parameters that do not exist."""
        known = [d.name for d in self._declarations]
        for name in values:
            if name not in known:
                text = f"a parameter of the model in [{where}]"
                raise InputError(text, repr(name), nearest(name, known))

    @property
    def _declarations(self) -> tuple[ParameterDeclaration, ...]:
        """Parameters of the model, which need no data, and nuisances."""
        return (*self._model(None).declarations, *(n.declaration for n in self.nuisances))


@jax.jit
def _predict(problem: InverseProblem, params: dict[str, Array]) -> Array:
    return problem.predict(params)
