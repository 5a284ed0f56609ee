"""`caliche drive`: an outside model that works, crashes, hangs, or gives no number."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from caliche.commands.drive.cli import print_drive
from caliche.commands.drive.run import drive, make_job
from caliche.errors import InputError
from caliche.estimation import MEMBER_METHODS
from caliche.executables.config import DriveConfig, read_drive
from problems import each_method

# What the script does is decided by `mode`, by member and iteration alone.
MODEL = """
import json, os, sys, time
asked = json.load(open("parameters.json"))
p, k, i = asked["parameters"], asked["member"], asked["iteration"]
here = os.path.dirname(os.path.abspath(sys.argv[0]))
open(os.path.join(here, "log.txt"), "a").write(f"{i} {k}\\n")
y = [p["a"] + p["b"] * x for x in range(3)]
mode = sys.argv[1]
if mode == "all" or (mode == "bad" and i == 0 and k == 1):
    print("the soil is gone", file=sys.stderr); sys.exit(7)
if mode == "bad" and i == 0:
    if k == 2: y[1] = float("nan")
    if k == 3: y = y[:2]
    if k == 4: time.sleep(60)
    if k == 5: sys.exit(0)
    if k == 6: open("outputs.json", "w").write("[1, 2"); sys.exit(0)
if mode == "cut" and i == 0:
    if k == 1: y = y[:2]
    if k == 2: y[0] = float("inf")
    if k == 3: y = [1e300] * 3
    if k == 4: open("outputs.csv", "w").write("1.0\\n2."); sys.exit(0)
if mode == "short": y = y[:1]
if mode == "deaf": y = [0.5, 1.0, 2.0]
if mode == "half deaf": y = [p["a"]] * 3
if mode == "csv":
    open("outputs.csv", "w").write("output\\n" + "\\n".join(map(repr, y)))
else:
    json.dump({"outputs": y}, open("outputs.json", "w"))
