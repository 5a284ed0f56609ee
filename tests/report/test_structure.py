"""The report's section on structural error, and `caliche score` of a run that has none."""

from __future__ import annotations

import json

import numpy as np

from caliche.keys.records import to_json
from caliche.report import write_report
from caliche.report.run.folder import read_run
from caliche.report.run.structure import KINDS, shares, structural_entries, structure_content
from caliche.runs.folder import finite


def test_a_run_without_it_is_looked_at_again_and_its_report_is_as_before(run_folder):
    run = read_run(run_folder)
    entries = structural_entries(run)
    assert set(entries) == {stream.name for stream in run.streams}
    for entry in entries.values():
        assert entry.pattern is None or entry.pattern.removable is None
        assert len(shares(entry)) == len(KINDS)
    assert structure_content(run) is None


def test_the_section_shows_sentences_shares_and_bars(run_folder):
    run = read_run(run_folder)
    entries = to_json(structural_entries(run))
    name = "soil_temperature_0.05m"
    hour = entries[name]["regimes"]["hour"]
    entries[name] |= {
        "pattern": {
            "regimes": "hour",
            "classes": [12, 13],
            "mean": 0.4,
            "se": 0.1,
            "where": "from 12 to 14 h",
            "share": 0.3,
            "removable": 0.1,
        },
        "sentence": "Soil temperature at 0.05 m is 0.40 ± 0.10 K too warm from 12 to 14 h.",
        "regimes": {
            "hour": {
                **hour,
                "share": 0.3,
                "real": True,
                "se": [0.1] * 24,
                "mean": [float(np.sin(k)) for k in range(24)],
            }
        },
    }
    path = run_folder / "summary.json"
    summary = json.loads(path.read_text())
    path.write_text(json.dumps({**summary, "structural_error": finite(entries)}))
    page = write_report(run_folder).read_text()
    section = page[page.index('id="structure"') : page.index('id="search"')]
    assert '<a href="#structure">Structural error</a>' in page
    assert "0.40 ± 0.10 K too warm from 12 to 14 h." in section
    assert '<td class="number">30</td>' in section
    assert "Mean residual of Soil temperature at 0.05 m by regime" in section
