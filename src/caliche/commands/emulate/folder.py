"""What an emulation writes: emulator.nc, summary.json and config.toml."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from caliche.commands.emulate.words import sentences, verdict, warnings_of
from caliche.emulators.components import COMPONENTS, METRICS, Components, Outputs, describe
from caliche.emulators.emulator import Emulator
from caliche.emulators.plan import Plan, Times
from caliche.emulators.store import write_emulator
from caliche.parameters.space import ParameterSpace
from caliche.problems.base import Problem
from caliche.runs.folder import finite, versions, write_whole


def write_emulation(
    folder: Path,
    outputs: Outputs,
    emulator: Emulator,
    summary: Mapping[str, Any],
    write_config: Callable[[Path], None],
    mark: str = "",
) -> dict[str, Any]:
    """Write the folder, and return its summary; nothing is left if that fails.

    write_config : writes config.toml, and what it needs, into a folder.
    mark : what the emulation belongs to, see `caliche.runs.folder.mark_of`.
    """
    created = datetime.now(UTC).isoformat(timespec="seconds")
    whole = finite({**summary, "versions": versions(), "created": created})

    def write(inside: Path) -> None:
        write_config(inside)
        text = json.dumps(whole, indent=1, allow_nan=False)
        (inside / "summary.json").write_text(text + "\n", encoding="utf-8")
        write_emulator(emulator, inside / "emulator.nc", outputs)

    write_whole(folder, "emulate", write, mark)
    return whole


def summarise(
    made: Outputs, emulator: Emulator, plan: Plan, times: Times, problem: Problem
) -> dict[str, Any]:
    """What an emulation found, in numbers and words."""
    space = problem.space
    outputs = {}
    for k, (name, fit) in enumerate(zip(emulator.outputs, emulator.fits, strict=True)):
        check = fit.check
        outputs[name] = {
            "unit": made.units[k],
            "passed": check.passed,
            "sentence": check.sentence,
            "relative_error": check.relative,
            "error": check.error * float(emulator.scale[k]),
            "spread": float(emulator.scale[k]),
            "distance": check.distance,
            "highest": check.highest,
            "left_out": check.left_out,
            "held": list(check.held),
            "standardised": check.standardised.tolist(),
            "pivoted": check.pivoted.tolist(),
            "kernel": fit.kernel,
            "mean": fit.basis,
            "slopes": fit.slopes,
            "inflation": fit.inflation,
            "scales": dict(zip(space.names, fit.scales.tolist(), strict=True)),
            "steps": list(check.steps),
        }
    low, high = _physical(space, emulator)
    c = plan.costs
    summary: dict[str, Any] = {
        "kind": COMPONENTS if isinstance(made, Components) else METRICS,
        "emulated": describe(made),
        "runs": plan.runs,
        "failed": int(emulator.runs.failed.sum()),
        "held_out": len(emulator.held_out),
        "slopes": plan.slopes,
        "mode": plan.mode,
        "thinned": emulator.thinned,
        "lost": made.lost if isinstance(made, Components) else 0.0,
        "unseen": made.unseen if isinstance(made, Components) else 0.0,
        "field_error": _field_error(made, outputs),
        "box": {
            name: {
                "lower": float(low[k]),
                "upper": float(high[k]),
                "unit": entry.parameter.declaration.unit,
                "long_name": entry.long_name,
            }
            for k, (name, entry) in enumerate(zip(space.names, space.entries, strict=True))
        },
        "milliseconds": {
            "run": c.value,
            "forward": c.forward,
            "reverse": c.reverse,
            "prediction": times.prediction,
        },
        "seconds": {"model": times.model, "slopes": times.slopes, "fit": times.fit},
        "outputs": outputs,
        "passed": bool(emulator.checks.passed.all()),
        "plan": plan.sentences,
    }
    summary["verdict"] = verdict(summary)
    summary["sentences"] = sentences(summary)
    summary["warnings"] = warnings_of(summary)
    return finite(summary)


@jax.jit
def _vector(space: ParameterSpace, u: jax.Array) -> jax.Array:
    return space.vector(u)


def _physical(space: ParameterSpace, emulator: Emulator) -> tuple[np.ndarray, np.ndarray]:
    """Physical values (P,) at the ends of the box."""
    ends = [
        np.asarray(_vector(space, jnp.asarray(u))) for u in (emulator.box.lower, emulator.box.upper)
    ]
    return np.minimum(*ends), np.maximum(*ends)


def _field_error(made: Outputs, outputs: Mapping[str, Any]) -> float | None:
    """Root mean square error of predictions over sigma, what is dropped included; of `pcs`."""
    if not isinstance(made, Components):
        return None
    square = sum(entry["error"] ** 2 for entry in outputs.values())
    return float(np.sqrt(square / np.asarray(made.seen).sum() + made.lost**2))
