"""The commands that need no calibration, and what a terminal or a pipe sees of them."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

from caliche.experiments import bundled, load_experiment
from caliche.models.soil_heat.closures import CLOSURES
from caliche.terminal import tables
from caliche.terminal.exits import BAD_INPUT, INTERRUPTED, NOT_CONVERGED, OK

ESCAPE = "\x1b"

STOPPED = "caliche: interrupted; nothing was written\n"


def test_light_commands_do_not_wait_for_jax(tmp_path):
    code = """
import sys
from caliche import cli
for arguments in ["--help"], ["estimate", "--help"], ["experiments"], ["data"], ["init", "a.toml"]:
    sys.argv = ["caliche", *arguments]
    try:
        cli.main()
    except SystemExit as ending:
        assert ending.code == 0, arguments
    assert "jax" not in sys.modules, arguments
    heavy = {"xarray", "matplotlib", "pandas", "scipy", "rich.progress"} & set(sys.modules)
    assert "--help" not in arguments or not heavy, (arguments, heavy)
"""
    folder = tmp_path / "data"
    folder.mkdir()
    environment = {"PATH": "", "CALICHE_DATA": str(folder), "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.toml").is_file()


def test_the_module_runs_as_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "caliche", "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Usage: caliche ")


@pytest.mark.parametrize(
    ("body", "code", "out", "err"),
    [
        ("print('done', end='')\n    raise SystemExit(3)", 3, "done at exit", ""),
        ("print('done', end='')\n    raise ValueError('why')", 1, "done at exit", "why"),
        ("print('done', end='')", 1, "done at exit", ""),  # `main` never returns
        ("raise KeyboardInterrupt", 130, " at exit", STOPPED),
    ],
)
def test_the_command_ends_at_once_with_all_said_and_done(body, code, out, err):
    program = f"""
import atexit, sys, types
from caliche import __main__ as command
def main():
    atexit.register(lambda: print(" at exit", end=""))
    {body}
sys.modules["caliche.cli"] = types.SimpleNamespace(main=main)
command.command()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (code, out)
    assert err in done.stderr
    assert ("Traceback" in done.stderr) == (err == "why")


