"""The writer of CalLMIP's output files, and the exact cut of layers."""

from pathlib import Path

import numpy as np
import pytest

from caliche.callmip.check import check_outputs
from caliche.callmip.protocol import (
    FILL,
    OutputName,
    check_model,
    check_scenario,
    name_of,
)
from caliche.callmip.write import water_above, write_output
from caliche.data.callmip_sites import callmip_site
from caliche.data.raw_netcdf import dates, read_raw
from caliche.errors import InputError

SITE = callmip_site("US-Whs")
NAME = OutputName("caliche-LaD.v1", 6, "US-Whs", "Calibration", "Posterior")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    days = np.arange("2014-07-02", "2014-07-05", dtype="datetime64[D]")
    values = {"hfls": np.array([50.0, np.nan, 52.0]), "hfss": np.array([80.0, 81.0, 82.0])}
    unc = {"hfls": np.full(3, 9.0), "hfss": np.full(3, 8.0)}
    return write_output(
        tmp_path_factory.mktemp("out"), NAME, SITE, days, values, unc, {"hfls": "a comment"}
    )


def test_the_layout_is_that_of_the_template(written, data_folder):
    assert written.name == "caliche-LaD.v1_Phase1b_Scen6_US-Whs_Cal_Posterior.nc"
    assert name_of(written) == NAME
    mine = read_raw(written)
    template = read_raw(data_folder / "callmip" / "CLASSIC.v2_Phase1b_Scen1_DK-Sor_Cal_Prior.nc")
    assert mine.sizes == {**template.sizes, "time": 2557}
    for name, theirs in template.variables.items():
        ours = mine.variables[name]
        assert (ours.dims, ours.values.dtype, ours.fill) == (
            theirs.dims,
            theirs.values.dtype,
            theirs.fill,
        )
        same = str(theirs.attrs.get("units")).rstrip("\u200b")
        assert name == "time" or str(ours.attrs.get("units")) == same
    assert set(mine.variables) - set(template.variables) == {"hfls_post_unc", "hfss_post_unc"}
    assert {f.check for f in check_outputs(template.path).findings} == set()
    for name in ("Model", "CalLMIP_Phase", "Calibration_Scenario", "Calibration_stage", "Cal_Val"):
        assert name in template.attrs
        assert name in mine.attrs


def test_every_day_of_the_record_is_there(written):
    raw = read_raw(written)
    stamps = dates(raw.variables["time"], "it")
    assert (stamps[0], stamps[-1]) == (np.datetime64("2008-01-01"), np.datetime64("2014-12-31"))
    latent = raw.variables["hfls"].values[:, 0, 0]
    row = int(np.flatnonzero(stamps == np.datetime64("2014-07-02"))[0])
    np.testing.assert_array_equal(latent[row : row + 3], [50.0, FILL, 52.0])
    assert (latent != FILL).sum() == 2
    assert (raw.variables["cSoil"].values == FILL).all()
    assert raw.variables["cSoil"].attrs["comment"] == "not computed by this model"
    assert raw.variables["hfls"].attrs["comment"] == "a comment"


def test_its_own_files_pass(written):
    found = check_outputs(written)
    assert found.passed
    assert {f.check for f in found.findings} == {"gaps", "empty"}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"values": {"le": np.zeros(1)}}, "variables of the protocol"),
        ({"values": {"hfls": np.zeros(2)}}, "one value of hfls"),
        ({"days": np.array(["2015-01-01"], "datetime64[D]")}, "days within the record"),
        ({"unc": {"hfls": np.ones(1)}}, "posterior run alone"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, change, word):
    prior = OutputName("A.v1", 6, "US-Whs", "Calibration", "Prior")
    days = change.get("days", np.array(["2014-01-01"], "datetime64[D]"))
    values = change.get("values", {"hfls": np.zeros(1)})
    with pytest.raises(InputError, match=word):
        write_output(tmp_path, prior, SITE, days, values, change.get("unc"))
    assert not list(tmp_path.iterdir())


def test_names_that_cannot_be():
    check_model("CLASSIC.v2")
    for wrong in ("CLASSIC", "CLASSIC_v2", "CLASSIC.", "my model.v1"):
        with pytest.raises(InputError, match=r"MODEL\.VERSION"):
            check_model(wrong)
    with pytest.raises(InputError, match="from 1 to 6"):
        check_scenario(7)
    assert name_of(Path("CLASSIC.v2_Phase1b_Expt1_DK-Sor_Prior.nc")) is None


def test_water_above_a_depth_cuts_layers_exactly():
    thick = np.array([0.05, 0.1, 0.3])
    water = np.array([[10.0, 30.0, 90.0], [1.0, 2.0, 3.0]])
    np.testing.assert_allclose(water_above(0.1, thick, water), [25.0, 2.0])
    np.testing.assert_allclose(water_above(0.05, thick, water), [10.0, 1.0])
    np.testing.assert_allclose(water_above(2.0, thick, water), [130.0, 6.0])
    np.testing.assert_allclose(water_above(0.1, np.array([0.4]), np.array([80.0])), 20.0)
