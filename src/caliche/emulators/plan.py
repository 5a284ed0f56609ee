"""What emulating a problem will cost, and whether slopes and the emulator itself pay."""

from __future__ import annotations

from dataclasses import dataclass

from caliche.emulators.model_runs import Costs
from caliche.errors import InputError, nearest
from caliche.wording import number_of

AUTO, ALWAYS, NEVER = "auto", "always", "never"
# A run with slopes is worth this share of P + 1 value runs at equal error: measured between 0.6
# and 0.9 on three problems (docs/emulators.md).
WORTH = 0.7
# Runs for each parameter: of values, and with slopes.
VALUE_RUNS, GRADIENT_RUNS, FEWEST_GRADIENT_RUNS = 10, 2, 8


@dataclass(frozen=True)
class Plan:
    """What will be run.

    runs : to learn from.  held_out : to judge by.  slopes : whether the former have slopes.
    mode : in which mode of differentiation.  parameters : P.  costs : of a run.
    """

    runs: int
    held_out: int
    slopes: bool
    mode: str
    parameters: int
    costs: Costs

    @property
    def seconds(self) -> float:
        """What the runs will take."""
        value = (self.runs + self.held_out) * self.costs.value
        return 1e-3 * (value + (self.runs * self.costs.gradient if self.slopes else 0.0))

    @property
    def sentences(self) -> list[str]:
        """What will be run, what a run costs, and why with or without slopes."""
        c = self.costs
        found = [f"A run of the model takes {_ms(c.value)}"]
        if c.measured:
            found[0] += (
                f"; its exact slopes {_ms(c.forward)} by forward tangents and {_ms(c.reverse)} in "
                "reverse"
            )
            worth = WORTH * (self.parameters + 1)
            price = 1.0 + c.gradient / c.value
            found.append(
                f"A run with slopes costs {price:.1f} plain runs and teaches about as much as "
                f"{worth:.1f}: slopes {'are' if self.slopes else 'are not'} used"
            )
        what = f"with slopes ({self.mode})" if self.slopes else "of values"
        found.append(
            f"{number_of(self.runs, 'run')} {what} and {self.held_out} held out will take about "
            f"{self.seconds:.2g} s"
        )
        return [f"{text}." for text in found]


@dataclass(frozen=True)
class Times:
    """Seconds of each part: runs of the model (`model`), slopes, fit; and milliseconds of one
    prediction with its variance (`prediction`)."""

    model: float
    slopes: float
    fit: float
    prediction: float


def planned(costs: Costs, parameters: int, runs: int | None, gradients: str) -> Plan:
    """What to run.

    Parameters
    ----------
    runs : to learn from; None for 10 P of values or 2 P (at least 8) with slopes.
    gradients : `auto` uses slopes where a run with them costs less than the value runs that it
        replaces; `always`, `never`.

    Raises
    ------
    InputError : an unknown word; fewer than 4 runs.
    """
    check_gradients(gradients)
    if runs is not None and runs < 4:
        raise InputError("at least 4 runs", str(runs), "leave --runs out for a number that suits")
    worth = WORTH * (parameters + 1)
    pays = costs.measured and 1.0 + costs.gradient / costs.value < worth
    slopes = gradients == ALWAYS or (gradients == AUTO and pays)
    if runs is None:
        runs = VALUE_RUNS * parameters
        if slopes:
            runs = max(GRADIENT_RUNS * parameters, FEWEST_GRADIENT_RUNS)
    held_out = max(parameters + 2, round(0.2 * runs))
    return Plan(runs, held_out, slopes, costs.mode if slopes else "", parameters, costs)


def check_gradients(word: str) -> None:
    """Refuse a word that says nothing of gradients."""
    if word not in (AUTO, ALWAYS, NEVER):
        known = (AUTO, ALWAYS, NEVER)
        raise InputError("auto, always or never for gradients", repr(word), nearest(word, known))


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.2g} ms"
