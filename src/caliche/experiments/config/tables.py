"""The configuration of an experiment as frozen dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from caliche.data.longwave import LongwaveBalance
from caliche.data.source import Source
from caliche.errors import InputError
from caliche.experiments.config.objective import ObjectiveConfig
from caliche.experiments.config.soil_heat import ModelConfig
from caliche.experiments.config.training import TrainingConfig
from caliche.experiments.options import ModelOptions
from caliche.experiments.weather import FORCINGS
from caliche.keys.declare import key

PRIOR_NAMES = ("flat", "normal", "log-normal")
# Kinds of variation, and what each is.
VARIATIONS = {
    "piecewise-constant": "constant between knots",
    "piecewise-linear": "linear between knots",
    "cubic-spline": "a natural cubic spline through knots",
    "diurnal": "harmonics of the day",
    "seasonal": "harmonics of the year",
}


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


@dataclass(frozen=True, kw_only=True)
class Synthetic:
    """A twin: forcing made up, observations simulated with known parameters."""

    forcing: str = key("which made-up weather", "huang-2026", choices=tuple(FORCINGS))
    hours: float = key("length of the record", 100.0, unit="hours", above=0, most=1e6)
    fit_hours: float | None = key(
        "length of what is fitted; the rest is held out, everything is fitted without it",
        None,
        unit="hours",
        above=0,
    )
    noise: bool = key("whether observations have noise of their sigma", True)
    seed: int = key("random seed of the noise", 0, least=0, most=2**32 - 1)
    truth: Mapping[str, float | tuple[float, ...]] = key(
        "known parameters by name: one value, or one for each knot of a parameter that varies"
    )

    def check(self, where: str) -> None:
        if self.fit_hours is not None and self.fit_hours > self.hours:
            raise InputError(
                f"fit_hours in {where} up to hours = {self.hours:g}",
                f"{self.fit_hours:g}",
                "leave it out to fit everything",
            )


@dataclass(frozen=True)
class SitesConfig:
    """The part of a collection of many sites that is fitted (UTC); None for its own ends."""

    start: np.datetime64 | None
    end: np.datetime64 | None


@dataclass(frozen=True, kw_only=True)
class VariationConfig:
    """How a parameter varies in time."""

    kind: str = key(
        "what varies: values between knots, or a cycle",
        "piecewise-linear",
        choices=tuple(VARIATIONS),
    )
    every: float | None = key("time between knots", None, unit="days", above=0, name="every_days")
    at: tuple[datetime, ...] = key(
        "times of the knots; local standard time unless they carry an offset",
        (),
        example="[2012-07-01T00:00:00, 2012-08-01T00:00:00]",
    )
    harmonics: int = key("number of harmonics of the day or year", 2, above=0, most=100)
    smoothness: float | None = key(
        "standard deviation of the change from knot to knot in the prior's transformed coordinate; "
        "estimated without it",
        None,
        above=0,
    )

    def check(self, where: str) -> None:
        cyclic = self.kind in ("diurnal", "seasonal")
        if cyclic and (self.every is not None or self.at):
            raise InputError(
                f"harmonics in {where}, which has kind = {self.kind!r}",
                "knots",
                "leave out every_days and at",
            )
        if not cyclic and (self.every is None) == (not self.at):
            raise InputError(
                f"either every_days or at in {where}",
                "both" if self.at else "neither",
                "write every_days = 7.0",
            )


@dataclass(frozen=True, kw_only=True)
class ParameterKeys:
    """What is said of a parameter of the model and of a nuisance alike."""

    value: float | None = key("first guess, or the value if fixed; in the parameter's unit", None)
    fixed: bool = key("whether it keeps its value instead of being estimated", False)
    lower: float | None = key("lower bound, instead of the declared one", None)
    upper: float | None = key("upper bound, instead of the declared one", None)
    start: tuple[float, float] | None = key(
        "range of the first guesses of several starts", None, example="[low, high]"
    )
    prior: str | None = key("kind of its prior", "flat", choices=PRIOR_NAMES)
    mean: float | None = key("mean of a normal or log-normal prior", None)
    sd: float | None = key("standard deviation of that prior", None)
    tied_to: str | None = key("another parameter that it follows", None)
    factor: float | None = key(
        "its value is this times that parameter's; equal to it without", None
    )

    def check(self, where: str) -> None:
        informative = self.prior != "flat"
        if informative != (self.mean is not None) or informative != (self.sd is not None):
            raise InputError(
                f"mean and sd together with prior = 'normal' or 'log-normal' in {where}",
                f"prior = {self.prior!r}, mean = {self.mean}, sd = {self.sd}",
                "give all three, or leave mean and sd out for a flat prior",
            )
        # What else a base experiment says of a parameter that is tied does not count.
        if self.factor is not None and self.tied_to is None:
            raise InputError(
                f"tied_to beside factor in {where}", "none", 'add tied_to = "PARAMETER"'
            )
        if self.tied_to is not None and self.fixed:
            raise InputError(f"fixed = true or tied_to in {where}", "both", "leave one of them out")


@dataclass(frozen=True, kw_only=True)
class ParameterConfig(ParameterKeys):
    """A parameter: fixed at `value`, free with first guess `value`, or `factor` times `tied_to`."""

    prior: str = key("kind of its prior", "flat", choices=PRIOR_NAMES)
    variation: VariationConfig | None = key("how it varies in time; constant without it", None)

    @property
    def free(self) -> bool:
        return not self.fixed and self.tied_to is None

    def check(self, where: str) -> None:
        super().check(where)
        if self.variation is not None and not self.free:
            raise InputError(
                f"a parameter that is free in {where}, as it varies",
                "fixed = true" if self.fixed else "tied_to",
                "leave it out, or the variation",
            )


@dataclass(frozen=True)
class NuisanceConfig:
    """A nuisance of the observations: its kind, its streams, and the parameter that it is."""

    kind: str
    streams: tuple[str, ...]
    parameter: ParameterConfig


@dataclass(frozen=True, kw_only=True)
class ObservationConfig:
    """A stream: fitted with error `sigma`, or only scored."""

    fit: bool = key("whether it is fitted, or only scored", True)
    sigma: float | None = key(
        "standard deviation of the error of one observation, in the stream's unit", None, above=0
    )
    average: float | None = key(
        "time before each stamp over which the sensor's value is a mean; without it, the last step "
        "of a flux and the instant of a state",
        None,
        unit="s",
        above=0,
    )
    estimate_sigma: bool = key("whether sigma is only a first guess", False)
    sigma_from_data: bool = key(
        "whether the error of each value comes with the data; sigma is added in quadrature", False
    )
    autocorrelation: float | None = key(
        "autocorrelation of errors one time step apart", None, least=0, below=1
    )
    estimate_autocorrelation: bool = key(
        "whether that autocorrelation is only a first guess", False
    )
    freedom: float | None = key(
        "degrees of freedom of Student's t errors; errors are normal without it",
        None,
        above=0,
        name="student_degrees_of_freedom",
    )

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


@dataclass(frozen=True, kw_only=True)
class VariantTable:
    """A variant of the experiment, for `caliche variants`."""

    title: str = key('phrase that it is known by, as after "with"', "")
    changes: Mapping[str, Any] = key(
        "a table of keys that are otherwise than here",
        {},
        rest=True,
        noun="a table",
        example="{ depth = 2.0 }",
    )


@dataclass(frozen=True)
class ExperimentConfig:
    """Everything an experiment says. `raw` is the merged TOML, which the run folder keeps.

    weights : whether streams count in the misfit with the information that their residuals say they
        hold, or as declared, with that information in the error bars alone.
    objective : what is minimised.
    data : by source, what is in memory instead of in a file.
    variants : of one's own, by name.
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
    model: ModelOptions
    parameters: Mapping[str, ParameterConfig]
    observations: Mapping[str, ObservationConfig]
    nuisances: Mapping[str, NuisanceConfig]
    method: MethodConfig
    training: TrainingConfig
    raw: Mapping[str, Any]
    prior_correlations: Mapping[tuple[str, str], float]
    weights: Literal["information", "declared"] = "information"
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    data: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    variants: Mapping[str, VariantTable] = field(default_factory=dict)

    @property
    def soil_heat(self) -> ModelConfig:
        """The options of SoilHeat, where that is the model."""
        assert isinstance(self.model, ModelConfig)
        return self.model
