"""The configuration of an experiment as frozen dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from caliche.data.longwave import LongwaveBalance
from caliche.data.source import Source
from caliche.experiments.config.lad import LaDConfig
from caliche.experiments.config.training import TrainingConfig


@dataclass(frozen=True)
class Window:
    """Start, end of the fit and end (UTC) of a study; what follows the fit is held out.

    `spin_up` (s) is how long the model runs before the start, unobserved. Gaps of the forcing up to
    `fill_gaps` (hours) are interpolated; those of rain are taken as dry.
    """

    start: np.datetime64
    fit_until: np.datetime64
    end: np.datetime64
    time_step: float
    resample: str
    spin_up: float = 0.0
    fill_gaps: float = 0.0


@dataclass(frozen=True)
class Synthetic:
    """A twin: forcing made up, observations simulated with known parameters.

    What follows `fit_hours` is held out. A parameter that varies in time may have a truth of
    several values, one for each of its knots. `forcing` is one of `experiments.twin.FORCINGS`.
    """

    hours: float
    fit_hours: float
    noise: bool
    seed: int
    truth: Mapping[str, float | tuple[float, ...]]
    forcing: str = "huang-2026"


@dataclass(frozen=True)
class SitesConfig:
    """The part of a collection of many sites that is fitted (UTC); None for its own ends."""

    start: np.datetime64 | None
    end: np.datetime64 | None


@dataclass(frozen=True)
class ModelConfig:
    """A model and its grid; keys as in `caliche.models.SoilHeat`.

    `period` (s) is that of a periodic spin-up, or None.
    """

    name: str
    node_depths: tuple[float, ...]
    scheme: str
    turbulence: str
    longwave: str
    bottom: str
    bottom_stream: str | None
    initial: str
    initial_depths: tuple[float, ...]
    layer_bottoms: tuple[float, ...]
    period: float | None
    initial_interpolation: str = "linear"
    moisture: str = "parameter"
    measurement_height: float | None = None


@dataclass(frozen=True)
class VariationConfig:
    """How a parameter varies in time.

    kind : see `experiments.variations.KINDS`.  every : days between knots, or None.  at : times of
    the knots (UTC).  harmonics : their number.  smoothness : None to have it estimated.
    """

    kind: str
    every: float | None
    at: tuple[np.datetime64, ...]
    harmonics: int
    smoothness: float | None


@dataclass(frozen=True)
class ParameterConfig:
    """A parameter: fixed at `value`, free with first guess `value`, or `factor` times `tied_to`."""

    value: float | None
    fixed: bool
    lower: float | None
    upper: float | None
    start: tuple[float, float] | None
    prior: str
    mean: float | None
    sd: float | None
    variation: VariationConfig | None = None
    tied_to: str | None = None
    factor: float | None = None

    @property
    def free(self) -> bool:
        return not self.fixed and self.tied_to is None


@dataclass(frozen=True)
class NuisanceConfig:
    """A nuisance of the observations: its kind, its streams, and the parameter that it is."""

    kind: str
    streams: tuple[str, ...]
    parameter: ParameterConfig


@dataclass(frozen=True)
class ObservationConfig:
    """A stream: fitted with error `sigma`, or only scored.

    `average` is the time (s) before each stamp over which the sensor's value is a mean; None for
    the last step of a flux and the instant of a state.

    estimate_sigma : whether `sigma` is but a first guess.  sigma_from_data : whether the error of
    each value comes with the data (`sigma`, if given, is added in quadrature).
    autocorrelation : of errors one step apart.  estimate_autocorrelation : whether it is but a
    first guess.  freedom : degrees of freedom of Student's t, None for normal errors.
    """

    sigma: float | None
    fit: bool
    average: float | None
    estimate_sigma: bool = False
    sigma_from_data: bool = False
    autocorrelation: float | None = None
    estimate_autocorrelation: bool = False
    freedom: float | None = None

    @property
    def special(self) -> bool:
        """Whether errors are anything but independent, normal, and of one given size."""
        unknown = self.estimate_sigma or self.estimate_autocorrelation or self.sigma_from_data
        return unknown or self.autocorrelation is not None or self.freedom is not None


@dataclass(frozen=True)
class MethodConfig:
    """Method of estimation and its options."""

    name: str
    starts: int
    seed: int
    options: Mapping[str, Any]


@dataclass(frozen=True)
class ExperimentConfig:
    """Everything an experiment says. `raw` is the merged TOML, which the run folder keeps.

    weights : whether streams count in the misfit with the information that their residuals say they
        hold, or as declared, with that information in the error bars alone.
    """

    name: str
    title: str
    description: str
    folder: Path
    utc_offset: float
    window: Window
    synthetic: Synthetic | None
    sites: SitesConfig
    sources: Mapping[str, Source]
    derive_surface_temperature: tuple[float, bool] | None
    derive_incoming_longwave: LongwaveBalance | None
    model: ModelConfig | LaDConfig
    parameters: Mapping[str, ParameterConfig]
    observations: Mapping[str, ObservationConfig]
    nuisances: Mapping[str, NuisanceConfig]
    method: MethodConfig
    training: TrainingConfig
    raw: Mapping[str, Any]
    prior_correlations: Mapping[tuple[str, str], float]
    weights: Literal["information", "declared"] = "information"

    @property
    def soil_heat(self) -> ModelConfig:
        """The options of SoilHeat, where that is the model."""
        assert isinstance(self.model, ModelConfig)
        return self.model
