"""The section on the posterior: what an interval says, and what a folder must hold."""

from __future__ import annotations

import json

import pytest

from caliche.errors import InputError
from caliche.report import write_report
from caliche.report.run.posterior_tables import interval_text

ENTRY = {"estimate": 0.8, "unit": "W m-1 K-1", "long_name": "thermal conductivity"}


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ({"interval95": [0.7, 0.9]}, "0.700 to 0.900"),
        ({"interval95": [0.05, 0.9], "open": [True, False]}, "below 0.9"),
        ({"interval95": [0.7, None]}, "above 0.7"),
        ({"interval95": [0.05, 5.0], "open": [True, True]}, "not bounded"),
        ({"interval95": [None, None]}, "not bounded"),
        ({"interval95": None}, "–"),
        (None, "–"),
    ],
)
def test_an_interval_in_words(found, text):
    assert interval_text({**ENTRY, "profile": found}, "profile") == text


def write_posterior(folder, **changes):
    summary = {
        "explanation": "Intervals <as> declared.",
        "parameters": {"thermal_conductivity": {**ENTRY, "laplace": {"interval95": [0.7, 0.9]}}},
        "agreement": ["They & agree."],
    }
    (folder / "posterior.json").write_text(json.dumps(summary | changes), "utf-8")


def test_the_section_stands_in_the_report(run_folder):
    before = write_report(run_folder).read_text("utf-8")
    assert 'id="posterior"' not in before
    write_posterior(run_folder)
    page = write_report(run_folder).read_text("utf-8")
    assert page.count('<section id="posterior">') == 1
    assert page.count('<a href="#posterior">') == 1
    for said in ("Intervals &lt;as&gt; declared.", "They &amp; agree.", "0.700 to 0.900"):
        assert said in page
    assert page.count("<figure>") == before.count("<figure>") + 1


@pytest.mark.parametrize("text", ["{", "{}", '{"parameters": {}}'])
def test_a_broken_posterior_is_refused(run_folder, text):
    (run_folder / "posterior.json").write_text(text, "utf-8")
    with pytest.raises(InputError, match=r"posterior\.json"):
        write_report(run_folder)
