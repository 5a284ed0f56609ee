"""The surface energy balance of a run: the model's terms, the measured ones, and what is left."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from caliche.report.numbers import plain, rounded
from caliche.report.run.folder import RunFolder, Stream
from caliche.wording import number_of


@dataclass(frozen=True)
class EnergyTerm:
    """One term of the balance; `observed` is NaN where the run has no such stream."""

    title: str
    modelled: np.ndarray
    observed: np.ndarray


def energy_terms(run: RunFolder) -> list[EnergyTerm]:
    """Net radiation, turbulent fluxes and ground heat flux; empty if the model gave none."""
    ground = _shallowest(run.streams, "ground_heat_flux")
    at = "" if ground is None else f", observed at {ground.name.rpartition('_')[2][:-1]} m"
    sensible, latent = run.series("model_sensible_heat_flux"), run.series("model_latent_heat_flux")
    terms = [
        EnergyTerm(
            "Net radiation Rn", run.series("model_net_radiation"), _observed(run, "net_radiation")
        ),
        EnergyTerm("Sensible heat flux Qh", sensible, _observed(run, "sensible_heat_flux")),
        EnergyTerm("Latent heat flux Qle", latent, _observed(run, "latent_heat_flux")),
        EnergyTerm("Qh + Qle", sensible + latent, _turbulent(run)),
        EnergyTerm(
            f"Ground heat flux G{at}",
            run.series("model_ground_heat_flux"),
            _nothing(run) if ground is None else ground.observed,
        ),
    ]
    sum_is_news = any(stream.name == "turbulent_heat_flux" for stream in run.streams)
    return [
        term
        for term in terms
        if np.isfinite(term.modelled).any() and (sum_is_news or term.title != "Qh + Qle")
    ]


def closure_sentences(run: RunFolder) -> list[str]:
    """How well the model closes its balances, and how well the measurements close theirs."""
    sentences = []
    surface = _largest(run.series("model_energy_imbalance"))
    column = _largest(run.series("model_column_imbalance"))
    if np.isfinite(surface):
        sentences.append(
            f"Modelled: Rn − Qh − Qle − G is never further from zero than {plain(surface, 2)} "
            "W m⁻² in any step."
        )
    if np.isfinite(column):
        sentences.append(
            "Modelled: G, less the change of heat stored in the soil and the flux out of its "
            f"bottom, is never further from zero than {plain(column, 2)} W m⁻²."
        )
    return sentences + _observed_closure(run)


def _observed_closure(run: RunFolder) -> list[str]:
    net, turbulent = _observed(run, "net_radiation"), _turbulent(run)
    ground = _shallowest(run.streams, "ground_heat_flux")
    has_ground = ground is not None and np.isfinite(ground.observed).any()
    available = net - ground.observed if ground is not None and has_ground else net
    left = available - turbulent
    known = np.isfinite(left)
    if not known.any():
        return []
    terms = "Rn − Qh − Qle − G" if has_ground else "Rn − Qh − Qle"
    text = (
        f"Measured: {terms} is {plain(float(left[known].mean()), 3)} W m⁻² on average over the "
        f"{number_of(int(known.sum()), 'step')} with every term"
    )
    total = float(available[known].mean())
    if total > 0:
        share = rounded(float(turbulent[known].mean()) / total, 2)
        text += f"; Qh + Qle is {share} times {'Rn − G' if has_ground else 'Rn'}"
    text += "."
    if not has_ground:
        text += " Ground heat flux was not measured, so this remainder contains it."
    return [
        text,
        "A model that closes its balance cannot match measurements that do not: what the "
        "measurements leave open goes into the fluxes it is scored on, or into the parameters.",
    ]


def _turbulent(run: RunFolder) -> np.ndarray:
    """Measured Qh + Qle: their own sum where both were measured, or the stream of the sum."""
    both = _observed(run, "sensible_heat_flux") + _observed(run, "latent_heat_flux")
    return both if np.isfinite(both).any() else _observed(run, "turbulent_heat_flux")


def _observed(run: RunFolder, name: str) -> np.ndarray:
    return run.series(f"{name}_observed")


def _nothing(run: RunFolder) -> np.ndarray:
    return np.full(run.local_time.size, np.nan)


def _shallowest(streams: list[Stream], name: str) -> Stream | None:
    at_depth = re.compile(rf"{name}_(\d+(?:\.\d+)?)m")
    depths = {float(at[1]): s for s in streams if (at := at_depth.fullmatch(s.name))}
    return depths[min(depths)] if depths else None


def _largest(values: np.ndarray) -> float:
    known = np.abs(values[np.isfinite(values)])
    return float(known.max()) if known.size else np.nan
