"""Numbers and nouns that agree, in everything that is said to a user."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import caliche
from caliche.commands.assimilate import words
from caliche.commands.assimilate.summary import (
    AssimilationSummary,
    Estimate,
    LastEstimate,
    StreamEntry,
    WindowEntry,
)
from caliche.commands.identify import words as identify_words
from caliche.commands.variants import words as variant_words
from caliche.keys.records import Known
from caliche.wording import agree, number_of

SOURCES = sorted(Path(caliche.__file__).parent.rglob("*.py"))
# A number in braces before a noun in the plural: "1 days". `number_of` and `agree` do it right.
NOUNS = (
    "days|starts|steps|values|windows|runs|nodes|members|variants|observations|iterations|knots|"
    "rounds|epochs|sensors|samples|rows|columns|points|parameters"
)
PLURAL = re.compile(rf'f".*\{{[^{{}}]*\}} (?:{NOUNS})\b')
# Of these there are always several, or the sentence is said of several only.
SEVERAL = (
    "starts",
    "values from",
    "values outside",
    "the {self._size}",
    "{len(ok)} members",
    "{n} members",
    "{MOST_ROWS}",
    "{design.rows}",
    "runs gave",
    "sets of 1 to",
    "{len(u)} members",
    "days after rain",
    "rounded up",
    "{samples} samples",
    "{knots} knots",
    "{whole} variants moves",
    "faces from",
    "_SIZES",
    "Correlation matrix",
)


def test_numbers_and_nouns_agree():
    assert number_of(1, "day") == "1 day"
    assert number_of(1.0, "day") == "1 day"
    assert number_of(0, "day") == "0 days"
    assert number_of(0.5, "day") == "0.5 days"
    assert number_of(17520, "observation") == "17,520 observations"
    assert number_of(2, "analysis", "analyses") == "2 analyses"
    assert (agree(1, "was", "were"), agree(3, "was", "were")) == ("was", "were")


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_no_sentence_puts_a_bare_number_before_a_plural(source):
    found = [
        line.strip()
        for line in source.read_text("utf-8").splitlines()
        if PLURAL.search(line) and not any(part in line for part in SEVERAL)
    ]
    assert found == []


def _window(number: int, observations: int = 1) -> WindowEntry:
    entry = Estimate(estimate=Known(1.0), sd=0.1, interval=(0.8, 1.2))
    return WindowEntry(
        number=number,
        start="2000-01-01T00:00",
        end="2000-01-02T00:00",
        reason="it",
        observations=observations,
        converged=True,
        parameters={"albedo": entry},
    )


def _assimilation(*windows: WindowEntry) -> AssimilationSummary:
    albedo = LastEstimate(
        long_name="albedo",
        unit="1",
        initial=0.3,
        prior="flat",
        truth=None,
        **vars(windows[-1].parameters["albedo"]),
    )
    stream = StreamEntry(unit="K", n=1, forecast_rmse=0.1, analysis_rmse=0.1)
    return AssimilationSummary(
        experiment="one",
        title="One",
        utc_offset=Known(0.0),
        window_days=Known(1.0),
        converged=True,
        parameters={"albedo": albedo},
        streams={"soil_temperature_0.05m": stream},
        windows=windows,
    )


def test_what_an_assimilation_says_of_one_window_and_of_several():
    first, of_stream = words.sentences(_assimilation(_window(1)))
    assert first.startswith("1 window of 1 day from 2000-01-01 00:00")
    assert "1 observation;" in first
    assert of_stream.startswith("Soil temperature at 0.05 m: a window ahead")
    blank = _assimilation(*(_window(k, observations=0) for k in (1, 2)))
    said = [remark.sentence for remark in words.remarks_of(blank)]
    assert "Windows 1 and 2 had no observations and were carried through." in said


def test_one_variant_moves_and_several_kinds_move():
    def variant(kind: str, shift: float) -> dict:
        return {
            "status": "converged",
            "largest_shift": shift,
            "kind": kind,
            "family": kind,
            "what": kind,
            "name": kind,
            "comparable": True,
            "finer": False,
            "shifts": {},
        }

    base = {"parameters": {}}
    told = variant_words.conclusion(base, [variant("prescribed", 2.0), variant("data", 0.1)], True)
    assert told[0] == "Of 2 variants 1 moves at least one estimate by more than its sd."
    assert told[1].startswith("Prescribed values move an estimate by at most 2.0 sd")
    told = variant_words.conclusion(base, [variant("data", 0.1)], True)
    assert told[0] == "The one variant moves no estimate by more than its sd."
    assert told[1].startswith("The window moves an estimate by at most 0.1 sd")


def test_verdicts_on_one_parameter():
    entry = {"verdict": "weakly identified"}
    said = identify_words._verdicts({"parameters": {"albedo": entry}})
    assert said == "0 of 1 parameter is identified; weakly identified: albedo."
