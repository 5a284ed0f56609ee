"""The box of an emulator, and the runs that it learns from."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.emulators.box import Box, box_of
from caliche.emulators.runs import Runs
from caliche.errors import InputError
from caliche.models.base import ParameterDeclaration
from caliche.parameters.priors import Flat, Normal
from caliche.parameters.space import ParameterSpace, free_parameter

BOX = Box(np.array([-1.0, 0.0]), np.array([3.0, 0.5]), ("a", "b"))


def test_a_box_maps_to_the_unit_box_and_back_with_either_kind_of_array():
    u = np.array([[-1.0, 0.5], [1.0, 0.25], [3.0, 0.0]])
    assert np.allclose(BOX.to_unit(u), [[-1, 1], [0, 0], [1, -1]])
    assert np.allclose(BOX.from_unit(BOX.to_unit(u)), u)
    assert isinstance(BOX.to_unit(jnp.asarray(u[0])), jax.Array)
    assert BOX.volume == pytest.approx(2.0)


def test_a_box_knows_what_is_inside_and_names_what_is_not():
    assert BOX.contains(np.array([[-1.0, 0.5], [3.1, 0.2], [0.0, np.nan]])).tolist() == [
        True,
        False,
        False,
    ]
    assert BOX.demand(np.array([0.0, 0.1])).shape == (1, 2)
    with pytest.raises(InputError, match=r"b between 0 and 0.5 in u.*0.9 \(and 1 of 2"):
        BOX.demand(np.array([[0.0, 0.1], [0.0, 0.9]]))
    with pytest.raises(InputError, match="outside"):
        BOX.demand(np.array([[0.0, np.nan]]))
    with pytest.raises(InputError, match="2 parameters"):
        BOX.demand(np.zeros((1, 3)))


def test_shares_of_one_box_in_another():
    right = Box(np.array([1.0, 0.0]), np.array([5.0, 1.0]))
    assert BOX.volume_in(right) == pytest.approx(0.25)
    assert right.volume_in(BOX) == pytest.approx(0.5)
    assert BOX.volume_in(Box(np.array([4.0, 0.0]), np.array([5.0, 1.0]))) == 0.0
    wider = BOX.widened(0.5, limit=Box(np.array([-1.5, -1.0]), np.array([9.0, 1.0])))
    assert wider.lower.tolist() == [-1.5, -0.125]
    assert wider.upper.tolist() == [4.0, 0.625]
    assert wider.names == ("a", "b")


@pytest.mark.parametrize("upper", [[1.0, 0.0], [1.0, np.inf], [1.0]])
def test_ends_that_are_no_box_are_refused(upper):
    with pytest.raises(InputError, match="a box with finite ends"):
        Box(np.zeros(2), np.array(upper))


def declared(name: str) -> ParameterDeclaration:
    return ParameterDeclaration(name, name, "1", 0.5, 0.0, 1.0, "a test")


def space(**free: object) -> ParameterSpace:
    made = {name: free_parameter(declared(name), *args) for name, args in free.items()}
    return ParameterSpace.build([declared(name) for name in free], made, {})


def test_the_box_of_a_space_follows_priors_start_ranges_and_bounds():
    box = box_of(
        space(
            a=(Normal(0.5, 0.1), 0.5),
            b=(Flat(0.0, 1.0), 0.5, (0.25, 0.75)),
            c=(Flat(0.0, 1.0), 0.5),
        )
    )
    assert box.names == ("a", "b", "c")
    assert np.allclose(box.upper, [2.0, 1.2 * np.log(3.0), np.log(0.975 / 0.025)])
    assert np.allclose(box.lower, -box.upper)
    assert box_of(space(a=(Normal(0.5, 0.1), 0.5)), reach=3.0).upper[0] == 3.0


def test_a_prior_that_gives_no_box_is_named():
    with pytest.raises(InputError, match="start range of a"):
        box_of(space(a=(Flat(), 0.5)))
    with pytest.raises(InputError, match="a reach above 0"):
        box_of(space(a=(Normal(0.5, 0.1), 0.5)), reach=0.0)


def runs(n: int = 4) -> Runs:
    u = np.linspace(0.0, 1.0, 2 * n).reshape(n, 2)
    return Runs(u, np.stack([u.sum(1), u[:, 0], u[:, 1]], 1), np.ones((n, 3, 2)))


def test_runs_that_gave_no_numbers_have_failed_whatever_they_say():
    values = runs().values.copy()
    values[1, 2], values[3, 0] = np.nan, np.inf
    found = Runs(runs().u, values, runs().slopes)
    assert found.failed.tolist() == [False, True, False, True]
    assert len(found.good) == 2
    told = Runs(runs().u, runs().values, failed=np.array([True, False, False, False]))
    assert told.failed.tolist() == [True, False, False, False]
    assert not told.with_slopes.any()


def test_runs_with_and_without_slopes_go_together():
    both = runs().joined(runs(2).without_slopes())
    assert len(both) == 6
    assert both.with_slopes.tolist() == [True] * 4 + [False] * 2
    assert both.outputs(np.array([2])).slopes.shape == (6, 1, 2)
    assert len(runs().inside(Box(np.zeros(2), np.array([0.5, 1.0])))) == 2


@pytest.mark.parametrize(
    ("u", "values", "slopes"),
    [
        (np.zeros((3, 2)), np.zeros((2, 1)), None),
        (np.zeros(3), np.zeros((3, 1)), None),
        (np.zeros((3, 2)), np.zeros((3, 1)), np.zeros((3, 2, 1))),
    ],
)
def test_runs_whose_shapes_do_not_belong_together_are_refused(u, values, slopes):
    with pytest.raises(InputError):
        Runs(u, values, slopes)