def test_an_interrupt_while_the_command_line_is_imported_is_one_sentence():
    program = """
import sys
from caliche import __main__ as command
class Interrupted:
    def __getattr__(self, name):
        raise KeyboardInterrupt
sys.modules["caliche.cli"] = Interrupted()
command.command()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", STOPPED)


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_names_every_command(caliche, arguments):
    outcome = caliche(*arguments)
    assert outcome.code == 0
    for name in (
        "estimate",
        "sites",
        "simulate",
        "check",
        "report",
        "score",
        "identify",
        "design",
        "screen",
        "emulate",
        "posterior",
        "variants",
        "data",
        "experiments",
        "parameters",
        "joint",
        "assimilate",
        "compare",
        "drive",
        "train",
        "init",
    ):
        assert f"\n  {name} " in outcome.out
    assert not outcome.out.rstrip().endswith("...")
    assert "...\n  " not in outcome.out.partition("Start here:")[2], "a summary is cut off"


def test_options_of_estimate(caliche):
    out = caliche("estimate", "--help").out
    for option in ("--method", "--starts", "--seed", "--out", "--set"):
        assert option in out


def test_experiments_lists_all(caliche):
    outcome = caliche("experiments")
    assert outcome.code == 0
    for name, title in bundled().items():
        assert any(
            line.startswith(name + " ") and title in line for line in outcome.out.splitlines()
        )


def test_data_lists_folders(caliche, tmp_path, monkeypatch):
    site = tmp_path / "xx-tow-2024"
    site.mkdir()
    (site / "README.md").write_text("# A tower\n")
    (site / "tower.csv").write_text("")
    monkeypatch.setenv("CALICHE_DATA", str(tmp_path))
    rows = caliche("data").out.splitlines()
    assert rows[-1].split("   ") == ["xx-tow-2024", "A tower", "README.md, tower.csv"]


def test_parameters_lists_each_closure(caliche):
    everything = caliche("parameters").out
    for closure in CLOSURES:
        some = caliche("parameters", closure).out
        assert "thermal_conductivity " in some
        names = [line.split()[0] for line in some.splitlines()[2:]]
        assert all(f"\n{name} " in everything for name in names)
    assert "bowen_ratio" not in caliche("parameters", "combined").out
    line = next(row for row in everything.splitlines() if row.startswith("thermal_conductivity "))
    for part in ("W m-1 K-1", "0.8", "0.05 to 5", "thermal conductivity of the soil", "Oke"):
        assert part in line


@pytest.mark.parametrize("arguments", [["parameters"], ["experiments"], ["data"]])
def test_tables_fit_a_terminal(caliche, tmp_path, monkeypatch, arguments):
    site = tmp_path / ("a-site-of-a-long-name" * 2)
    site.mkdir()
    (site / "README.md").write_text("# " + "A title of many words " * 8)
    monkeypatch.setenv("CALICHE_DATA", str(tmp_path))
    monkeypatch.setattr(tables.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    narrow = caliche(*arguments).out
    assert max(map(len, narrow.splitlines())) <= 80
    monkeypatch.setenv("COLUMNS", "300")
    wide = caliche(*arguments).out
    assert ESCAPE not in narrow + wide
    assert len(wide.splitlines()) <= len(narrow.splitlines())
    # Whatever is told in many columns is told in few.
    words = {word for word in wide.split()[1:] if "─" not in word}
    assert set(narrow.split()) >= words


def test_a_narrow_terminal_loses_columns_one_by_one(capsys, monkeypatch):
    monkeypatch.setattr(tables.sys.stdout, "isatty", lambda: True, raising=False)
    rows = [["conductivity", "0.8 ± 0.1", "0.6 to 1.0", "W m-1 K-1"]]
    header = ["parameter", "estimate", "interval", "unit"]
    for columns, kept in (("60", header), ("45", ["parameter", "estimate", "unit"])):
        monkeypatch.setenv("COLUMNS", columns)
        tables.print_table(header, rows, drop=["interval"])
        assert capsys.readouterr().out.splitlines()[0].split() == kept
    monkeypatch.setenv("COLUMNS", "30")
    tables.print_table(header, rows, drop=["interval"])
    assert "  interval   0.6 to 1.0" in capsys.readouterr().out.splitlines()


def test_the_template_is_read_and_builds_once_it_names_a_file(caliche, tower):
    tower.write()
    assert caliche("init", "mine.toml").out == (
        "Wrote mine.toml. Fill it in, then: caliche check mine.toml\n"
    )
    path = tower.folder / "mine.toml"
    text = path.read_text("utf-8")
    tomllib.loads(text)
    # As it comes, the template names a file that is not there.
    assert "'tower.csv'" not in caliche("check", "mine.toml").err
    for theirs, ours in (
        ("TIMESTAMP_END", "TIME"),
        ("2024-06-11T00:00:00", "2024-06-03T01:00:00"),
        ("start = 2024-06-01T00:00:00", "start = 2024-06-01T01:00:00"),
        ("2024-06-15T00:00:00", "2024-06-04T00:00:00"),
        ("time_step = 1800", "time_step = 3600"),
    ):
        assert text.count(theirs) == 1
        text = text.replace(theirs, ours)
    path.write_text(text, "utf-8")
    experiment = load_experiment(path)
    assert experiment.config.title == "My tower"
    problem = experiment.problem()
    assert problem.n_observations > 48
    assert [s.name for s in problem.operator.streams if "turbulent" in s.name] == []
    scored = {s.name for s in experiment.scoring_problem().operator.streams}
    assert "turbulent_heat_flux" in scored


def test_every_alternative_in_the_template_is_one(caliche, tower):
    """Lines that are commented out are TOML too, and their keys are known."""
    tower.write()
    caliche("init", "mine.toml")
    path = tower.folder / "mine.toml"
    kept = []
    for line in path.read_text("utf-8").splitlines():
        bare = line.removeprefix("# ")
        key = bare.partition(" = ")[0]
        wanted = {"resample", "layer_bottoms", "lower", "upper", "start"}
        kept.append(bare if line.startswith("# ") and key in wanted else line)
    text = "\n".join(kept)
    assert sum(line.startswith("# ") for line in kept) < 25
    for name in ("thermal_conductivity", "volumetric_heat_capacity"):
        text = text.replace(f"[parameters.{name}]", f"[parameters.{name}_1]")
    path.write_text(text, "utf-8")
    # Only the time column stands between this and a problem, which is to say all keys were read.
    assert "'TIMESTAMP_END' in tower.csv" in caliche("check", "mine.toml").err


def test_exit_codes_are_as_documented():
    codes = (OK, BAD_INPUT, NOT_CONVERGED, INTERRUPTED)
    assert codes == (0, 2, 3, 130)
