"""`caliche callmip` on the command line."""

import json

from callmip_files import write_measured, write_toy


def test_check_says_what_is_wrong_in_a_sentence(caliche, tmp_path):
    for path in write_toy(tmp_path):
        if path.name.endswith("Posterior.nc"):
            path.unlink()
    outcome = caliche("callmip", "check", tmp_path, "--json", tmp_path / "found.json")
    assert outcome.code == 2
    assert outcome.out.startswith("Failed: pairs (1 file, ")
    assert "fails  pairs: Scen1_CA-Qfo_Cal has no Posterior beside it." in outcome.out
    found = json.loads((tmp_path / "found.json").read_text())
    assert not found["passed"]
    write_toy(tmp_path)
    outcome = caliche("callmip", "check", tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("Passed: 2 files, ")
    assert "note  towers: Scen1 has 1 of 21 Calibration towers" in outcome.out


def test_help_and_what_cannot_be(caliche, tmp_path):
    out = caliche("callmip", "--help").out
    assert "Scenarios 3, 4 and 6 are whole" in out
    for name in ("check", "score"):
        assert f"\n  {name} " in out
    assert "--quiet" in caliche("callmip", "check", "--help").out
    outcome = caliche("callmip", "check", tmp_path)
    assert outcome.code == 2
    assert "Expected a folder with output files of CalLMIP" in outcome.err
    assert caliche("callmip", "chekc").code == 2


def test_score_writes_a_page(caliche, tmp_path, undrawn):
    write_toy(tmp_path)
    write_measured(tmp_path, "CA-Qfo")
    outcome = caliche("callmip", "score", tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    assert "Note: no benchmarks at CA-Qfo" in outcome.out
    page = (tmp_path / "scores.html").read_text()
    for text in ("Gains and losses", "evergreen needleleaf forest", "By season", "CA-Qfo"):
        assert text in page
    assert len(json.loads((tmp_path / "scores.json").read_text())["towers"]) == 3
    write_toy(tmp_path / "none")
    outcome = caliche("callmip", "score", tmp_path / "none" / "x")
    assert outcome.code == 2
