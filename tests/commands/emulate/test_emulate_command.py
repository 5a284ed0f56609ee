"""`caliche emulate` from end to end: what it says, writes and gives back."""

from __future__ import annotations

import json
import sys

import jax.numpy as jnp
import numpy as np
import pytest

import caliche as package
from caliche.commands.emulate.words import verdict, warnings_of, worth
from caliche.commands.report.run import write_page
from caliche.emulators.store import load_outputs
from caliche.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from caliche import cli

    out = tmp_path_factory.mktemp("emulate") / "E"
    argv = ["emulate", "twin-two-depths", "--outputs", "pcs", "--gradients", "always"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["caliche", *argv, "--out", str(out)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    assert ended.value.code in (0, None)
    return out


def test_the_folder_has_everything_and_its_page_can_be_written_again(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.toml", "emulation.html", "emulator.nc", "run.json", "summary.json"}
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["passed"]
    assert summary["verdict"].startswith("The emulator passed: on 7 runs that it never saw")
    assert summary["runs"] == 10
    page = (folder / "emulation.html").read_text()
    assert "use it instead" in page or "saved after" in page
    assert write_page(folder).read_text() == page


def test_read_back_it_gives_the_same_predictions_and_a_problem(folder):
    results = package.read_results(folder)
    assert results.kind == "emulate"
    assert results.data is not None
    emulator = package.load_emulator(folder / "emulator.nc")
    again = package.load_emulator(folder / "emulator.nc")
    u = emulator.box.from_unit(np.random.default_rng(0).uniform(-1, 1, (4, 5)))
    assert np.array_equal(emulator.predict(u).variance, again.predict(u).variance)
    problem = package.open_emulation(folder)
    at = jnp.asarray(u[0])
    parts = load_outputs(folder / "emulator.nc")
    outputs = np.asarray(parts(problem.forward(at)))
    assert outputs == pytest.approx(emulator.predict(u[:1]).mean[0], rel=1e-6)
    exact = results.experiment.problem().forward(at)
    assert np.abs(problem.forward(at) - exact).max() < 1.0
    with pytest.raises(InputError):
        package.open_emulation(folder.parent)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--outputs", "rmse"], "kink at its minimum"),
        (["--outputs", "pc"], "did you mean 'pcs'"),
        (["--gradients", "sometimes"], "auto, always or never"),
        (["--runs", "three"], "a number of runs, or auto"),
        (["--runs", "2"], "at least 4 runs"),
        (["--kernel", "matern"], "did you mean 'matern52'"),
        (["--reach", "-1"], "a reach above 0"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(caliche, tmp_path, options, said):
    outcome = caliche("emulate", "twin-two-depths", *options, "--out", str(tmp_path / "E"))
    assert outcome.code == 2
    assert said in " ".join(outcome.err.split())
    assert not (tmp_path / "E").exists()


def output(passed: bool = True, error: float = 0.01) -> dict:
    return {"passed": passed, "relative_error": error, "sentence": "why.", "steps": []}


def summary(**changed) -> dict:
    return {
        "kind": "metrics",
        "outputs": {"warmth": output(), "level": output(error=0.02)},
        "held_out": 7,
        "runs": 10,
        "failed": 0,
        "thinned": 0,
        "unseen": 0.0,
        "milliseconds": {"run": 100.0, "prediction": 0.1},
        "seconds": {"model": 1.0, "slopes": 2.0, "fit": 1.0},
        **changed,
    }


def test_the_words_say_refused_first_and_whether_it_pays():
    assert "2 % of the spread of an output (level)" in verdict(summary())
    refused = summary(outputs={"warmth": output(), "level": output(passed=False)})
    assert verdict(refused).startswith("Refused: 1 of 2 outputs did not pass (level)")
    assert "1000 times less" in worth(summary()) or "1e+03 times less" in worth(summary())
    assert "after 41 runs" in worth(summary())
    fast = summary(milliseconds={"run": 0.1, "prediction": 0.1})
    assert "use it instead" in worth(fast)
    told = warnings_of(summary(failed=2, thinned=1, outputs={"warmth": output(error=0.5)}))
    assert len(told) == 3
    parts = {"outputs": {"component 1": output(error=0.5)}, "kind": "pcs", "field_error": 1.6}
    (said,) = warnings_of(summary(**parts))
    assert "1.6 times those of the observations" in said
    assert "predictions are off by 1.6 standard deviations" in verdict(summary(**parts))


def test_a_refused_emulator_is_exit_code_3(caliche, tmp_path, monkeypatch):
    from caliche.emulators import checks

    monkeypatch.setattr(checks, "_MOST_FAR", -1.0)
    outcome = caliche(
        *("emulate", "twin-two-depths", "--runs", "10", "--gradients", "always"),
        *("--out", str(tmp_path / "E")),
    )
    assert outcome.code == 3
    assert outcome.out.startswith("Refused:")
    assert (tmp_path / "E" / "emulation.html").is_file()
