"""What a parameter of one knot or one site is called, and the same taken apart.

`albedo[2012-07-01]` is a parameter that varies in time, at one of its knots. `albedo@US-Whs` is a
parameter, a stream or any other quantity of one site among several. Both may come together:
`albedo@US-Whs[2012-07-01]`. Nowhere else are such names made or read.
"""

from __future__ import annotations


def at_knot(name: str, knot: str) -> str:
    """The name of a parameter at a knot: `albedo[2012-07-01]`."""
    return f"{name}[{knot}]"


def without_knot(name: str) -> str:
    """The parameter that the name of a knot belongs to; any other name as it is."""
    return name.partition("[")[0]


def knot_of(name: str) -> str:
    """The knot that a name ends with, `2012-07-01`; empty if it names none."""
    return name.partition("[")[2].removesuffix("]")


def at_site(name: str, site: str) -> str:
    """The name of a quantity of one site: `albedo@US-Whs`; as it is if `site` is empty."""
    return f"{name}@{site}" if site else name


def without_site(name: str) -> str:
    """The quantity that the name of a site's one belongs to; any other name as it is."""
    return name.partition("@")[0]


def site_of(name: str) -> str:
    """What stands behind a quantity's site mark, `US-Whs`, with a knot if there is one; empty if
    it is not of one site."""
    return name.partition("@")[2]
