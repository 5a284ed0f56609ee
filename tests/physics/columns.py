"""Columns, and an independent implicit step of them by dense linear algebra."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from caliche.physics.heat_conduction import Column, make_column, midway_faces
from caliche.physics.implicit_column import EliminatedColumn, ModalColumn
from caliche.physics.normal_modes import Ends, normal_modes

SOLVERS = ("modal", "elimination")
ENDS = [Ends(skin, fixed) for skin in (False, True) for fixed in (False, True)]
END_IDS = [
    f"{'skin' if ends.skin else 'half-cell'}-{'fixed' if ends.fixed_bottom else 'insulated'}"
    for ends in ENDS
]


def grid(spacing: np.ndarray, skin: bool) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and faces: whole cells of this thickness below a skin, or nodes this far apart."""
    edges = np.append(0.0, np.cumsum(spacing))
    if skin:
        return np.append(0.0, 0.5 * (edges[1:] + edges[:-1])), np.append(0.0, edges)
    return edges, midway_faces(edges)


def two_layers(n: int = 11) -> tuple[np.ndarray, Column]:
    """0.3 m of dry over 0.7 m of wet soil, on a stretched grid with a node at the boundary."""
    depths = np.concatenate([np.linspace(0.0, 0.3, n), 0.3 + 0.7 * np.linspace(0, 1, n)[1:] ** 2])
    upper = 0.5 * (depths[1:] + depths[:-1]) < 0.3
    conductivity, capacity = np.where(upper, 0.3, 1.6), np.where(upper, 1.3e6, 3.0e6)
    faces = midway_faces(depths)
    return depths, make_column(depths, faces, jnp.asarray(conductivity), jnp.asarray(capacity))


def build(solver: str, column: Column, ends: Ends, time_step: float):
    """Either solver, its modes computed where it needs them."""
    if solver == "elimination":
        return EliminatedColumn.build(column, ends, time_step)
    return ModalColumn.build(column, normal_modes(column, ends), ends, time_step)


def step_of_all(implicit, anomalies, bottom, ground_heat_flux):
    """A step in terms of anomalies of all nodes (N,): those after it, and the heat flux."""
    ends, last = implicit.ends, len(anomalies) - 1
    start = implicit.encode(anomalies)
    profile, surface, flux = implicit.step(start, bottom, ground_heat_flux, anomalies[0])
    inner = range(int(ends.skin), last + int(not ends.fixed_bottom))
    nodes = [implicit.node(profile, i) for i in inner]
    nodes = [surface] * ends.skin + nodes + [bottom] * ends.fixed_bottom
    return jnp.stack(nodes), flux


@functools.partial(jax.jit, static_argnums=(0, 2, 3))
def linear_step(solver: str, column: Column, ends: Ends, time_step: float, anomalies, bottom, line):
    """A step under the flux line[0] - line[1] T."""
    implicit = build(solver, column, ends, time_step)
    return step_of_all(implicit, anomalies, bottom, lambda t: line[0] - line[1] * t)


def dense_linear_step(column: Column, ends: Ends, time_step: float, anomalies, bottom, line):
    """The same in NumPy, surface and bottom being rows like any other."""
    conductance, mass = np.asarray(column.conductance), np.asarray(column.heat_capacity)
    stiffness = np.diag(np.append(conductance, 0.0) + np.append(0.0, conductance))
    stiffness -= np.diag(conductance, 1) + np.diag(conductance, -1)
    matrix = np.diag(mass / time_step) + stiffness
    right = mass / time_step * np.asarray(anomalies)
    matrix[0, 0] += line[1]
    right[0] += line[0]
    if ends.fixed_bottom:
        matrix[-1] = np.eye(len(mass))[-1]
        right[-1] = bottom
    after = np.linalg.solve(matrix, right)
    return after, line[0] - line[1] * after[0]
