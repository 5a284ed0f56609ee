"""Scores of CalLMIP's output files: the template's published numbers, and files made up."""

import numpy as np
import pytest

from caliche.callmip.records import CLUSTERS, ONE, POSTERIOR, PRIOR
from caliche.callmip.score import best_shift, score_outputs
from caliche.callmip.weather import (
    DailyWeather,
    daily_means,
    read_weather,
    write_weather,
)
from caliche.data.callmip_flux import LATENT, NEE, SENSIBLE, read_daily_fluxes
from caliche.errors import InputError
from callmip_files import write_measured, write_toy

SITE = "CA-Qfo"


@pytest.fixture(scope="module")
def entry(tmp_path_factory):
    """A pair of files with what was measured there."""
    folder = tmp_path_factory.mktemp("entry")
    write_toy(folder, SITE)
    write_measured(folder, SITE)
    return folder


def test_the_template_has_its_published_scores(data_folder):
    found = {t.flux: t for t in score_outputs(data_folder / "callmip").towers}
    right = {
        NEE: (3051, 2.165, 0.186, 0.743),
        LATENT: (3126, 20.570, -2.049, 0.846),
        SENSIBLE: (3267, 42.308, 21.408, 0.743),
    }
    for flux, (n, rmse, bias, r) in right.items():
        s = found[flux].scores[PRIOR]
        assert s.n == n
        assert (s.rmse, s.bias, s.r) == pytest.approx((rmse, bias, r), abs=5e-4)
        assert found[flux].shift == 0


def test_what_a_posterior_gained_and_what_its_bands_hold(entry):
    found = score_outputs(entry)
    fluxes = {t.flux: t for t in found.towers}
    latent = fluxes[LATENT]
    assert latent.scores[POSTERIOR].rmse == pytest.approx(8.0, rel=0.05)
    assert latent.scores[PRIOR].bias == pytest.approx(8.0, abs=0.5)  # 0.2 times its mean of 40
    assert latent.gain is not None
    assert 0.2 < latent.gain < 0.5
    assert latent.scores[POSTERIOR].covered == pytest.approx(0.9, abs=0.03)
    both = latent.scores[POSTERIOR].covered_both
    assert both is not None
    assert both >= (latent.scores[POSTERIOR].covered or 0.0)
    assert set(latent.seasons) == {"DJF", "MAM", "JJA", "SON"}
    assert fluxes[NEE].scores[POSTERIOR].rmse == pytest.approx(0.3, rel=0.05)
    assert fluxes[NEE].unit == "gC m-2 d-1"
    assert any("better than the prior at 1 of 1 tower" in s for s in found.sentences)
    assert any("No benchmarks at CA-Qfo" in note for note in found.notes)
    mean = found.vegetation["evergreen needleleaf forest"][LATENT][POSTERIOR]
    assert mean == latent.scores[POSTERIOR].rmse


def test_benchmarks_and_days_that_were_held_out(tmp_path):
    write_toy(tmp_path, SITE)
    fluxes = read_daily_fluxes(write_measured(tmp_path, SITE))
    held = fluxes.days[fluxes.days.astype(int) % 4 == 0]
    # Weather of which the latent heat flux is a line: no model can do better than 1lin.
    sun = np.where(np.isfinite(fluxes.values[LATENT]), fluxes.values[LATENT], 40.0) * 2.0
    warm, damp = 280.0 + 0.1 * sun, 0.5 + 0.001 * sun
    write_weather(DailyWeather(fluxes.days, sun, warm, damp), tmp_path, SITE)
    found = {t.flux: t for t in score_outputs(tmp_path, {SITE: held}).towers}[LATENT]
    assert found.period == "held out"
    assert found.scores[PRIOR].n == int(
        np.isfinite(fluxes.values[LATENT][np.isin(fluxes.days, held)]).sum()
    )
    assert found.scores[ONE].rmse == pytest.approx(0.0, abs=1e-4)
    assert CLUSTERS in found.scores
    assert found.trained == "fitted to the days of this tower that were not held out"
    every = {t.flux: t for t in score_outputs(tmp_path).towers}[LATENT]
    assert every.trained == "fitted to the very days on which they are scored"


def test_weather_is_kept_and_read_again(tmp_path):
    days = np.arange("2014-01-01", "2014-01-04", dtype="datetime64[D]")
    weather = DailyWeather(days, np.arange(3.0), np.arange(3.0), np.array([0.1, np.nan, 0.3]))
    write_weather(weather, tmp_path, "A")
    back = read_weather(tmp_path, "A")
    assert back is not None
    np.testing.assert_array_equal(back.humidity, weather.humidity)
    other = np.array(["2014-01-02", "2015-01-01"], "datetime64[D]")
    np.testing.assert_array_equal(back.on(other)["shortwave"], [1.0, np.nan])
    assert read_weather(tmp_path, "B") is None
    (tmp_path / "weather" / "A.csv").write_text("day,SWdown\n2014-01-01,a\n")
    with pytest.raises(InputError, match="run the entry again"):
        read_weather(tmp_path, "A")


@pytest.mark.parametrize("hours", [0.5, 1.0])
def test_means_of_whole_local_days(hours):
    n = round(24.0 / hours)
    ends = np.datetime64("2014-01-01T07:00", "ns") + np.arange(1, 2 * n + 3) * np.timedelta64(
        round(60 * hours), "m"
    )
    values = np.repeat([1.0, 2.0, 3.0], [n, n, 2])
    days, means = daily_means(ends, values, 3600.0 * hours, -7.0)
    assert list(days.astype(str)) == ["2014-01-01", "2014-01-02", "2014-01-03"]
    np.testing.assert_array_equal(means, [1.0, 2.0, np.nan])


def test_the_day_that_agrees_best():
    t = np.sin(np.arange(200.0))
    late = np.append(np.nan, t[:-1])
    assert best_shift(t, t) == 0
    assert best_shift(late, t) == -1
    assert best_shift(np.ones(200), t) is None


def test_nothing_to_compare_is_refused(tmp_path):
    write_toy(tmp_path, SITE)
    with pytest.raises(InputError, match="CA-Qfo, whose flux file is not at hand"):
        score_outputs(tmp_path)
    folder = tmp_path / "b"
    write_toy(folder, "US-FPe")
    with pytest.raises(InputError, match="withheld"):
        score_outputs(folder)
