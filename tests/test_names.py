"""Names of knots and of sites' quantities: made and taken apart."""

from caliche.names import at_knot, at_site, knot_of, site_of, without_knot, without_site


def test_names_come_apart_as_they_were_made():
    knot = at_knot("albedo", "2012-07-01")
    assert knot == "albedo[2012-07-01]"
    assert (without_knot(knot), knot_of(knot)) == ("albedo", "2012-07-01")
    assert (without_knot("albedo"), knot_of("albedo")) == ("albedo", "")
    site = at_site("albedo", "US-Whs")
    assert site == "albedo@US-Whs"
    assert (without_site(site), site_of(site)) == ("albedo", "US-Whs")
    assert (at_site("albedo", ""), without_site("albedo"), site_of("albedo")) == ("albedo",) * 2 + (
        "",
    )


def test_a_parameter_of_a_site_may_vary_in_time():
    both = at_knot(at_site("albedo", "US-Whs"), "04:48")
    assert (without_site(both), without_knot(both)) == ("albedo", "albedo@US-Whs")
    assert knot_of(both) == "04:48"
