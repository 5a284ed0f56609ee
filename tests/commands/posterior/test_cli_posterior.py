"""`caliche posterior`: what it prints, what it adds to the run's folder, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from caliche.terminal.progress import Progress

RUN = [
    "config.toml",
    "posterior.json",
    "posterior.nc",
    "report.html",
    "result.nc",
    "run.json",
    "summary.json",
]
SHORT = ("--method", "nuts", "--warmup", 100, "--draws", 100)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def posterior_of(folder: Path) -> dict:
    return json.loads((folder / "posterior.json").read_text("utf-8"))


def test_importing_the_command_line_stays_cheap():
    code = (
        "import sys, caliche.cli; "
        "print([m for m in ('jax', 'numpy', 'xarray', 'blackjax') if m in sys.modules])"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert outcome.stdout == "[]\n", outcome.stderr


@pytest.mark.drawn
def test_an_experiment_to_profiles_and_report(caliche, tower):
    tower.write()
    outcome = caliche("posterior", "tower.toml", "--out", "run")
    assert outcome.code == 0, outcome.err
    assert names(tower.folder / "run") == RUN
    lines = outcome.out.splitlines()
    assert lines[1].startswith("A small tower: converged, with a record too short to tell")
    assert lines[1].endswith("; 2 of 2 starts reached this optimum")
    assert lines[3] == "95 % intervals"
    assert lines[4].split() == ["parameter", "Laplace", "profile", "unit"]
    assert lines[6].startswith("combined_heat_transfer_coefficient   ")
    assert lines[-1] == "Report: run/report.html"
    assert "\x1b" not in outcome.out + outcome.err
    summary = json.loads((tower.folder / "run" / "summary.json").read_text("utf-8"))
    found = posterior_of(tower.folder / "run")
    assert found["command"] == "caliche posterior tower.toml --out run"
    assert found["errors"] == "inflated"
    assert "nuts" not in found
    # The Gaussian interval is the one that was reported, and the profile contains the estimate.
    for name, entry in found["parameters"].items():
        reported = summary["parameters"][name]
        np.testing.assert_allclose(entry["laplace"]["interval95"], reported["interval95"], 1e-5)
        low, high = entry["profile"]["interval95"]
        assert low < reported["estimate"] < high
    with xr.open_dataset(tower.folder / "run" / "posterior.nc", engine="h5netcdf") as arrays:
        rise = arrays["profile_rise"].sel(parameter="thermal_conductivity").values
        assert np.nanmin(rise) == pytest.approx(0.0, abs=1e-6)
        assert np.nanmax(rise) > 3.84
    page = (tower.folder / "run" / "report.html").read_text("utf-8")
    assert '<section id="posterior">' in page
    assert "Blue: the profile" in page
    assert "predictive bands" not in page


@pytest.mark.ci
def test_ensembles_stand_beside_curvature(caliche, tower):
    """In the table, the report and the files; with what they foresee of the hold-out."""
    # Beside a bound an ensemble would say that it is not the posterior.
    tower.config["parameters"] |= {
        "combined_heat_transfer_coefficient": {"prior": "normal", "mean": 60.0, "sd": 5.0},
        "thermal_conductivity": {"prior": "normal", "mean": 0.8, "sd": 0.05},
    }
    tower.write()
    flags = ("--method", "etki", "--method", "eki", "--members", 30)
    outcome = caliche("posterior", "tower.toml", "--out", "run", *flags)
    assert outcome.code == 0, outcome.err
    assert names(tower.folder / "run") == RUN
    lines = outcome.out.splitlines()
    assert lines[4].split() == ["parameter", "Laplace", "ETKI", "EKI", "unit"]
    assert "Hold-out, as each method's draws foresee it" in lines
    assert "Note: ETKI: 30 members, " in outcome.out
    found = posterior_of(tower.folder / "run")
    assert set(found["ensembles"]) == {"etki", "eki"}
    assert set(found["skill"]) == {"laplace", "etki", "eki"}
    assert found["bands_by"] == "etki"
    with xr.open_dataset(tower.folder / "run" / "posterior.nc", engine="h5netcdf") as arrays:
        assert arrays["members_etki"].sizes == {"member_etki": 30, "parameter": 3}
        assert {"soil_temperature_0.05m_lower", "members_eki"} <= set(arrays)
        members = arrays["members_etki"].sel(parameter="thermal_conductivity").values
    for name, entry in found["parameters"].items():
        laplace, etki = (np.array(entry[m]["interval95"]) for m in ("laplace", "etki"))
        assert np.abs(etki - laplace).max() < 0.5 * np.ptp(laplace), name
    assert members.mean() == pytest.approx(
        found["parameters"]["thermal_conductivity"]["etki"]["mean"]
    )
    for method, windows in found["skill"].items():
        held = windows["holdout"]["soil_temperature_0.05m"]
        assert held["n"] == 23, method
        assert 0.0 < held["crps"] < held["rmse"]
        assert windows["fit"]["soil_temperature_0.05m"]["covered"] > 0.8
    page = (tower.folder / "run" / "report.html").read_text("utf-8")
    assert "Members of ensembles, smoothed: ETKI orange and EKI dashed pink." in page
    assert "95 % band of the prediction by ETKI" in page
    assert "Hold-out, as each method&#39;s draws foresee it" in page


@pytest.mark.ci
def test_declared_errors_give_narrower_intervals(caliche, tower):
    tower.write()
    assert caliche("estimate", "tower.toml", "--out", "run").code == 0
    widths = []
    for flags in ([], ["--declared"]):
        outcome = caliche("posterior", "run", *flags)
        assert outcome.code == 0, outcome.err
        entries = posterior_of(tower.folder / "run")["parameters"]
        widths.append(
            [np.ptp(entries[n][m]["interval95"]) for n in entries for m in ("laplace", "profile")]
        )
    assert "as if independent" in outcome.out
    assert (np.array(widths[1]) < np.array(widths[0])).all()


@pytest.mark.slow
def test_sampling_stopped_and_gone_on_with(caliche, tower, monkeypatch):
    pytest.importorskip("blackjax")
    tower.write()
    for run in ("one", "two"):
        assert caliche("estimate", "tower.toml", "--out", run).code == 0
    before = (tower.folder / "one" / "result.nc").read_bytes()
    with xr.open_dataset(tower.folder / "one" / "result.nc", engine="h5netcdf") as opened:
        root = opened.load()
    update = Progress.update

    def interrupt(self, text, done=None, total=None, now=False):
        update(self, text, done, total, now)
        if done == 100:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "update", interrupt)
        outcome = caliche("posterior", "one", *SHORT)
    assert outcome.code == 130
    assert "with the same options goes on from there" in outcome.err
    assert "nuts-checkpoint.npz" in names(tower.folder / "one")
    assert (tower.folder / "one" / "result.nc").read_bytes() == before

    outcomes = [caliche("posterior", run, *SHORT) for run in ("one", "two")]
    assert "steps 150 of 200" in outcomes[0].err
    assert "steps 50 of 200" in outcomes[1].err
    for outcome in outcomes:
        assert outcome.code in (0, 3), outcome.err  # so few draws may or may not do
        assert "NUTS: " in outcome.out
    assert names(tower.folder / "one") == RUN
    groups = {}
    for run in ("one", "two"):
        for group in ("posterior", "unconstrained_posterior", "sample_stats", "observed_data"):
            path = tower.folder / run / "result.nc"
            with xr.open_dataset(path, engine="h5netcdf", group=group) as opened:
                groups[run, group] = opened.load()
    draws = groups["one", "posterior"]
    for group in ("posterior", "unconstrained_posterior", "sample_stats"):
        xr.testing.assert_identical(groups["one", group], groups["two", group])
    assert dict(draws.sizes) == {"chain": 4, "draw": 100}
    assert list(draws.data_vars) == list(root["parameter"].values)
    assert set(groups["one", "sample_stats"]) >= {"lp", "diverging", "energy", "acceptance_rate"}
    with xr.open_dataset(tower.folder / "one" / "result.nc", engine="h5netcdf") as opened:
        xr.testing.assert_identical(opened.load(), root)
    seen = groups["one", "observed_data"]["soil_temperature_0.05m"]
    assert int(np.isfinite(seen).sum()) == 49  # none of the hold-out

    # The table is of these draws, and the bands hold most of the observations.
    found = posterior_of(tower.folder / "one")
    for name, entry in found["parameters"].items():
        np.testing.assert_allclose(
            entry["nuts"]["interval95"], np.quantile(draws[name], [0.025, 0.975])
        )
    assert found["bands"]["soil_temperature_0.05m"]["covered"] > 0.8
    page = (tower.folder / "one" / "report.html").read_text("utf-8")
    assert page.count("predictive bands</h3>") == 3
    assert "Sampling: " in page

    # Another method keeps what is there; other errors do not.
    assert caliche("posterior", "one", "--method", "profile").code == 0
    assert "nuts" in posterior_of(tower.folder / "one")
    with xr.open_dataset(tower.folder / "one" / "posterior.nc", engine="h5netcdf") as arrays:
        assert {"profile_rise", "soil_temperature_0.05m_lower"} <= set(arrays)
    assert caliche("posterior", "one", "--method", "laplace", "--declared").code == 0
    assert "nuts" not in posterior_of(tower.folder / "one")
    assert "posterior.nc" not in names(tower.folder / "one")


def test_arviz_reads_the_draws(caliche, tower):
    pytest.importorskip("blackjax")
    arviz = pytest.importorskip("arviz")
    tower.write()
    caliche("posterior", "tower.toml", "--out", "run", *SHORT)
    data = arviz.from_netcdf(str(tower.folder / "run" / "result.nc"))
    summary = arviz.summary(data)
    found = posterior_of(tower.folder / "run")["parameters"]
    for name, entry in found.items():
        assert float(summary.loc[name, "r_hat"]) == pytest.approx(entry["nuts"]["r_hat"], abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing-such"], "nothing-such"),
        (["run", "--method", "mcmc"], "a method, one of laplace, profile, nuts"),
        (["empty"], "a run folder with config.toml, summary.json and result.nc"),
        (["empty", "--out", "other"], "--out"),
        (["tower.toml", "--method", "nuts", "--draws", "0"], "draws of at least"),
    ],
)
def test_what_is_refused_writes_nothing(caliche, tower, arguments, said):
    tower.write()
    (tower.folder / "empty").mkdir()
    before = names(tower.folder)
    outcome = caliche("posterior", *arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert names(tower.folder) == before
    assert names(tower.folder / "empty") == []


def test_without_blackjax_nothing_is_run(caliche, tower, monkeypatch):
    monkeypatch.setitem(sys.modules, "blackjax", None)
    tower.write()
    outcome = caliche("posterior", "tower.toml", "--method", "all")
    assert outcome.code == 2
    assert "pip install 'caliche[mcmc]'" in outcome.err
    assert names(tower.folder) == ["tower.csv", "tower.toml"]


def test_a_run_that_changed_is_refused(caliche, tower):
    tower.write()
    assert caliche("estimate", "tower.toml", "--out", "run").code == 0
    config = tower.folder / "run" / "config.toml"
    text = config.read_text("utf-8")
    config.write_text(
        text.replace(
            "[parameters.albedo]\nvalue = 0.2\nfixed = true", "[parameters.albedo]\nvalue = 0.2"
        ),
        "utf-8",
    )
    assert config.read_text("utf-8") != text
    outcome = caliche("posterior", "run")
    assert outcome.code == 2
    assert "its configuration has changed" in outcome.err
