"""Heat conduction in a soil column: control volumes around nodes.

Nodes stand at depths z_0 = 0 < z_1 < ... < z_{N-1}; control volumes meet at faces between them. By
default a face is midway between two nodes, so that node 0 is the surface itself with half a cell:
the ghost-node finite-difference scheme of Huang et al. (2026, arXiv:2505.02979). Faces (0, 0, dz,
2 dz, ...) make whole cells under a skin without mass. Per unit area,

    M_i dT_i/dt = g_{i-1} (T_{i-1} - T_i) - g_i (T_i - T_{i+1}) + [G at i = 0],

with M_i the heat capacity of a control volume (J m-2 K-1), g_i = lambda_i / (z_{i+1} - z_i)
(W m-2 K-1) and G the ground heat flux, positive downwards. `implicit_column` steps it in time.
"""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Column(eqx.Module):
    """The discrete operator of one column.

    Attributes
    ----------
    conductance : (N-1,) g, W m-2 K-1, between neighbouring nodes.
    heat_capacity : (N,) M, J m-2 K-1, of each control volume; that of node 0 may be zero.
    """

    conductance: Float[Array | np.ndarray, " interval"]
    heat_capacity: Float[Array | np.ndarray, " node"]


def midway_faces(node_depths: np.ndarray) -> np.ndarray:
    """Faces (N+1,) of control volumes that meet midway between nodes (N,), m."""
    nodes = np.asarray(node_depths)
    return np.concatenate([nodes[:1], 0.5 * (nodes[1:] + nodes[:-1]), nodes[-1:]])


def make_column(
    node_depths: np.ndarray,
    cell_faces: np.ndarray,
    thermal_conductivity: Float[Array, " interval"],
    volumetric_heat_capacity: Float[Array, " interval"],
) -> Column:
    """Column from depths of nodes (N,) and faces (N+1,) in m, and properties by interval (N-1,).

    Conductivity in W m-1 K-1, capacity in J m-3 K-1. Properties belong to the intervals between
    nodes, so a layer boundary that falls on a node is represented exactly. What lies below the
    last node is as the last interval.
    """
    nodes, faces = np.asarray(node_depths), np.asarray(cell_faces)
    above = volumetric_heat_capacity * (faces[1:-1] - nodes[:-1])
    below = volumetric_heat_capacity * (nodes[1:] - faces[1:-1])
    heat_capacity = jnp.pad(above, (0, 1)) + jnp.pad(below, (1, 0))
    end = volumetric_heat_capacity[-1] * (faces[-1] - nodes[-1])
    heat_capacity = heat_capacity.at[-1].add(end)
    return Column(thermal_conductivity / np.diff(nodes), heat_capacity)


def interface_heat_flux(
    column: Column, temperature: Float[Array, " node"]
) -> Float[Array, " interval"]:
    """Conductive heat flux between neighbouring nodes (W m-2, positive downwards)."""
    return -(jnp.asarray(column.conductance) * jnp.diff(temperature))


def conductive_heating(column: Column, temperature: Float[Array, " node"]) -> Float[Array, " node"]:
    """Net conductive heating of each control volume (W m-2), both ends insulated."""
    flux = interface_heat_flux(column, temperature)
    return jnp.pad(flux, (1, 0)) - jnp.pad(flux, (0, 1))
