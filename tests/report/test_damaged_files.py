"""A damaged file in the folder of any command is one sentence that names it, and no traceback."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from caliche.commands.assimilate import summary as assimilate
from caliche.commands.assimilate.page import write_assimilation_page
from caliche.commands.joint import summary as joint
from caliche.commands.joint.page import write_joint_page
from caliche.commands.screen import page as screen_page
from caliche.commands.screen import summary as screen
from caliche.commands.variants import summary as variants
from caliche.commands.variants.page import write_variants_page
from caliche.errors import InputError
from caliche.evaluation.scores import Score
from caliche.files.manifest import write_manifest
from caliche.keys.records import Known, checked, json_text, to_json
from caliche.report import style, write_report
from caliche.report.run.folder import read_run
from caliche.runs.kinds import wrong_folder
from caliche.runs.open_run import read_hyperparameters
from caliche.runs.posterior_summary import IntervalEntry, PosteriorParameter, PosteriorSummary
from caliche.runs.read_results import read_results
from caliche.runs.run_summary import REMEDY, RunSummary

HALF = "the half"
TEXTS: dict[str, str | bytes] = {
    "empty": b"",
    "half": HALF,
    "html": "<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "binary": bytes(range(128, 256)),
    "list": "[1, 2]",
    "null": "null",
    "number": "3.5",
    "table of nothing": "{}",
    "NaN": '{"converged": NaN}',
    "deep": "[" * 100_000,
    "digits": '{"seed": 1' + "0" * 5000 + "}",
    "huge": '{"title": 1e999}',
}
TIMES = np.datetime64("2024-06-01T00:00", "ns") + np.arange(9) * np.timedelta64(1, "h")


def assimilation(folder: Path) -> Callable[[Path], Path]:
    """The folder of an assimilation of one window."""
    own = {"estimate": Known(1.0), "sd": 0.1, "interval": (0.8, 1.2)}
    window = assimilate.WindowEntry(
        number=1,
        observations=8,
        converged=True,
        reason="converged",
        start="2024-06-01T00:00",
        end="2024-06-01T08:00",
        parameters={"albedo": assimilate.Estimate(**own)},
    )
    last = assimilate.LastEstimate(
        long_name="albedo", unit="1", initial=0.3, prior="flat", truth=None, **own
    )
    found = assimilate.AssimilationSummary(
        experiment="one",
        title="One window",
        utc_offset=Known(0.0),
        window_days=Known(1.0),
        converged=True,
        parameters={"albedo": last},
        streams={"surface_temperature": assimilate.StreamEntry(unit="K", n=8)},
        windows=(window,),
        sentences=("A sentence.",),
    )
    (folder / "summary.json").write_text(json_text(found))
    table = ("window", "parameter"), np.ones((1, 1))
    by_stream = ("window", "stream"), np.ones((1, 1))
    names = ("estimate", "sd", "interval95_lower", "interval95_upper")
    data: dict[str, Any] = dict.fromkeys(names, table)
    data |= {f"innovation_{key}": by_stream for key in ("rmse", "chi_square", "freedom")}
    data |= {
        f"surface_temperature_{kind}": ("time", np.linspace(290.0, 300.0, 9))
        for kind in ("observed", "forecast", "analysis")
    }
    data |= {"window_start": ("window", TIMES[:1]), "window_end": ("window", TIMES[-1:])}
    coordinates = {
        "time": TIMES,
        "window": [1],
        "parameter": ["albedo"],
        "stream": ["surface_temperature"],
    }
    xr.Dataset(data, coordinates).to_netcdf(folder / "result.nc", engine="h5netcdf")
    return write_assimilation_page


def joined(folder: Path) -> Callable[[Path], Path]:
    """The folder of a joint calibration of one site."""
    estimate = joint.Estimate(
        long_name="albedo", unit="1", estimate=Known(0.2), sd=0.1, interval95=(0.1, 0.3)
    )
    scores = {"surface_temperature": joint.StreamScores(True, Score(9, 0.5, nse=0.9), None)}
    own = {"albedo": estimate}
    site = joint.SiteEntry(converged=True, reason="", cost=Known(3.0), by_itself=own, together=own)
    found = joint.JointSummary(
        title="Joint",
        converged=True,
        reason="converged",
        share={"albedo": joint.ShareEntry("global", None, False)},
        parameters=own,
        cost=joint.CostEntry(Known(3.0), Known(0.0)),
        sites={"one": site},
        scores={"by itself": {"one": scores}, "together": {"one": scores}},
        sentences=("A sentence.",),
    )
    (folder / "summary.json").write_text(json_text(found))
    xr.Dataset({"u": ("parameter", [0.0])}).to_netcdf(folder / "result.nc", engine="h5netcdf")
    return write_joint_page


def screened(folder: Path) -> Callable[[Path], Path]:
    """The folder of a screening by Morris' method."""
    effect = screen.Effect(1.0, 0.3, mu=three(), mu_star=three(), sigma=three())
    outputs = {
        kind: screen.OutputEntry(varies=True, sd=Known(0.3), parameters={"albedo": effect})
        for kind in ("mean", "rmse")
    }
    stream = screen.StreamEntry("K", "surface temperature", True, 0.5, 9, outputs)  # type: ignore[arg-type]
    found = screen.ScreeningSummary(
        experiment="one",
        title="One",
        method="morris",
        runs=8,
        failed=0,
        dropped=0,
        samples=4,
        seed=0,
        keep=Known(0.95),
        over="priors",
        bin="step",
        groups={"albedo": ("albedo",)},
        parameters={"albedo": screen.ParameterEntry("1", "albedo", "flat", Known(0.2))},
        streams={"surface_temperature": stream},
        kept=("albedo",),
        fixed=(),
        sentences=("A sentence.",),
        warnings=(),
    )
    (folder / "summary.json").write_text(json_text(found))
    coordinates = {"stream": ["surface_temperature"], "parameter": ["albedo"]}
    data = {"mean_mean": ("stream", [300.0])}
    xr.Dataset(data, coordinates).to_netcdf(folder / "screening.nc", engine="h5netcdf")
    return screen_page.write_screening_page


