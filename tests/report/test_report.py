import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from caliche import report
from caliche.errors import InputError
from caliche.report import write_report
from caliche.report.run.folder import read_run, stream_label
from caliche.report.run.plates import typical_stretch


class _Page(HTMLParser):
    """Ids, references and the nesting of the elements that must be closed."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.references, self.open, self.figures = [], [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        self.references += [attributes[k] for k in ("src", "href", "xlink:href") if k in attributes]
        self.references += re.findall(
            r"url\(([^)]*)\)", " ".join(v or "" for v in attributes.values())
        )
        self.figures += tag == "figure"
        if tag in ("section", "figure", "table", "svg", "div", "g", "defs"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in ("section", "figure", "table", "svg", "div", "g", "defs"):
            assert self.open.pop() == tag


def page_of(folder):
    return write_report(folder).read_text("utf-8")


@pytest.mark.drawn
def test_the_report_of_a_usual_run(run_folder):
    before = dict(mpl.rcParams)
    path = write_report(run_folder)
    assert path == run_folder / "report.html"
    assert dict(mpl.rcParams) == before
    assert sorted(p.name for p in run_folder.iterdir()) == [
        "config.toml",
        "report.html",
        "result.nc",
        "run.json",
        "summary.json",
    ]
    text = path.read_text("utf-8")
    page = _Page(text)
    assert page.open == []
    # One of the parameters, five streams, two residuals, misfit, trajectories, correlation, energy.
    assert page.figures == 1 + 5 + 2 + 2 + 1 + 1
    assert text.count("<figcaption>") == page.figures
    assert text.count('role="img" aria-label="') == page.figures
    headings = re.findall(r"<h2>([^<]*)</h2>", text)
    assert headings == [
        "In short",
        "Parameters",
        "Observed and modelled",
        "Scores",
        "Residuals",
        "Search",
        "Correlation",
        "Energy balance",
        "Derived quantities",
        "Configuration and versions",
    ]


def test_what_the_report_says(run_folder):
    text = page_of(run_folder).replace("\u00a0", " ")
    for phrase in (
        "Four parameters were estimated from 248 observations",
        "Thermal conductivity is 0.826 ± 0.043 W m⁻¹ K⁻¹ (5 %)",
        "inside the 95 % interval of 3 of 4 parameters; outside: heat transfer coefficient",
        "4 of 5 starts reached the same optimum",
        "<strong>Converged, with 1 parameter at its bound (albedo); 4 of 5 starts reached this "
        "optimum.</strong>",
        "(r = 0.97): only their combination is well constrained",
        "The error bars were widened for this, to 2.6 times the naive ones.",
        "The first 3 observations were dropped as spin-up.",
        "Held out: 2012-05-07 01:00 to 2012-05-09 00:00, local standard time (UTC−7).",
        "Rn − Qh − Qle − G is never further from zero than 3 × 10⁻¹³ W m⁻²",
        "Ground heat flux was not measured",
        "(5.57 ± 0.21) × 10⁻⁷",
        "caliche run phoenix.toml",
    ):
        assert phrase in text, phrase
    assert "This calibration did not converge" not in text


@pytest.mark.drawn
def test_everything_is_escaped(run_folder):
    text = page_of(run_folder)
    assert "The experiment &lt;b&gt;as it was run&lt;/b&gt; &amp; nothing else" in text
    assert "Four parameters from &lt;two&gt; soil temperatures &amp; nothing else." in text


@pytest.mark.drawn
def test_a_malicious_name_is_escaped_in_figures_too(build_run):
    def spoil(summary, dataset):
        summary["parameters"]["deep_temperature"]["long_name"] = '<script>"x"</script> & co'
        dataset["net_radiation_observed"].attrs["long_name"] = '"><img src=x>'

    text = page_of(build_run(change=spoil))
    assert "<script" not in text
    assert "<img" not in text
    assert _Page(text).open == []


@pytest.mark.drawn
def test_nothing_is_loaded_from_outside(run_folder):
    text = page_of(run_folder)
    page = _Page(text)
    outside = [r for r in page.references if not r.startswith("#")]
    assert outside == []
    assert "@import" not in text
    assert "<script" not in text
    assert not re.search(r"url\((?!#)", text)


@pytest.mark.drawn
def test_ids_are_unique_and_every_reference_meets_one(run_folder):
    page = _Page(page_of(run_folder))
    assert len(page.ids) == len(set(page.ids))
    assert {r[1:] for r in page.references} <= set(page.ids)


@pytest.mark.drawn
def test_a_rebuild_is_identical_to_the_byte(run_folder):
    first = write_report(run_folder).read_bytes()
    with mpl.rc_context({"font.size": 30, "axes.grid": True}):
        assert write_report(run_folder).read_bytes() == first


def test_a_run_that_did_not_converge_says_so_first(build_run):
    text = page_of(build_run(converged=False))
    alarm = text.index("This calibration did not converge: the limit of 14 iterations")
    assert alarm < text.index("<h2>")
    assert not re.search(r"\d\s*±", text[:alarm])
    assert "The true value lies" not in text


@pytest.mark.parametrize("name", ["summary.json", "result.nc", "config.toml"])
def test_a_missing_file_is_named(run_folder, name):
    (run_folder / name).unlink()
    with pytest.raises(InputError, match=rf"without {re.escape(name)}\. Try"):
        write_report(run_folder)
    assert not (run_folder / "report.html").exists()


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="not a folder that exists"):
        write_report(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["summary.json", "result.nc"])
def test_a_file_cut_short(run_folder, name):
    content = (run_folder / name).read_bytes()
    (run_folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="can be read"):
        write_report(run_folder)


def test_a_summary_without_its_parameters(run_folder):
    summary = json.loads((run_folder / "summary.json").read_text("utf-8"))
    del summary["parameters"]
    (run_folder / "summary.json").write_text(json.dumps(summary), "utf-8")
    with pytest.raises(InputError, match=r"'parameters' in summary\.json"):
        write_report(run_folder)


@pytest.mark.drawn
def test_the_smallest_run(build_run):
    folder = build_run(
        steps=100,
        starts=1,
        iterations=1,
        parameters=("thermal_conductivity",),
        streams=("soil_temperature_0.05m",),
        holdout=False,
        band=False,
        energy=False,
    )
    text = page_of(folder)
    assert _Page(text).open == []
    assert "<h2>Correlation</h2>" not in text
    assert "<h2>Energy balance</h2>" not in text
    assert "so other optima were not looked for" in text
    assert "No part of the record was held out" in text
    assert "hold-out, not used" not in text


@pytest.mark.drawn
def test_a_run_of_gaps_and_nulls(build_run):
    def spoil(summary, dataset):
        for name in list(dataset.data_vars):
            if dataset[name].dtype.kind == "f":
                dataset[name] = dataset[name] * np.nan
        for entry in summary["parameters"].values():
            entry |= {"sd": None, "sd_naive": None, "interval95": [None, None], "truth": None}
            entry |= {"lower": None, "upper": None, "initial": None}
        summary["correlation"]["matrix"] = [[None] * 4 for _ in range(4)]
        for start in summary["starts"]:
            start |= {"misfit": None, "estimate": dict.fromkeys(start["estimate"])}
        for table in ("fit", "holdout"):
            for score in summary[table].values():
                score |= dict.fromkeys(("rmse", "bias", "r", "nse", "sd_obs", "sd_model"))
        for entry in summary["residuals"].values():
            entry |= dict.fromkeys(entry)
        for entry in summary["derived"].values():
            entry |= {"value": None, "sd": None}
        summary["seconds"] = {"import": None, "compile": None, "run": None}

    text = page_of(build_run(change=spoil))
    assert _Page(text).open == []
    assert "None" not in re.sub(r"None of the", "", text)
    assert not re.search(r"\bnan\b", text.replace("-nan-", ""))


def test_optional_parts_of_a_run_may_be_absent(build_run):
    def spoil(summary, dataset):
        for key in (
            "description",
            "holdout",
            "residuals",
            "derived",
            "warnings",
            "versions",
            "command",
            "created",
            "starts",
            "correlation",
            "seconds",
            "n_iterations",
            "n_model_runs",
            "seed",
            "experiment",
        ):
            del summary[key]
        for name in ("misfit", "trajectory", "start_converged", "holdout"):
            del dataset[name]
        dataset.attrs.clear()

    text = page_of(build_run(change=spoil))
    assert _Page(text).open == []
    assert "Times are in UTC" in text


@pytest.mark.drawn
def test_a_run_without_free_parameters(build_run):
    def fix(summary, dataset):
        for entry in summary["parameters"].values():
            entry |= {"fixed": True, "sd": None, "interval95": None}
        summary["correlation"] = {"names": [], "matrix": []}

    assert "No parameter was free." in page_of(build_run("fixed", change=fix))


@pytest.mark.drawn
def test_a_year_of_half_hours_stays_small(build_run):
    path = write_report(build_run(steps=17520, step_minutes=30, starts=50, iterations=200))
    assert path.stat().st_size < 3e6
    text = path.read_text("utf-8")
    assert "Daily means" in text
    assert "Close up" in text


@pytest.mark.drawn
def test_energy_closure_with_every_term_measured(build_run):
    def add(summary, dataset):
        net = dataset["net_radiation_observed"]
        dataset["turbulent_heat_flux_observed"] = 0.8 * net
        attrs = {"units": "W m-2", "long_name": "ground heat flux", "fitted": 0}
        dataset["ground_heat_flux_0.05m_observed"] = ("time", 0.1 * net.values, attrs)

    text = page_of(build_run(change=add))
    assert "Measured: Rn − Qh − Qle − G is" in text
    assert "Qh + Qle is 0.89 times Rn − G" in text
    assert "Ground heat flux G, observed at 0.05 m" in text


def test_local_time_and_stream_order(run_folder):
    run = read_run(run_folder)
    assert str(run.local_time[0]) == "2012-05-01T00:00:00"
    assert run.step == np.timedelta64(3600, "s")
    assert [stream.fitted for stream in run.streams] == [True, True, False, False, False]
    assert run.streams[0].label == "soil temperature at 0.05 m"


@pytest.mark.parametrize(
    ("name", "long_name", "label"),
    [
        ("soil_temperature_0.05m", "", "soil temperature at 0.05 m"),
        ("soil_temperature_0.05m", "soil temperature at 0.05 m", "soil temperature at 0.05 m"),
        ("net_radiation", "net radiation, positive downwards", "net radiation"),
        ("snow_cover", "", "snow cover"),
        ("snow_cover", "snow, of any kind", "snow"),
    ],
)
def test_stream_labels(name, long_name, label):
    assert stream_label(name, long_name) == label


def test_the_report_does_not_wait_for_jax():
    code = "import sys, caliche.report; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("knots", "over"),
    [(("00:00", "12:00"), "over the day"), (("2012-05-01", "2012-05-05"), "in time")],
)
def test_what_varies_and_estimated_errors_are_told(build_run, knots, over):
    def vary(summary, dataset):
        for k, knot in enumerate(knots):
            entry = {**summary["parameters"]["thermal_conductivity"], "knot": knot}
            entry |= {"estimate": 0.5 + k, "long_name": f"sky share, {knot}", "unit": "W m-2"}
            summary["parameters"][f"sky_share[{knot}]"] = entry
        time = np.linspace(0.5, 1.5, dataset.sizes["time"])
        for end, shift in (("", 0.0), ("_lower", -0.1), ("_upper", 0.1)):
            dataset[f"parameter_sky_share{end}"] = ("time", time + shift)
        summary["hyperparameters"] = {
            "sigma": {"outgoing_longwave": 2.934},
            "autocorrelation": {"outgoing_longwave": 0.913},
        }

    text = page_of(build_run("varying", change=vary)).replace("\u00a0", " ")
    assert f"Sky share varies {over}, from 0.5 to 1.5 W m⁻² (2 knots)." in text
    assert "The size of errors was estimated too: 2.93 W m⁻² for outgoing longwave" in text
    assert "from one time step to the next: 0.91 for outgoing longwave" in text


@pytest.mark.drawn
def test_a_band_of_one_step_does_not_scale_the_figure(build_run):
    def spoil(summary, dataset):
        band = dataset["soil_temperature_0.05m_band"]
        band[100] = 3000.0
        dataset["soil_temperature_0.15m_first_guess"][60:64] = np.inf
        dataset["model_sensible_heat_flux"][100] = 1e6

    text = page_of(build_run(change=spoil))
    figures: dict[str, str] = {}
    for part in text.split("<figure>")[1:]:
        for title in re.findall(r"<h3>([^<]*)</h3>", part):
            figures.setdefault(title, part)  # the series come before the residuals
    shown = figures["Soil temperature at 0.05 m (fitted)"]
    ticks = [float(t) for t in re.findall(r">(\d{2,4})</text>", shown)]
    assert max(t for t in ticks if t != 2012) < 330
    assert "mark where a line or a band leaves the axis" in shown
    assert "leaves the axis" in figures["Soil temperature at 0.15 m (fitted)"]
    assert "leaves the axis" not in figures["Net radiation (only scored)"]
    assert "leaves the axis" in figures["Mean day"]
    assert max(float(t) for t in re.findall(r">(\d{2,7})</text>", figures["Mean day"])) < 2000


@pytest.mark.drawn
def test_the_close_up_of_a_long_record_says_how_it_was_chosen(build_run):
    folder = build_run(steps=4000)
    assert (
        "of all stretches of 8 days in the fit period with nearly all observations, the one whose "
        "misfit is nearest the median"
    ) in page_of(folder)
    run = read_run(folder)
    window, _ = typical_stretch(run, [s for s in run.streams if s.fitted], 192)
    assert not run.holdout[window].any()


@pytest.mark.drawn
def test_dollars_and_underscores_in_names_stay_what_they_are(build_run):
    names = r"costs of $\albedo^{2 & 3_$ 5$"

    def spoil(summary, dataset):
        summary["title"] = names
        for entry in summary["parameters"].values():
            entry["long_name"] = names

    text = page_of(build_run(change=spoil))
    assert r"costs of $\albedo^{2 &amp; 3_$ 5$" in text
    assert text.count(r"osts of $\albedo^{2") > 8  # in the figures too


TEMPLATES = sorted(Path(report.__file__).parents[1].rglob("*.j2"))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_table_can_scroll_in_a_box_with_a_name(template):
    text = template.read_text("utf-8")
    boxes = re.findall(
        r'<div class="scroll" tabindex="0" role="group" aria-label="[^"]+">\s*<table', text
    )
    assert len(boxes) == text.count("<table")
