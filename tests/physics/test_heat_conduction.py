"""The column operator: what control volumes hold, and what passes between them."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from columns import grid, two_layers
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from caliche.physics.heat_conduction import conductive_heating, make_column, midway_faces


def test_heat_capacity_of_the_control_volumes_adds_up_by_layer():
    depths, column = two_layers()
    boundary = int(np.flatnonzero(np.isclose(depths, 0.3))[0])
    np.testing.assert_allclose(column.heat_capacity.sum(), 1.3e6 * 0.3 + 3.0e6 * 0.7, rtol=1e-14)
    half_cells = 0.5 * np.diff(depths)[boundary - 1 : boundary + 1]
    np.testing.assert_allclose(column.heat_capacity[boundary], half_cells @ [1.3e6, 3.0e6])


def test_faces_midway_between_nodes_make_half_cells_at_both_ends():
    np.testing.assert_allclose(midway_faces(np.array([0.0, 0.1, 0.3])), [0.0, 0.05, 0.2, 0.3])


def test_whole_cells_under_a_skin():
    """The skin holds nothing, every cell all of its thickness, the last to its lower face."""
    thickness = np.array([0.02, 0.04, 0.1])
    nodes, faces = grid(thickness, skin=True)
    np.testing.assert_allclose(nodes, [0.0, 0.01, 0.04, 0.11])
    np.testing.assert_allclose(faces, [0.0, 0.0, 0.02, 0.06, 0.16])
    column = make_column(nodes, faces, jnp.full(3, 0.8), jnp.full(3, 2e6))
    assert float(column.heat_capacity[0]) == 0.0
    np.testing.assert_allclose(column.heat_capacity[1:], 2e6 * thickness, rtol=1e-14)
    np.testing.assert_allclose(column.conductance, 0.8 / np.array([0.01, 0.03, 0.07]))


@given(arrays(float, 21, elements=st.floats(240.0, 340.0)))
def test_conduction_moves_heat_and_makes_none(temperature):
    _, column = two_layers()
    heating = conductive_heating(column, jnp.asarray(temperature))
    scale = float(column.conductance.max()) * 340.0
    assert abs(float(heating.sum())) < 1e-13 * scale
    # and it runs down the gradient: entropy production is not negative
    assert float(heating @ temperature) <= 1e-13 * scale * 340.0
