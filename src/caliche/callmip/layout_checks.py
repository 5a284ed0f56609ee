"""Checks of how an output file is laid out: its name, attributes, dimensions, variables, units."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from caliche.callmip.findings import Check
from caliche.callmip.opened import Opened
from caliche.callmip.protocol import (
    ATTRIBUTES,
    DIMENSIONS,
    FILL,
    UNCERTAINTY,
    VARIABLES,
    cal_val,
)
from caliche.data.callmip_sites import callmip_sites
from caliche.errors import nearest
from caliche.wording import listing

NEAR = 0.05  # degrees: files round the place of their tower
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\ufeff\xa0"), None)


def _name(o: Opened) -> Iterator[str]:
    if o.name is None:
        yield (
            "its name is not MODEL.VERSION_Phase1b_Scen<1-6>_SITE_<Cal|Val>_<Prior|Posterior>.nc, "
            "such as CLASSIC.v2_Phase1b_Scen1_DK-Sor_Cal_Prior.nc"
        )
    elif "." not in o.name.model:
        yield f"the model {o.name.model!r} in its name has no version after a dot"


def _attributes(o: Opened) -> Iterator[str]:
    missing = [a for a in ATTRIBUTES if not str(o.raw.attrs.get(a, "")).strip()]
    if missing:
        yield f"the global attribute {listing(missing)} is missing"


def _agree(o: Opened) -> Iterator[str]:
    if o.name is None:
        return
    for attribute, said in o.name.attributes.items():
        found = o.raw.attrs.get(attribute)
        if found is not None and str(found).strip() != said:
            yield f"{attribute} is {found!r}, where its name says {said}"


def _tower(o: Opened) -> Iterator[str]:
    if o.name is not None and o.site is None:
        known = nearest(o.name.site, callmip_sites())
        yield f"{o.name.site} is no tower of Phase 1b; {known}"


def _role(o: Opened) -> Iterator[str]:
    if o.name is None or o.site is None:
        return
    right = cal_val(o.site.role)
    if o.name.cal_val != right:
        yield f"{o.site.code} is a tower of {right}, not of {o.name.cal_val}"


def _dimensions(o: Opened) -> Iterator[str]:
    missing = [d for d in DIMENSIONS if d not in o.raw.sizes]
    if missing:
        yield f"the dimension {listing(missing)} is missing"
    for name in ("lat", "lon"):
        if o.raw.sizes.get(name, 1) != 1:
            yield f"the dimension {name} has {o.raw.sizes[name]} entries in place of 1"


def _variables(o: Opened) -> Iterator[str]:
    missing = [name for name in VARIABLES if name not in o.raw.variables]
    if missing:
        is_are = "is" if len(missing) == 1 else "are"
        yield f"{listing(missing)} {is_are} missing; what a model lacks is there and all fill"


def _mine(o: Opened) -> Iterator[str]:
    """Names of the protocol's variables that the file has, uncertainties among them."""
    for name in o.raw.variables:
        if name.removesuffix(UNCERTAINTY) in VARIABLES:
            yield name


def _order(o: Opened) -> Iterator[str]:
    for name in _mine(o):
        dims = o.raw.variables[name].dims
        if dims != DIMENSIONS:
            yield f"{name} has the dimensions ({', '.join(dims)}) in place of (time, lat, lon)"


def _type(o: Opened) -> Iterator[str]:
    for name in _mine(o):
        kind = o.raw.variables[name].values.dtype
        if kind != np.float64:
            yield f"{name} is written as {kind} in place of double precision"


def _units(o: Opened) -> Iterator[str]:
    for name in _mine(o):
        if name.endswith(UNCERTAINTY):
            continue
        yield from _unit(o, name, name)


def _uncertainty_units(o: Opened) -> Iterator[str]:
    for name in _mine(o):
        if name.endswith(UNCERTAINTY):
            yield from _unit(o, name, name.removesuffix(UNCERTAINTY))


def _unit(o: Opened, name: str, of: str) -> Iterator[str]:
    entry, said = VARIABLES[of], o.raw.variables[name].attrs.get("units")
    bare = " ".join(str(said).translate(_INVISIBLE).split())
    if bare not in (entry.unit, *entry.others):
        got = "no unit" if said is None else repr(str(said))
        yield f"{name} has {got} in place of {entry.unit!r}"


def _fill(o: Opened) -> Iterator[str]:
    for name in _mine(o):
        found = o.raw.variables[name].fill
        if found is None or abs(found - FILL) > 1e-6 * FILL:
            got = "no _FillValue" if found is None else f"_FillValue {found:g}"
            yield f"{name} has {got} in place of 1e38"


def _scalars(o: Opened) -> Iterator[str]:
    for name in ("lat", "lon"):
        if name not in o.raw.variables:
            yield f"the scalar variable {name} is missing"
        elif o.raw.variables[name].dims:
            dims = ", ".join(o.raw.variables[name].dims)
            yield f"{name} has the dimension {dims}; the template has it as a scalar"


def _along(o: Opened) -> Iterator[str]:
    for name, short in (("latitude", "lat"), ("longitude", "lon")):
        if name not in o.raw.variables:
            yield f"the variable {name}({short}) is missing"
            continue
        variable = o.raw.variables[name]
        if variable.dims != (short,):
            yield f"{name} has the dimensions ({', '.join(variable.dims)}) in place of ({short})"
        value, scalar = _value(o, name), _value(o, short)
        if scalar is not None and value is not None and _apart(value, scalar) > NEAR:
            yield f"{name} is {value:g}, and the scalar {short} {scalar:g}"


def _place(o: Opened) -> Iterator[str]:
    if o.site is None:
        return
    for short, right in (("lat", o.site.latitude), ("lon", o.site.longitude)):
        value = _value(o, short)
        if value is None or _apart(value, right) > NEAR:
            got = "nothing" if value is None else f"{value:g}"
            yield f"{short} is {got}, and {o.site.code} lies at {right:g}"


def _apart(one: float, other: float) -> float:
    """Degrees between two places on a circle: longitudes may run from 0 to 360."""
    return abs((one - other + 180.0) % 360.0 - 180.0)


def _value(o: Opened, name: str) -> float | None:
    variable = o.raw.variables.get(name)
    if variable is None or variable.values.size != 1:
        return None
    if not np.issubdtype(variable.values.dtype, np.number):
        return None
    return float(variable.values.reshape(-1)[0])


LAYOUT = (
    Check("file-name", "the name is of the protocol's form", _name),
    Check("attributes", "the five global attributes are there", _attributes),
    Check("attributes-agree", "they say what the name says", _agree, ("file-name",)),
    Check("tower", "the tower is one of Phase 1b", _tower, ("file-name",)),
    Check("role", "a calibration tower is Cal, a validation tower Val", _role, ("tower",)),
    Check("dimensions", "time, lat = 1 and lon = 1", _dimensions),
    Check("variables", "the 14 variables are there", _variables),
    Check("dimension-order", "they are (time, lat, lon)", _order, ("dimensions",)),
    Check("type", "they are in double precision", _type),
    Check("units", "their units are those of the protocol", _units),
    Check("fill-value", "_FillValue is 1e38", _fill),
    Check("scalars", "lat and lon are scalar variables", _scalars),
    Check("coordinates", "latitude(lat), longitude(lon) agree", _along, ("dimensions", "scalars")),
    Check("place", "the place is that of the tower", _place, ("tower", "scalars", "coordinates")),
    Check("uncertainty-units", "uncertainties have the unit of theirs", _uncertainty_units),
)
