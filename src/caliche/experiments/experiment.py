"""An experiment: configuration, data and model joined into an inverse problem."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from caliche.data.locate import find_data
from caliche.data.site import derive_surface_temperature, merge_sources, select_window
from caliche.data.source import open_source
from caliche.errors import InputError, nearest
from caliche.experiments import twin
from caliche.experiments.config import ExperimentConfig, ParameterConfig, read_config
from caliche.inverse_problem import InverseProblem
from caliche.models import SoilHeat
from caliche.models.base import ParameterDeclaration
from caliche.models.closures import CLOSURES, TurbulentClosure, monin_obukhov
from caliche.observations import Observations, Stream, make_operator
from caliche.parameters import FreeParameter, ParameterSpace
from caliche.parameters.priors import PRIORS, Flat, Prior
from caliche.variables import stream_name, variable

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
    `scoring_problem()` runs on through the hold-out and sees every observed stream.
    """

    config: ExperimentConfig

    @functools.cached_property
    def model(self) -> SoilHeat:
        """The model, with the observed initial profile where that is asked for."""
        values = [self._initial_observation(name) for name in self.initial_streams]
        return self._model(jnp.asarray(values) if values else None)

    def _model(self, initial_values: Array | None) -> SoilHeat:
        c = self.config.model
        return SoilHeat(
            node_depths=c.node_depths,
            time_step=self.config.window.time_step,
            scheme=c.scheme,  # type: ignore[arg-type]
            turbulence=self._closure,
            longwave=c.longwave,  # type: ignore[arg-type]
            bottom=c.bottom,  # type: ignore[arg-type]
            initial=c.initial,  # type: ignore[arg-type]
            initial_depths=c.initial_depths,
            initial_values=initial_values,
            layer_bottoms=c.layer_bottoms,
            initial_interpolation=c.initial_interpolation,  # type: ignore[arg-type]
            moisture=c.moisture,  # type: ignore[arg-type]
        )

    @property
    def _closure(self) -> TurbulentClosure:
        c = self.config.model
        if c.measurement_height is not None:
            return monin_obukhov(c.measurement_height)
        return CLOSURES[c.turbulence]

    @functools.cached_property
    def _tower(self) -> xr.Dataset:
        """Forcing on the window; with the observations too, unless this is a twin."""
        c = self.config
        if c.synthetic is not None:
            return twin.synthetic_forcing(c.window)
        opened = []
        for source in c.sources.values():
            path = find_data(source.path, c.folder)
            opened.append(open_source(type(source)(**{**vars(source), "path": path})))
        merged = merge_sources(opened)
        if c.derive_surface_temperature is not None:
            merged = derive_surface_temperature(merged, *c.derive_surface_temperature)
        streams = dict.fromkeys([*c.observations, *self.initial_streams])
        return select_window(
            merged, c.window.start, c.window.end, c.window.time_step,
            [*self._forcing_names(), *self._bottom_streams()],
            list(streams), c.window.resample,
        )  # fmt: skip

    @functools.cached_property
    def dataset(self) -> xr.Dataset:
        """Forcing and observations on the times of the window, SI, NaN where missing."""
        synthetic = self.config.synthetic
        if synthetic is None:
            return self._tower
        space = self._space(self._known(synthetic.truth, "synthetic.truth"))
        params = {name: jnp.asarray(value) for name, value in space.fixed.items()}
        params |= {p.name: jnp.asarray(p.initial) for p in space.free}
        params |= {name: jnp.asarray(value) for name, value in synthetic.truth.items()}
        names = list(self.config.observations)
        problem = self._problem(self._tower, names, len(self._tower.time), space, observed=False)
        perfect = np.asarray(_predict(problem, params))
        series = {name: perfect[:, k] for k, name in enumerate(names)}
        sigma = {name: o.sigma for name, o in self.config.observations.items()}
        return twin.with_observations(self._tower, series, sigma, synthetic)

    @property
    def truth(self) -> Mapping[str, float] | None:
        """The known parameters of a twin."""
        return None if self.config.synthetic is None else self.config.synthetic.truth

    @property
    def n_fit(self) -> int:
        """Number of times that belong to the fit, the initial one included."""
        return int((self.dataset.time.values <= self.config.window.fit_until).sum())

    @functools.cached_property
    def space(self) -> ParameterSpace:
        """Free and fixed parameters."""
        return self._space(self.config.parameters)

    def problem(self) -> InverseProblem:
        """The inverse problem: fitted streams within the fitted window."""
        return self._problem(self.dataset, self.fitted_streams, self.n_fit, self.space)

    @property
    def fitted_streams(self) -> list[str]:
        """Names of the streams that are fitted."""
        return [name for name, o in self.config.observations.items() if o.fit]

    def blank_problem(self, n_time: int) -> InverseProblem:
        """The problem of no site in particular, of so many times: zeros for data, none fitted.

        A flux without an average is compared over the last step.
        """
        model = self._model(jnp.zeros(len(self.initial_streams)) if self.initial_streams else None)
        c, names = self.config, self.fitted_streams
        forcing = {name: jnp.zeros(n_time) for name in self.forcing_sources}
        shape = (n_time, len(names))
        sigma = jnp.asarray([c.observations[name].sigma for name in names])
        observations = Observations(jnp.zeros(shape), jnp.zeros(shape, bool), sigma)
        operator = make_operator(model, [self._instant(name) for name in names])
        return InverseProblem(model, forcing, operator, observations, self.space)

    def scoring_problem(self) -> InverseProblem:
        """Every observed stream that the model computes, over fit and hold-out."""
        computed = self.scored_streams
        return self._problem(self.dataset, computed, len(self.dataset.time), self.space)

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
        time_step = self.config.window.time_step
        streams = [Stream(n, self._steps(dataset, n, time_step)) for n in names]
        operator = make_operator(self.model, streams)
        forcing = {
            name: jnp.asarray(_first_from_second(dataset[source].values[:n_time]))
            for name, source in self.forcing_sources.items()
        }
        series = {
            name: dataset[name].values[:n_time] if observed else np.zeros(n_time) for name in names
        }
        sigma = {n: self.config.observations[n].sigma or 1.0 for n in names}
        return InverseProblem(
            self.model, forcing, operator, Observations.from_series(series, sigma), space
        )

    def _steps(self, dataset: xr.Dataset, name: str, time_step: float) -> int:
        """Steps over which a stream is averaged; 0 for a state at the instant of its stamp."""
        average = self.config.observations[name].average
        if average is None:
            if variable(name).is_state or self.config.synthetic is not None:
                return 0
            # A value sampled from a finer file is compared with the mean of the model's step.
            average = max(time_step, float(dataset[name].attrs.get("interval", time_step)))
        steps = round(average / time_step)
        if steps < 1 or abs(steps * time_step - average) > 1e-6:
            raise InputError(
                f"average of {name} to be a whole number of time steps of {time_step:g} s",
                f"{average:g} s", "shorten time_step, or leave average out",
            )  # fmt: skip
        return steps

    def _instant(self, name: str) -> Stream:
        """A fitted stream among many sites; a flux's mean over one step is what its end shows."""
        average, step = self.config.observations[name].average, self.config.window.time_step
        if average is None or (average == step and not variable(name).is_state):
            return Stream(name)
        raise InputError(
            f"{name} compared at the instant or over one step, when there are many sites",
            f"average = {average:g} s", "leave average out of that stream",
        )  # fmt: skip

    def _forcing_names(self) -> list[str]:
        names = ["incoming_shortwave", "incoming_longwave", *self._closure.forcing_variables]
        return [*names, "precipitation"] if self.config.model.moisture == "bucket" else names

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
                f"an observation of {name} at the start of the window", "none",
                "move the start, or set initial = 'estimated'",
            )  # fmt: skip
        return value

    def _known(self, values: Mapping[str, float], where: str) -> dict[str, ParameterConfig]:
        """Configuration that fixes parameters at the truth, after checking the names."""
        known = [d.name for d in self.model.declarations]
        for name in values:
            if name not in known:
                raise InputError(
                    f"a parameter of the model in [{where}]", repr(name), nearest(name, known)
                )
        return dict(self.config.parameters)

    def _space(self, parameters: Mapping[str, ParameterConfig]) -> ParameterSpace:
        declarations = self._model(None).declarations  # which need no data
        declared = {d.name: d for d in declarations}
        free, fixed = {}, {}
        for name, config in parameters.items():
            if name not in declared:
                raise InputError("a parameter of the model", repr(name), nearest(name, declared))
            declaration = declared[name]
            if config.fixed:
                fixed[name] = _guess(declaration, config)
            else:
                free[name] = _free(declaration, config)
        return ParameterSpace.build(declarations, free, fixed)


