"""The checks of CalLMIP's output files: a good pair, and copies of it with one fault each."""

import dataclasses

import numpy as np
import pytest

from caliche.callmip.check import OF_FILES, OF_FOLDERS, check_outputs
from caliche.callmip.write import FILL
from caliche.errors import InputError
from callmip_files import write_measured, write_toy

ALWAYS = {"towers"}  # one tower of 21


def names(folder) -> tuple[set[str], set[str]]:
    """Checks that failed, and others that had something to say."""
    found = check_outputs(folder).findings
    return {f.check for f in found if f.fails}, {f.check for f in found if not f.fails}


def test_a_good_pair_has_no_fault(good):
    assert names(good) == (set(), ALWAYS)
    assert len(OF_FILES) + len(OF_FOLDERS) >= 25
    assert len({c.name for c in OF_FILES}) == len(OF_FILES)


def change(name, part="variables", **said):
    """A change of one variable: attributes, or what `dataclasses.replace` takes."""

    def make(parts):
        variable = parts[part][name]
        attrs = {**variable.attrs, **said.pop("attrs", {})}
        attrs = {k: v for k, v in attrs.items() if v is not None}
        parts[part][name] = dataclasses.replace(variable, attrs=attrs, **said)

    return make


def values(name, make):
    """A change of a variable's values."""

    def apply(parts):
        variable = parts["variables"][name]
        changed = make(variable.values.copy())
        parts["variables"][name] = dataclasses.replace(variable, values=changed)

    return apply


def put(row, value):
    def apply(series):
        series[row] = value
        return series

    return apply


def several(*changes):
    def apply(parts):
        for one in changes:
            one(parts)

    return apply


def drop(*gone):
    return lambda parts: [parts["variables"].pop(name) for name in gone]


def attribute(**said):
    return lambda parts: parts["attrs"].update(said)


def shorter(parts):
    n = parts["sizes"]["time"] - 1
    parts["sizes"]["time"] = n
    for name, v in parts["variables"].items():
        if "time" in v.dims:
            parts["variables"][name] = dataclasses.replace(v, values=v.values[:n])


def turned(parts):
    v = parts["variables"]["hfss"]
    moved = np.moveaxis(v.values, 0, 2)
    parts["variables"]["hfss"] = dataclasses.replace(v, dims=("lat", "lon", "time"), values=moved)


def wide(parts):
    parts["sizes"]["lat"] = 2
    for name, v in parts["variables"].items():
        if "lat" in v.dims:
            twice = np.repeat(v.values, 2, axis=v.dims.index("lat"))
            parts["variables"][name] = dataclasses.replace(v, values=twice)


def renamed_dimension(parts):
    parts["sizes"]["nav_lon"] = parts["sizes"].pop("lon")
    for name, v in parts["variables"].items():
        dims = tuple("nav_lon" if d == "lon" else d for d in v.dims)
        parts["variables"][name] = dataclasses.replace(v, dims=dims)


def along(name):
    """A scalar written along its dimension."""

    def apply(parts):
        v = parts["variables"][name]
        parts["variables"][name] = dataclasses.replace(v, dims=(name,), values=v.values[None])

    return apply


def extra_uncertainty(parts):
    v = parts["variables"]["hfls"]
    parts["variables"]["hfls_post_unc"] = v


def every(make):
    def apply(parts):
        for name, v in parts["variables"].items():
            if v.dims == ("time", "lat", "lon"):
                values(name, make)(parts)

    return apply


def nothing(parts):
    """What is wrong is the name."""


