"""The section of a run that trained a network: what is learned, and how the training went."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from caliche.report import style, wording
from caliche.report.figures import log_scale
from caliche.report.numbers import number, plain, rounded
from caliche.report.plates import Plate
from caliche.report.run import words
from caliche.report.run.folder import RunFolder, stream_label
from caliche.wording import number_of

_LEARNED = {
    "neural-flux": "Sensible and latent heat flux come from a neural network; LaD only limits "
    "evaporation to the water there is.",
    "neural-conductance": "Sensible and latent heat flux are LaD's bulk transfer with both "
    "conductances multiplied by factors from a neural network.",
    "neural-residual": "Sensible and latent heat flux are LaD's bulk transfer plus a correction "
    "from a neural network.",
}
_FROM_PHYSICS = (
    "Radiation, soil temperature, ground heat flux, snow and water are computed by LaD from these, "
    "with water and energy conserved; they are learned only as far as the fluxes drive them."
)


def training_content(run: RunFolder) -> dict[str, Any] | None:
    """What the template needs; None for a run that trained nothing."""
    t = run.summary.training
    if t is None:
        return None
    layers = wording.counted(t.depth, "hidden layer")
    guess = t.bulk.holdout or t.bulk.fit
    own = run.summary.holdout or run.summary.fit
    return {
        "sentences": [
            f"{_LEARNED[t.fluxes]} {_FROM_PHYSICS}",
            f"The network has {t.weights:,} weights in {layers} of {t.width}. "
            f"It sees {words.listing(t.inputs)}"
            f"{': the weather alone' if not t.states else ''}.",
            f"It was trained over {wording.counted(t.windows, 'window')} of "
            f"{number_of(t.window_days, 'day')} on {number_of(t.observations[0], 'value')}; "
            f"{number_of(t.observations[1], 'other')} of the fitted period decided when to "
            "stop. "
            f"{wording.capital(wording.sentence(run.summary.reason))}",
            "Weights have no error bars here, nor have the parameters learned with them. "
            "The first guess in the figures is LaD with its own bulk fluxes at the values of the "
            "configuration.",
        ],
        "seeds": [
            {**vars(entry), "kept": entry.seed == run.summary.seed, "loss": rounded(entry.loss)}
            for entry in t.seeds
        ],
        "title": "Hold-out" if run.summary.holdout else "Fit",
        "rows": [
            {
                "label": stream_label(name),
                "learned": name in ("sensible_heat_flux", "latent_heat_flux"),
                "bulk": [rounded(getattr(guess[name], key)) for key in ("rmse", "nse")],
                "own": [rounded(getattr(own[name], key)) for key in ("rmse", "nse")],
            }
            for name in own
            if name in guess
        ],
        "plate": _curve(run),
    }


def _curve(run: RunFolder) -> Plate:
    """Loss by epoch of every seed; the one that was kept in colour."""
    figure = style.new_figure(3.0)
    axes: Axes = figure.subplots()
    seeds = run.results["seed"].values
    looks = {
        "training": (style.OBSERVED, "learned from"),
        "held_out": (style.MODELLED, "held out"),
    }
    for name, (colour, label) in looks.items():
        for seed, losses in zip(seeds, run.results[f"loss_{name}"].values, strict=True):
            kept = int(seed) == run.summary.seed
            axes.plot(
                np.arange(len(losses)),
                losses,
                color=colour,
                lw=1.3 if kept else 0.7,
                alpha=1.0 if kept else 0.3,
                label=label if kept else None,
            )
            if kept and name == "held_out" and np.isfinite(losses).any():
                best = int(np.nanargmin(losses))
                axes.plot(
                    [best],
                    [number(losses[best])],
                    "o",
                    ms=5,
                    color=colour,
                    label="weights that were kept",
                )
    log_scale(axes)
    axes.yaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
    axes.yaxis.set_minor_formatter(lambda value, _: plain(value, 2))
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean squared misfit (σ²)")
    axes.legend(loc="upper right")
    caption = (
        "Mean squared misfit in units of the declared errors, by epoch: black on the data that "
        "gradients come from, blue on those held out of the fitted period."
    )
    if len(seeds) > 1:
        caption += " Pale: the other seeds."
    label = f"Learning curve of {wording.counted(len(seeds), 'network')}"
    return Plate("Learning curve", style.to_svg(figure, "training", label), caption)