def three() -> tuple[Known, Known, Known]:
    return Known(0.5), Known(0.4), Known(0.6)


def varied(folder: Path) -> Callable[[Path], Path]:
    """The folder of variants: a base and one that could not run."""
    shift = variants.ShiftEntry(Known(0.2), 0.1, False, False, 0.0)
    base = variants.Record(
        "base",
        "base",
        "own",
        "as it is",
        "",
        "converged",
        "",
        parameters={"albedo": variants.ParameterEntry("albedo", "1", Known(0.2), 0.1, False)},
        optimum={"albedo": 0.0},
        optimum_physical={"albedo": 0.2},
        residuals={"surface_temperature": variants.ResidualEntry(9)},
        fit={"surface_temperature": variants.ScoreEntry(9, "K", True, 0.5)},
        chi_square={"surface_temperature": 9.0},
        fit_until="2024-06-01T08:00:00",
        n_effective_parameters=1.0,
        shifts={"albedo": (shift,)},
        rmse=variants.ErrorEntry(0.5, "K"),
        comparable=True,
        holdout_comparable=True,
    )
    lost = variants.Record("x", "x", "physics", "another", "a = 1", "cannot run", "no data")
    other = variants.Record(**{**vars(base), "name": "y", "family": "y"})
    found = variants.VariantsSummary("one", "One", base, (lost, other), (), (), 9.0)
    (folder / "variants.json").write_text(json_text(found))
    return write_variants_page


KINDS = {"assimilate": assimilation, "joint": joined, "screen": screened, "variants": varied}


@pytest.fixture(autouse=True)
def nothing_is_drawn(monkeypatch):
    """Figures are made but not written, which is most of the time that they take."""
    monkeypatch.setattr(style, "to_svg", lambda *_: "<svg/>")
    monkeypatch.setattr(screen_page, "_write_figure", lambda *_: None)


def refused(go: Callable[[Path], Any], folder: Path, file: Path) -> None:
    """What reads a folder either can do without a file, or names it in one sentence."""
    told = ""
    try:
        go(folder)
    except InputError as error:
        told = str(error)
    assert not told or file.name in told
    assert "\n" not in told


