"""The configuration of an experiment: TOML in, frozen dataclasses out."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np

from caliche.data.longwave import LongwaveBalance
from caliche.data.source import Source
from caliche.errors import InputError, nearest
from caliche.experiments.lad_config import LaDConfig
from caliche.experiments.training_config import TrainingConfig


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


def bundled() -> dict[str, str]:
    """Bundled experiments: name -> title."""
    folder = resources.files("caliche.experiments") / "bundled"
    names = sorted(
        p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml")
    )
    return {name: load_raw(name)[0]["title"] for name in names}


def read_config(experiment: str | Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Configuration of a bundled name or a TOML path, with `key=value` overrides applied.

    Raises
    ------
    InputError : no such experiment; TOML that does not parse; a key that is missing, unknown or
        of the wrong kind.
    """
    raw, folder, name = load_raw(str(experiment))
    for text in overrides:
        raw = merge(raw, parse_override(text))
    if "seed" in raw:  # a common slip
        raise InputError("seed inside [method]", "seed at the top level", "move it to [method]")
    from caliche.experiments.parse import parse  # it needs the dataclasses above

    return parse(raw, folder, name)


def parse_override(text: str) -> dict[str, Any]:
    """The table that `key=value` stands for, in TOML's own syntax for both sides."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError("an override of the form key=value", repr(text), "write section.key=value")
    for candidate in (value, f'"{value.strip()}"'):
        try:
            return tomllib.loads(f"{key.strip()} = {candidate}")
        except tomllib.TOMLDecodeError:
            continue
    raise InputError(
        "an override in TOML syntax",
        repr(text),
        'quote names with dots: observations."a_0.1m".sigma=1',
    )


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the entries of `over`, table by table; `false` takes a table out."""
    result = dict(base)
    for key, value in over.items():
        inner = result.get(key)
        if value is False and isinstance(inner, Mapping):
            del result[key]
            continue
        both = isinstance(inner, Mapping) and isinstance(value, Mapping)
        result[key] = merge(inner, value) if both else value  # type: ignore[arg-type]
    return result


def load_raw(experiment: str, seen: tuple[str, ...] = ()) -> tuple[dict[str, Any], Path, str]:
    """Merged TOML, its folder and name; follows `extends`.

    Raises
    ------
    InputError : no such experiment, TOML that does not parse, experiments that extend each other.
    """
    if experiment in seen:
        raise InputError(
            "experiments that do not extend each other in a ring",
            " -> ".join((*seen, experiment)), "take extends out of one of them",
        )  # fmt: skip
    path = Path(experiment)
    bundle = resources.files("caliche.experiments") / "bundled"
    if path.suffix == ".toml":
        if not path.is_file():
            raise InputError("an experiment file", f"no file {experiment}", "check the path")
        text, folder, name = _text(path), path.resolve().parent, path.stem
    else:
        names = [p.name.removesuffix(".toml") for p in bundle.iterdir() if p.name.endswith(".toml")]
        if experiment not in names:
            raise InputError(
                "a bundled experiment or the path of a .toml file",
                repr(experiment),
                nearest(experiment, names),
            )
        text = (bundle / f"{experiment}.toml").read_text(encoding="utf-8")
        folder, name = Path.cwd(), experiment
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"valid TOML in {path.name}", str(error), "correct that line") from None
    parent = raw.pop("extends", None)
    if parent is not None and not isinstance(parent, str):
        raise InputError(
            f"the name of an experiment for extends in {path.name}", repr(parent),
            'write extends = "west-phoenix", or the path of a .toml file',
        )  # fmt: skip
    if parent is not None:
        inside = folder / parent if parent.endswith(".toml") else parent
        base = load_raw(str(inside), (*seen, experiment))[0]
        base.pop("name", None)  # a child is not its parent
        raw = merge(base, raw)
    return raw, folder, name


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"a text file in UTF-8 at {path}", f"{error}", "save the experiment as UTF-8"
        ) from None
