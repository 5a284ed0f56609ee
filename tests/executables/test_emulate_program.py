"""An executable emulated: its runs, its folder, and a calibration on what is read back."""

from __future__ import annotations

import json

import numpy as np
import pytest

import caliche
from caliche.commands.emulate.run import emulate_program
from caliche.emulators.store import load_outputs
from caliche.errors import InputError
from caliche.executables.config import is_drive, read_drive
from caliche.executables.problem import program_problem


def test_an_executable_is_emulated_and_calibrated_on_its_emulator(study, tmp_path):
    path, folder = study("bad", timeout=2.0), tmp_path / "E"
    assert is_drive(path)
    assert not is_drive("twin-two-depths")
    config = read_drive(path)
    found, _, summary = emulate_program(config, runs=12, out=folder)
    assert found.passed
    assert (summary["failed"], sum(summary["failures"].values())) == (3, 3)
    assert len(list((folder / "members").glob("batch_000/member_*"))) == 16
    assert not (tmp_path / "E.members").exists()
    assert json.loads((folder / "summary.json").read_text())["failures"] == summary["failures"]

    with pytest.raises(InputError, match="an experiment of its own"):
        _ = caliche.read_results(folder).experiment
    problem = caliche.open_emulation(folder)
    outputs = load_outputs(folder / "emulator.nc")
    assert outputs.names == ("outputs: value 1", "outputs: value 2")
    u = np.zeros((1, 2))  # a = b = 0: all outputs are zero
    mean, variance = found.emulator.predict(u)
    assert np.all(np.abs(mean) < 4.0 * np.sqrt(variance))
    result = caliche.estimate(problem, "lm")
    assert result.converged
    for name, truth in (("a", 0.5), ("b", 1.0)):
        one = result.parameters[name]
        assert one.sd is not None
        assert abs(one.estimate - truth) < one.sd


def test_an_executable_has_no_slopes_and_is_not_run_in_compiled_code(study, tmp_path):
    config = read_drive(study())
    with pytest.raises(InputError, match="whose slopes are known"):
        emulate_program(config, gradients="always", out=tmp_path / "E")
    (tmp_path / "F.members").mkdir()
    (tmp_path / "F.members" / "drive.toml").write_text("another")
    with pytest.raises(InputError, match="were begun"):
        emulate_program(config, out=tmp_path / "F")
    problem = program_problem(config)
    for ask in (problem.forward, problem.misfit, problem.predict_tangents):
        with pytest.raises(InputError, match="that JAX can run"):
            ask(np.zeros(2))
    assert problem.n_observations == 2