BROKEN = {
    # what is wrong: (the change, the check that says so, more for `spoiled`)
    "name without phase": (nothing, "file-name", {"rename": ("Phase1b_", "")}),
    "name without version": (
        attribute(Model="Toy"),
        ("file-name", "one-model"),
        {"rename": ("Toy.v1", "Toy")},
    ),
    "attribute missing": (lambda p: p["attrs"].pop("Cal_Val"), "attributes", {}),
    "attribute of before": (
        several(lambda p: p["attrs"].pop("Calibration_Scenario"), attribute(CalLMIP_Expt="Expt1")),
        "attributes",
        {},
    ),
    "stage disagrees": (attribute(Calibration_stage="Prior"), "attributes-agree", {}),
    "scenario disagrees": (attribute(Calibration_Scenario="Scen6"), "attributes-agree", {}),
    "phase disagrees": (attribute(CalLMIP_Phase="Phase1a"), "attributes-agree", {}),
    "unknown tower": (nothing, ("tower", "pairs"), {"rename": ("CA-Qfo", "CA-Qfx")}),
    "validation tower calibrated on": (
        several(attribute(Cal_Val="Validation")),
        ("role", "pairs"),
        {"rename": ("_Cal_", "_Val_")},
    ),
    "two latitudes": (wide, "dimensions", {}),
    "another dimension": (renamed_dimension, "dimensions", {}),
    "variable missing": (drop("mrsos"), "variables", {}),
    "variable misspelt": (
        lambda p: p["variables"].update(evspsbl=p["variables"].pop("evspsblsoi")),
        "variables",
        {},
    ),
    "dimensions turned": (turned, "dimension-order", {}),
    "single precision": (values("lai", lambda v: v.astype("f4")), "type", {}),
    "unit of carbon": (change("nep", attrs={"units": "kg m-2 s-1"}), "units", {}),
    "unit missing": (change("ts", attrs={"units": None}), "units", {}),
    "unit of uncertainty": (
        change("hfls_post_unc", attrs={"units": "1"}),
        "uncertainty-units",
        {},
    ),
    "fill value": (change("gpp", attrs={"_FillValue": 1e20}), "fill-value", {}),
    "no fill value": (change("gpp", attrs={"_FillValue": None}), "fill-value", {}),
    "latitude missing": (drop("lat"), "scalars", {}),
    "longitude along its axis": (along("lon"), "scalars", {}),
    "no latitude along its axis": (drop("latitude"), "coordinates", {}),
    "places disagree": (values("longitude", lambda v: v + 3.6), "coordinates", {}),
    "another place": (
        several(values("lat", lambda v: -v), values("latitude", lambda v: -v)),
        "place",
        {},
    ),
    "time in seconds": (
        change("time", attrs={"units": "seconds since 2003-12-31"}),
        "time-units",
        {},
    ),
    "no leap days": (change("time", attrs={"calendar": "noleap"}), "calendar", {}),
    "a day twice": (values("time", lambda v: np.where(v == 400.0, 399.0, v)), "time-steps", {}),
    "a year early": (values("time", lambda v: v - 366.0), "time-start", {}),
    "a day short": (shorter, "time-length", {}),
    "infinite": (values("hfg", put(10, np.inf)), "infinities", {}),
    "not a number": (values("hfg", put(10, np.nan)), "infinities", {}),
    "blown up": (values("hfss", put(900, 5e4)), "ranges", {}),
    "degrees Celsius": (values("ts", lambda v: v - 273.15), "ranges", {}),
    "grams a day": (values("cSoil", lambda v: v * 1000.0), "ranges", {}),
    "stuck": (values("ts", lambda v: np.full_like(v, 280.0)), "constant", {}),
    "sign of nep": (values("nep", lambda v: -v), "nep-sign", {}),
    "downwards": (values("hfls", lambda v: -v), "flux-sign", {}),
    "layer dropped": (values("mrso", lambda v: v * 0.01), "moisture", {}),
    "mm a day": (
        several(*(values(n, lambda v: v * 3.0) for n in ("tran", "evspsblsoi"))),
        "evaporation",
        {},
    ),
    "calibrated flux empty": (values("hfss", lambda v: v * 0 + FILL), "calibrated", {}),
    "no uncertainty": (drop("nep_post_unc"), "uncertainty", {}),
    "uncertainty of the prior": (
        extra_uncertainty,
        "uncertainty-of-prior",
        {"stage": "Prior"},
    ),
    "variance of zero": (values("hfls_post_unc", put(5, 0.0)), "uncertainty-positive", {}),
    "uncertainty with gaps": (values("hfls_post_unc", put(5, FILL)), "uncertainty-positive", {}),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_each_fault_is_found_and_named_and_nothing_else(spoiled, fault):
    make, check, more = BROKEN[fault]
    folder = spoiled(make, **more)
    expected = {check} if isinstance(check, str) else set(check)
    looked = check_outputs(folder)
    assert {f.check for f in looked.failed} == expected
    told = {f.check for f in looked.findings if not f.fails}
    assert told <= ALWAYS
    assert all(f.sentence for f in looked.failed)


def test_what_is_worth_knowing_does_not_fail(spoiled):
    folder = spoiled(values("lai", put(slice(0, 100), FILL)))
    assert names(folder) == (set(), ALWAYS | {"gaps"})
    folder = spoiled(values("cSoil", put(slice(None), FILL)))
    assert names(folder) == (set(), ALWAYS | {"empty"})


def test_a_zero_width_space_in_a_unit_is_no_fault(spoiled):
    folder = spoiled(change("cSoil", attrs={"units": "kg m-2\u200b"}))
    assert names(folder) == (set(), ALWAYS)


@pytest.mark.parametrize(
    ("since", "first"), [("2004-01-01", 0.0), ("2004-01-01", 0.5), ("2004-01-01", 1.0)]
)
def test_days_may_be_stamped_anywhere(spoiled, since, first):
    def make(parts):
        change("time", attrs={"units": f"days since {since} 00:00:00"})(parts)
        values("time", lambda v: v - 1.0 + first)(parts)

    assert names(spoiled(make)) == (set(), ALWAYS)


def test_a_folder_as_a_whole(good, tmp_path):
    prior, posterior = sorted(good.glob("*.nc"), key=lambda p: p.name.endswith("Posterior.nc"))
    (tmp_path / prior.name).write_bytes(prior.read_bytes())
    assert names(tmp_path) == ({"pairs"}, ALWAYS)
    (tmp_path / posterior.name).write_bytes(b"CDF nothing")
    assert names(tmp_path)[0] == {"readable"}
    with pytest.raises(InputError, match="output files of CalLMIP"):
        check_outputs(tmp_path / "none")


def test_a_posterior_that_is_the_prior(good, spoiled):
    prior = next(good.glob("*Prior.nc"))

    def make(parts):
        from caliche.data.raw_netcdf import read_raw

        for name in ("nep", "hfls", "hfss"):
            parts["variables"][name] = read_raw(prior).variables[name]

    assert names(spoiled(make)) == ({"prior-differs"}, ALWAYS)


def test_with_what_was_measured(tmp_path):
    """The days of a file can be told from the measured ones, and the sign of nep without gpp."""
    write_toy(tmp_path, "US-FPe")  # a validation tower: nothing is given there
    assert names(tmp_path)[0] == set()
    folder = tmp_path / "b"
    folder.mkdir()
    write_toy(folder)
    write_measured(folder, "CA-Qfo", early=1)
    assert names(folder) == (set(), ALWAYS | {"day-shift"})


@pytest.mark.parametrize(
    ("name", "factor", "check"),
    [("hfss", -1.0, "flux-sign"), ("hfss", 0.035, "magnitude"), ("hfls", 0.035, "magnitude")],
)
def test_signs_and_units_against_what_was_measured(spoiled, name, factor, check):
    folder = spoiled(values(name, lambda v: v * factor))
    write_measured(folder, "CA-Qfo")
    assert names(folder) == ({check}, ALWAYS)


def test_longitudes_from_0_to_360_are_as_good(spoiled):
    both = several(*(values(n, lambda v: v + 360.0) for n in ("lon", "longitude")))
    assert names(spoiled(both)) == (set(), ALWAYS)
