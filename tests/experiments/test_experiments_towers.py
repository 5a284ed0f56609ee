"""The bundled experiments on real data: what they find, and how well it holds."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

SOIL = ("soil_temperature_0.05m", "soil_temperature_0.15m")


@pytest.fixture(scope="module", autouse=True)
def real_data(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CALICHE_DATA", str(request.getfixturevalue("data_folder")))
        yield


def scored(scores, *names):
    for name in names:
        assert scores[name]["n"] > 10, name
        assert scores[name]["rmse"] > 0.0


@pytest.mark.ci
def test_west_phoenix_from_twenty_starts(calibrate):
    run = calibrate("west-phoenix")
    assert run.result.converged
    assert len(run.result.starts) == 20
    found = {
        "combined_heat_transfer_coefficient": 17.94,
        "thermal_conductivity": 0.761,
        "volumetric_heat_capacity": 2.647e6,
        "bottom_temperature": 305.56,
    }
    for name, value in found.items():
        assert run.result.parameters[name].estimate == pytest.approx(value, rel=1e-2), name
        ends = [start.estimate[name] for start in run.result.starts]
        assert ends == pytest.approx(np.full(20, value), rel=1e-2), name
    streams = ("outgoing_longwave", "turbulent_heat_flux", "soil_temperature_0.02m")
    scored(run.summary["holdout"], *streams)
    scored(run.summary["fit"], *SOIL, *streams)
    assert not any(run.summary["fit"][name]["fitted"] for name in streams)


# A whole calibration, of some forty seconds. By default, twins find an exchange that changes with
# the hour (test_experiments_time_dependent) and a clock (test_sensor_screen), the tower is
# calibrated above, and test_variants makes the problem of this experiment.
@pytest.mark.slow
def test_west_phoenix_best_reaches_both_depths_and_predicts_fluxes(calibrate):
    run = calibrate("west-phoenix-best", starts=1)
    assert run.result.converged
    with xr.open_dataset(run.folder / "result.nc", engine="h5netcdf") as results:
        assert float(results["parameter_combined_heat_transfer_coefficient"].min()) > 0.0
    fit = [run.summary["fit"][name] for name in SOIL]
    n = sum(score["n"] for score in fit)
    assert np.sqrt(sum(score["n"] * score["rmse"] ** 2 for score in fit) / n) < 0.35
    holdout = run.summary["holdout"]
    assert holdout["outgoing_longwave"]["rmse"] < 6.6
    assert holdout["turbulent_heat_flux"]["rmse"] < 35.0
    soil = run.result.parameters
    assert 0.8 < soil["thermal_conductivity"].estimate < 1.4
    assert 2.0e6 < soil["volumetric_heat_capacity"].estimate < 3.0e6
    assert 0.5 < soil["soil_clock"].estimate < 0.8  # hours; the records cannot do without


@pytest.mark.slow
def test_west_phoenix_2cm(calibrate):
    run = calibrate("west-phoenix-2cm", starts=2)
    assert run.result.converged
    scored(run.summary["holdout"], "soil_temperature_0.02m", "surface_temperature")
    assert run.summary["fit"]["soil_temperature_0.02m"]["nse"] > 0.8


@pytest.mark.slow
def test_bondville(calibrate):
    run = calibrate("bondville", starts=2)
    assert run.result.converged
    fitted = [f"soil_temperature_0.{cm}m" for cm in ("02", "08", "32")]
    predicted = [f"soil_temperature_0.{cm}m" for cm in ("04", "16", "64")]
    scored(run.summary["holdout"], *fitted, *predicted, "net_radiation", "turbulent_heat_flux")
    assert all(run.summary["fit"][name]["nse"] > 0.7 for name in fitted)