def damage(file: Path, text: str | bytes) -> None:
    content = file.read_bytes()
    if text == HALF:
        text = content[: len(content) // 2]
    file.write_bytes(text.encode() if isinstance(text, str) else text)


@pytest.mark.parametrize("how", TEXTS)
@pytest.mark.parametrize("kind", KINDS)
def test_pages_of_damaged_files(tmp_path, kind, how):
    folder = tmp_path / "run"
    folder.mkdir()
    write_manifest(folder, kind)
    (folder / "config.toml").write_text("name = 'one'\n")
    go = KINDS[kind](folder)
    if how == "empty":
        go(folder)  # it is sound before
    for file in sorted(folder.iterdir()):
        if file.suffix in (".html", ".svg"):
            continue
        whole = file.read_bytes()
        damage(file, TEXTS[how])
        refused(go, folder, file)
        if file.name in ("summary.json", "variants.json"):
            with pytest.raises(InputError):
                go(folder)
        file.write_bytes(whole)


@pytest.mark.parametrize("how", TEXTS)
def test_runs_of_damaged_files(run_folder, how):
    posterior = PosteriorSummary(
        "Intervals.",
        {"thermal_conductivity": PosteriorParameter(Known(0.8), laplace=IntervalEntry((0.7, 0.9)))},
    )
    (run_folder / "posterior.json").write_text(json_text(posterior))
    for name in ("summary.json", "result.nc", "config.toml", "posterior.json"):
        file = run_folder / name
        whole = file.read_bytes()
        damage(file, TEXTS[how])
        if name != "config.toml":  # which the page only shows
            with pytest.raises(InputError, match=name.replace(".", r"\.")):
                write_report(run_folder)
        refused(read_results, run_folder, file)
        if name == "summary.json":
            refused(read_hyperparameters, run_folder, file)
        file.write_bytes(whole)


def spoiled(content: Any) -> Iterator[Any]:
    """Copies of a table, each with one value taken out or replaced; of a list or a table of alike
    entries the first one."""

    def places(value: Any, at: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        yield at
        if isinstance(value, dict):
            for key in value:
                yield from places(value[key], (*at, key))
        elif isinstance(value, list) and value:
            yield from places(value[0], (*at, 0))

    for *above, last in (at for at in places(content, ()) if at):
        for new in ("taken out", None, "x", [], {}, [None], True, -1, 1e300):
            changed = copy.deepcopy(content)
            inside = changed
            for key in above:
                inside = inside[key]
            if new == "taken out" and isinstance(inside, dict):
                del inside[last]
            else:
                inside[last] = new
            yield changed


def test_every_value_of_a_summary_is_looked_at(build_run):
    """What is accepted is a whole record again."""
    small = build_run(
        steps=96, starts=1, parameters=("deep_temperature",), streams=("net_radiation",)
    )
    path = small / "summary.json"
    whole = json.loads(path.read_text())
    refusals = 0
    for table in spoiled(whole):
        try:
            found = checked(RunSummary, table, path, REMEDY)
        except InputError as error:
            refusals += str(path) in error.got and error.suggestion == REMEDY
        else:
            assert checked(RunSummary, to_json(found), path, REMEDY).title == found.title
    assert refusals > 250


SERIES = "soil_temperature_0.05m_modelled"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d.drop_vars("time"), "time"),
        (lambda d: d.assign_coords(time=np.arange(d.sizes["time"])), "times"),
        (lambda d: d.assign_coords(time=d.time[::-1].values), "increase"),
        (lambda d: d.assign({SERIES: ("time", np.full(d.sizes["time"], "x"))}), "numbers"),
        (lambda d: d.assign({SERIES: ("other", [1.0])}), "time"),
        (lambda d: d.assign({SERIES: ("time", np.full(d.sizes["time"], 1e308))}), "below"),
        (lambda d: d.assign(misfit=("start", d.misfit.values[:, 0])), "misfit"),
        (lambda d: d.assign_attrs(utc_offset="x"), "utc_offset"),
        (lambda d: d.assign_attrs(utc_offset=1e300), "utc_offset"),
        (
            lambda d: d.assign({SERIES[:-8] + "observed": d[SERIES].assign_attrs(sigma="x")}),
            "sigma",
        ),
    ],
)
def test_arrays_of_a_run_that_are_not_what_they_should_be(run_folder, change, told):
    path = run_folder / "result.nc"
    with xr.open_dataset(path, engine="h5netcdf") as opened:
        whole = opened.load()
    change(whole).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(InputError, match=told) as error:
        read_run(run_folder)
    assert str(path) in str(error.value)


def test_a_newer_version_may_write_more(run_folder):
    path = run_folder / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "of_tomorrow": {"a": [1]}}))
    assert read_run(run_folder).summary.title.startswith("Soil heat")


def test_a_folder_whose_name_is_too_long_and_a_page_that_cannot_be_written(run_folder):
    assert wrong_folder(Path("x" * 300), "estimate") is not None
    (run_folder / "report.html").mkdir()
    with pytest.raises(InputError, match="can be written"):
        write_report(run_folder)
    shutil.rmtree(run_folder / "report.html")