@jax.jit
def _predict(problem: InverseProblem, params: dict[str, Array]) -> Array:
    return problem.predict(params)


def _free(declaration: ParameterDeclaration, config: ParameterConfig) -> FreeParameter:
    return FreeParameter(
        declaration, _prior(declaration, config), _guess(declaration, config), config.start
    )


def _prior(declaration: ParameterDeclaration, config: ParameterConfig) -> Prior:
    lower = declaration.lower if config.lower is None else config.lower
    upper = declaration.upper if config.upper is None else config.upper
    try:
        if config.prior == "flat":
            return Flat(lower, upper)
        if config.mean is None or config.sd is None:
            raise InputError("mean and sd of the prior", "none", "give both")
        if config.prior == "normal":
            return PRIORS["normal"](config.mean, config.sd, lower, upper)
        bounds = (config.lower or 0.0, np.inf if config.upper is None else config.upper)
        return PRIORS["log-normal"](config.mean, config.sd, *bounds)
    except InputError as error:
        raise InputError(
            f"{error.expected}, for parameter {declaration.name}", error.got, error.suggestion
        ) from None


def _guess(declaration: ParameterDeclaration, config: ParameterConfig) -> float:
    if config.value is not None:
        return config.value
    return declaration.default if config.mean is None else config.mean


def _first_from_second(values: np.ndarray) -> np.ndarray:
    """Forcing with entry 0, which drives no step and may be missing, made finite."""
    values = np.array(values, dtype=float)
    if not np.isfinite(values[0]):
        values[0] = values[1]
    return values