"""
CONFIG = """
title = "A line"
[model]
command = ["{python}", "-I", "-S", "{{here}}/model.py", "{mode}"]
timeout = 2.0
workers = 2
[parameters.a]
prior = "normal"
mean = 0.0
sd = 1.0
[parameters.b]
lower = -2.0
upper = 2.0
unit = "m"
[observations]
values = [0.5, 1.0, 2.1]
sigma = 0.2
[method]
name = "{method}"
seed = 4
{options}
"""


@pytest.fixture
def study(tmp_path):
    def write(mode: str = "good", method: str = "etki", options: str = "") -> DriveConfig:
        (tmp_path / "model.py").write_text(MODEL)
        given = options or "options = { members = 12, steps = 2 }"
        text = CONFIG.format(python=sys.executable, mode=mode, method=method, options=given)
        (tmp_path / "study.toml").write_text(text)
        return read_drive(tmp_path / "study.toml")

    return write


def line(members: np.ndarray) -> np.ndarray:
    return members[:, :1] + members[:, 1:] * np.arange(3.0)


def in_process(config: DriveConfig, lost: list[int]):
    job = make_job(config)
    while not job.done:
        outputs = line(job.ask())
        if job.iteration == 0:
            outputs[lost] = np.nan
        job.tell(outputs)
    return job.result()


@pytest.mark.parametrize("mode", ["good", "csv"])
def test_a_drive_is_the_same_as_the_model_in_this_process(study, tmp_path, mode):
    config = study(mode)
    found = drive(config, tmp_path / "out")
    expected = in_process(config, [])
    assert found.found.estimate == expected.estimate
    np.testing.assert_array_equal(found.found.members, expected.members)
    assert found.found.converged
    written = json.loads((tmp_path / "out" / "result.json").read_text())
    assert written["parameters"]["b"]["estimate"] == expected.estimate["b"]
    assert written["parameters"]["b"]["unit"] == "m"
    assert written["error_bars"] == "ensemble"
    rows = (tmp_path / "out" / "members.csv").read_text().splitlines()
    assert rows[0] == "a,b"
    assert len(rows) == 13
    best = json.loads((tmp_path / "out" / "parameters.json").read_text())
    assert best["parameters"] == expected.estimate


def test_runs_that_crash_hang_or_lie_are_left_out(study, tmp_path):
    config = study("bad")
    found = drive(config, tmp_path / "out")
    expected = in_process(config, [1, 2, 3, 4, 5, 6])
    np.testing.assert_array_equal(found.found.members, expected.members)
    assert found.found.n_failed == 6
    assert sorted(found.reasons) == [
        "exit code 7: the soil is gone",
        "left 2 outputs where 3 are observed",
        "left neither outputs.json nor outputs.csv",
        "left outputs that are not finite",
        "left outputs.json that cannot be read: Expecting ',' delimiter: line 1 column 6 (char 5)",
        "took longer than 2 s",
    ]
    status = tmp_path / "out" / "iteration_000" / "member_004" / "status.json"
    assert 2.0 <= json.loads(status.read_text())["seconds"] < 30.0


OPTIONS = {
    "4denvar": "members = 6",
    "eki": "members = 6, steps = 2",
    "etki": "members = 6, steps = 2",
    "uki": "steps = 2",
    "ga": "members = 6, max_iterations = 2",
    "cma": "members = 6, max_iterations = 2",
    "bo": "design = 6, budget = 8",
}


@pytest.mark.parametrize("method", each_method(MEMBER_METHODS))
def test_every_method_goes_on_without_runs_that_were_cut_off(study, tmp_path, method):
    """Too few numbers, infinite ones, huge ones, half a file."""
    config = study("cut", method, f"options = {{ {OPTIONS[method]} }}")
    if method == "uki":  # four of its five points
        with pytest.raises(InputError, match=r"at least 2 of the 5 .* Got 1 in iteration 1; 2 of"):
            drive(config, tmp_path / "out")
        return
    found = drive(config, tmp_path / "out")
    assert found.found.n_failed == 4
    assert dict(found.reasons) == {
        "left 2 outputs where 3 are observed": 2,
        "left outputs that are not finite": 1,
    }
    assert np.isfinite(list(found.found.estimate.values())).all()
    assert found.found.members is None or np.isfinite(found.found.members).all()


@pytest.mark.parametrize("method", each_method(MEMBER_METHODS))
def test_every_method_says_why_all_of_its_runs_failed(study, tmp_path, method):
    config = study("short", method, f"options = {{ {OPTIONS[method]} }}")
    why = r"0 in iteration 1; . of them: left 1 outputs where 3 are observed\. Try: look at stderr"
    with pytest.raises(InputError, match=why):
        drive(config, tmp_path / "out")
    assert not (tmp_path / "out" / "result.json").exists()


@pytest.mark.parametrize("stop_at", [3, 15])
def test_a_drive_that_was_stopped_goes_on_and_runs_nothing_twice(study, tmp_path, stop_at):
    config = study()
    whole = drive(config, tmp_path / "whole")
    log = tmp_path / "log.txt"
    log.unlink()
    seen = []

    def stop(news) -> None:
        seen.append(news)
        if len(seen) == stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drive(config, tmp_path / "out", callback=stop)
    assert not (tmp_path / "out" / "result.json").exists()
    done = {p.parent for p in (tmp_path / "out").glob("iteration_*/*/status.json")}
    assert len(done) >= stop_at
    before = log.read_text().splitlines()
    again = drive(config, tmp_path / "out", resume=True)
    np.testing.assert_array_equal(whole.found.members, again.found.members)
    assert whole.found.n_runs == again.found.n_runs
    after = log.read_text().splitlines()[len(before) :]
    finished = {f"{int(p.parent.name[-3:])} {int(p.name[-3:])}" for p in done}
    assert not finished & set(after)
    assert len(finished) + len(after) == 24
    assert drive(config, tmp_path / "out", resume=True).found.n_runs == 24  # nothing left to do


def test_all_crash(study, tmp_path):
    with pytest.raises(InputError, match=r"0 in iteration 1; 12 of them: exit code 7: the soil"):
        drive(study("all"), tmp_path / "out")


def test_a_command_that_does_not_exist(study, tmp_path):
    config = study()
    path = tmp_path / "study.toml"
    path.write_text(path.read_text().replace(sys.executable, "/no/such/program"))
    with pytest.raises(InputError, match="a command that can be started"):
        drive(read_drive(path), tmp_path / "out")
    assert config.command[0] == sys.executable


def test_folders_are_not_mixed_up(study, tmp_path):
    config = study()
    with pytest.raises(InputError, match="the folder of a drive that was stopped"):
        drive(config, tmp_path / "out", resume=True)
    drive(config, tmp_path / "out")
    with pytest.raises(InputError, match="a folder that does not exist yet"):
        drive(config, tmp_path / "out")
    other = study(options="options = { members = 12, steps = 3 }")
    with pytest.raises(InputError, match="a state of the same problem"):
        drive(other, tmp_path / "out", resume=True)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "etki"', 'name = "lm"', "name in study.toml, .method. to be one of 4denvar"),
        ("steps = 2", "stepps = 2", "did you mean 'steps'"),
        ("steps = 2", "steps = -1", "steps of 0"),
        ("sigma = 0.2", "sigma = [0.2]", None),
        ("sigma = 0.2", "sigma = [0.2, 0.3]", "or one for each of 3 values"),
        ("sigma = 0.2", "sigma = 0.0", "a number above 0 for sigma"),
        ("upper = 2.0", "upper = -3.0", "a lower bound below the upper bound"),
        ("timeout = 2.0", 'timeout = "2"', "a number for timeout"),
        ("workers = 2", "worker = 2", "did you mean 'workers'"),
        ('title = "A line"', "title = ", "valid TOML in study.toml"),
    ],
)
def test_a_configuration_with_a_slip(study, tmp_path, old, new, message):
    study()
    path = Path(tmp_path / "study.toml")
    path.write_text(path.read_text().replace(old, new))
    if message is None:
        assert read_drive(path).sigma.tolist() == [0.2] * 3
        return
    with pytest.raises(InputError, match=message):
        read_drive(path)


def test_observations_from_a_table(study, tmp_path):
    study()
    (tmp_path / "seen.csv").write_text("value,sigma\n1.5,0.1\n,0.2\n2.5,0.3\n")
    path = tmp_path / "study.toml"
    text = path.read_text()
    begin, end = text.index("values ="), text.index("[method]")
    path.write_text(text[:begin] + 'file = "seen.csv"\n' + text[end:])
    config = read_drive(path)
    np.testing.assert_array_equal(config.observed, [1.5, np.nan, 2.5])
    np.testing.assert_array_equal(config.sigma, [0.1, 0.2, 0.3])
    (tmp_path / "seen.csv").write_text("value\n1.5\n")
    with pytest.raises(InputError, match="in the columns value and sigma"):
        read_drive(path)


# -- models that do not hear -----------------------------------------------------------------------


@pytest.mark.parametrize("method", each_method(MEMBER_METHODS))
def test_a_model_that_ignores_its_parameters_has_no_estimate(study, tmp_path, method):
    config = study("deaf", method, f"options = {{ {OPTIONS[method]} }}")
    with pytest.raises(InputError, match=r"depend on a free parameter \(a, b\). Got none that ch"):
        drive(config, tmp_path / "out")
    assert not (tmp_path / "out" / "result.json").exists()


MORE = {
    "etki": "members = 20, steps = 3",
    "ga": "members = 6, max_iterations = 60, patience = 5",
    "cma": "",
    "uki": "",
}


@pytest.mark.parametrize("method", ["etki", "uki", "4denvar", "ga"])
def test_a_parameter_without_effect_is_named_and_has_no_estimate(study, tmp_path, capsys, method):
    config = study("half deaf", method, f"options = {{ {MORE.get(method, 'members = 20')} }}")
    found = drive(config, tmp_path / "out")
    assert found.found.no_effect == ("b",)
    assert np.isfinite(found.found.estimate["b"])
    b = found.summary["parameters"]["b"]
    assert (b["estimate"], b["sd"], b["interval95"], b["no_effect"]) == (None, None, None, True)
    a = found.summary["parameters"]["a"]
    assert a["estimate"] == pytest.approx(1.2 / (1 + 0.2**2 / 3), abs=0.1)
    assert not a["no_effect"]
    print_drive(found.summary)
    told = capsys.readouterr().out
    assert "no effect" in told
    assert "No output depends on b: the observations say nothing of it" in told
    assert "(flat between -2 and 2 m)" in told
