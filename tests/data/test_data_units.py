"""Units: every spelling, the round trip, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caliche.data import conversion, to_si
from caliche.data.units import UNITS, spellings
from caliche.errors import InputError
from caliche.variables import VARIABLES, stream_name

STREAMS = [stream_name(v.name, 0.05 if v.has_depth else None) for v in VARIABLES.values()]
SPELLINGS = [(s, u) for s in STREAMS for u in spellings(VARIABLES[s.removesuffix("_0.05m")].unit)]


@given(
    st.sampled_from(SPELLINGS),
    st.floats(-1e4, 1e4, allow_nan=False),
    st.sampled_from([60.0, 1800.0, 3600.0]),
)
def test_round_trip(pair, value, interval):
    stream, unit = pair
    scale, offset = conversion(unit, stream, interval)
    there = to_si(np.array([value]), unit, stream, interval)
    np.testing.assert_allclose((there - offset) / scale, value, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize(
    ("stream", "unit", "value", "si"),
    [
        ("air_temperature", "degC", 25.0, 298.15),
        ("soil_temperature_0.02m", "C", -10.0, 263.15),
        ("air_temperature", "K", 300.0, 300.0),
        ("air_pressure", "hPa", 967.0, 96700.0),
        ("air_pressure", "mbar", 967.0, 96700.0),
        ("air_pressure", "kPa", 96.7, 96700.0),
        ("specific_humidity", "g kg-1", 8.0, 0.008),
        ("specific_humidity", "kg/kg", 0.008, 0.008),
        ("incoming_shortwave", "W/m2", 500.0, 500.0),
        ("incoming_shortwave", "  W   m-2 ", 500.0, 500.0),
        ("precipitation", "mm", 1.8, 0.001),
        ("precipitation", "mm s-1", 0.001, 0.001),
        ("precipitation", "mm h-1", 3.6, 0.001),
        ("wind_speed", "m/s", 3.0, 3.0),
    ],
)
def test_known_values(stream, unit, value, si):
    got = to_si(np.array([value, np.nan]), unit, stream, 1800.0)
    np.testing.assert_allclose(got, [si, np.nan], rtol=1e-14)


def test_no_spelling_means_two_things():
    for canonical in UNITS:
        assert len(spellings(canonical)) == len(set(spellings(canonical)))


def test_every_canonical_unit_has_a_table_and_spells_itself():
    for variable in VARIABLES.values():
        assert variable.unit in spellings(variable.unit)


def test_unknown_unit_names_the_nearest():
    with pytest.raises(InputError, match=r"Got 'mPa'.*hPa") as error:
        conversion("mPa", "air_pressure", where="PA of tower.csv")
    assert "PA of tower.csv" in str(error.value)


@pytest.mark.parametrize("unit", [None, "", "  "])
def test_absent_unit_lists_what_is_accepted(unit):
    with pytest.raises(InputError, match=r"unit of wind_speed.*Got none.*one of m s-1, m/s"):
        conversion(unit, "wind_speed")


def test_unit_of_another_quantity_is_refused():
    with pytest.raises(InputError, match=r"converts to W m-2.*Got 'degC'"):
        conversion("degC", "incoming_shortwave")


def test_amount_per_step_needs_the_step():
    with pytest.raises(InputError, match="time step of the amounts 'mm'"):
        conversion("mm", "precipitation")
