"""An emulator in one netCDF file: its runs and hyperparameters, from which it is made anew.

No pickle: any program that reads netCDF can read it. What is read predicts what was written did.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import xarray as xr

from caliche._version import __version__
from caliche.emulators.box import Box
from caliche.emulators.checks import Check
from caliche.emulators.components import Components, Outputs
from caliche.emulators.emulator import Emulator, centre_and_scale
from caliche.emulators.fit import Fit, Options, ready
from caliche.emulators.leave_out import LeftOut
from caliche.emulators.rows import rows_of, thinned
from caliche.emulators.runs import Runs
from caliche.errors import InputError
from caliche.files.whole_file import written_aside
from caliche.metrics.metric import Metric, Metrics

_KIND = "caliche emulator 1"
_GROUP = "outputs"
_ARRAYS = ("standardised", "pivoted", "order")
_METRIC_ARRAYS = ("weights", "mask", "day", "whole", "scale")


def save_emulator(emulator: Emulator, path: Path, outputs: Outputs | None = None) -> Path:
    """Write an emulator, and what its outputs are of the predictions, to a netCDF file, whole."""
    path = Path(path)
    with written_aside(path) as scratch:
        write_emulator(emulator, scratch, outputs)
    return path


def write_emulator(emulator: Emulator, path: Path, outputs: Outputs | None) -> None:
    """The same, into a file that nobody reads yet."""
    to_dataset(emulator).to_netcdf(path, engine="h5netcdf")
    if outputs is not None:
        group = _metrics(outputs) if isinstance(outputs, Metrics) else _components(outputs)
        group.to_netcdf(path, engine="h5netcdf", mode="a", group=_GROUP)


def load_emulator(path: str | Path) -> Emulator:
    """The emulator that `save_emulator` wrote.

    Raises
    ------
    InputError : a file that cannot be read, or of something else.
    """
    data = _opened(path)
    if data.attrs.get("kind") != _KIND:
        raise InputError(
            "an emulator that caliche emulate wrote",
            f"{path}, which holds something else",
            "give emulator.nc of its folder",
        )
    return from_dataset(data)


def load_outputs(path: str | Path) -> Outputs:
    """What the outputs of a saved emulator are of the predictions of its model.

    Raises
    ------
    InputError : a file that cannot be read, or without them.
    """
    data = _opened(path, _GROUP)
    if "metrics" in data.attrs:
        told = json.loads(data.attrs["metrics"])
        made = [Metric(**{**one, "rows": tuple(one["rows"])}) for one in told]
        arrays = {name: jnp.asarray(data[name].values) for name in _METRIC_ARRAYS}
        rows = tuple(json.loads(data.attrs["row_stream"]))
        return Metrics(**arrays, metrics=tuple(made), row_stream=rows)
    return Components(
        tuple(map(str, data.output.values)),
        jnp.asarray(data.weights.values),
        jnp.asarray(data.seen.values.astype(bool)),
        jnp.asarray(data.base.values),
        jnp.asarray(data.basis.values),
        jnp.asarray(data.dropped.values),
        *(float(data.attrs[name]) for name in ("kept", "lost", "unseen")),
    )


def _opened(path: str | Path, group: str | None = None) -> xr.Dataset:
    try:
        with xr.open_dataset(path, engine="h5netcdf", group=group) as opened:
            return opened.load()
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            "an emulator that caliche emulate wrote",
            f"{path}, {type(error).__name__}",
            "give emulator.nc of its folder",
        ) from None


def _metrics(metrics: Metrics) -> xr.Dataset:
    where = {
        "weights": ("row", "time"),
        "mask": ("time", "stream"),
        "day": ("time",),
        "whole": ("day_number", "stream"),
        "scale": ("stream",),
    }
    return xr.Dataset(
        {name: (where[name], np.asarray(getattr(metrics, name))) for name in _METRIC_ARRAYS},
        attrs={
            "metrics": json.dumps([asdict(one) for one in metrics.metrics]),
            "row_stream": json.dumps(metrics.row_stream),
        },
    )


def _components(components: Components) -> xr.Dataset:
    where = ("time", "stream")
    return xr.Dataset(
        {
            "weights": (("output", *where), np.asarray(components.weights)),
            "seen": (where, np.asarray(components.seen).astype("int8")),
            "base": (where, np.asarray(components.base)),
            "basis": (("component", *where), np.asarray(components.basis)),
            "dropped": (("dropped_component", *where), np.asarray(components.dropped)),
        },
        coords={"output": list(components.names)},
        attrs={name: getattr(components, name) for name in ("kept", "lost", "unseen")},
    )


def to_dataset(emulator: Emulator) -> xr.Dataset:
    """An emulator as arrays and attributes."""
    draws = max(len(fit.weight) for fit in emulator.fits)
    theta = np.full((len(emulator.fits), draws, emulator.box.size + 2), np.nan)
    weight = np.zeros((len(emulator.fits), draws))
    fits = []
    for k, fit in enumerate(emulator.fits):
        theta[k, : len(fit.weight)], weight[k, : len(fit.weight)] = fit.log_theta, fit.weight
        said = asdict(fit.check)
        said |= {name: said[name].tolist() for name in _ARRAYS}
        fits.append(
            {
                "kernel": fit.kernel,
                "mean": fit.basis,
                "slopes": fit.slopes,
                "inflation": fit.inflation,
                "check": said,
            }
        )
    parts = {
        "lower": ("parameter", emulator.box.lower, {"long_name": "lower end of the box in u"}),
        "upper": ("parameter", emulator.box.upper, {"long_name": "upper end of the box in u"}),
        "log_theta": (
            ("output", "draw", "hyperparameter"),
            theta,
            {"long_name": "logarithms of length-scales on [-1, 1] and nuggets"},
        ),
        "weight": (("output", "draw"), weight),
        "left_out_residual": (("output", "good_run"), [f.left_out.residual for f in emulator.fits]),
        "left_out_sd": (("output", "good_run"), [f.left_out.sd for f in emulator.fits]),
        **_runs(emulator.runs, "run"),
        **_runs(emulator.held_out, "held_out"),
    }
    return xr.Dataset(
        parts,
        coords={"output": list(emulator.outputs), "parameter": _names(emulator.box)},
        attrs={
            "Conventions": "CF-1.11",
            "kind": _KIND,
            "source": f"caliche {__version__}",
            "named": int(bool(emulator.box.names)),
            "options": json.dumps(asdict(emulator.options)),
            "fits": json.dumps(fits),
        },
    )


def from_dataset(data: xr.Dataset) -> Emulator:
    """The emulator of `to_dataset`."""
    names = tuple(map(str, data.parameter.values)) if data.attrs["named"] else ()
    box = Box(data.lower.values, data.upper.values, names)
    runs, held_out = _read(data, "run"), _read(data, "held_out")
    options = Options(**json.loads(data.attrs["options"]))
    good = runs.good
    centre, scale = centre_and_scale(good.values)
    thin, dropped = thinned(good, box)
    rows = {
        slopes: rows_of(thin if slopes else good, box, centre, scale, slopes)
        for slopes in (False, True)
    }
    fits = []
    for k, told in enumerate(json.loads(data.attrs["fits"])):
        weight = data.weight.values[k]
        weight = weight[weight > 0.0]
        theta = data.log_theta.values[k, : len(weight)]
        slopes, inflation = told["slopes"], told["inflation"]
        made = ready(told["kernel"], told["mean"], rows[slopes], k, theta, weight, inflation)
        said = told["check"]
        said |= {name: np.array(said[name]) for name in _ARRAYS}
        said |= {"held": tuple(said["held"]), "steps": tuple(said["steps"])}
        left = LeftOut(data.left_out_residual.values[k], data.left_out_sd.values[k])
        fits.append(
            Fit(
                told["kernel"],
                told["mean"],
                slopes,
                theta,
                weight,
                inflation,
                made,
                left,
                Check(**said),
            )
        )
    outputs = tuple(map(str, data.output.values))
    return Emulator(outputs, box, runs, held_out, tuple(fits), options, centre, scale, dropped)


def _names(box: Box) -> list[str]:
    return list(box.names) or [f"u{k + 1}" for k in range(box.size)]


def _runs(runs: Runs, what: str) -> dict[str, tuple]:
    found = {
        f"{what}_u": ((what, "parameter"), runs.u),
        f"{what}_values": ((what, "output"), runs.values),
        f"{what}_failed": (what, runs.failed.astype("int8")),
    }
    if runs.slopes is not None:
        found[f"{what}_slopes"] = ((what, "output", "parameter"), runs.slopes)
    return found


def _read(data: xr.Dataset, what: str) -> Runs:
    slopes = data[f"{what}_slopes"].values if f"{what}_slopes" in data else None
    failed = data[f"{what}_failed"].values.astype(bool)
    return Runs(data[f"{what}_u"].values, data[f"{what}_values"].values, slopes, failed)
