"""Compiled programs are forgotten before they use up the maps of memory that a process may have."""

from __future__ import annotations

import gc
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from caliche.estimation import estimate, programs
from problems import line_problem


def compiled_now() -> jax.stages.Wrapped:
    """A program that is compiled, and has been run."""
    program = jax.jit(lambda x: 2.0 * x)
    program(jnp.ones(3))
    return program


@pytest.fixture
def few_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that gives a process so few maps that any program is too many."""
    (tmp_path / "max_map_count").write_text("10\n")
    (tmp_path / "maps").write_text("a map\n" * 20)
    monkeypatch.setattr(programs, "_MOST_MAPS", tmp_path / "max_map_count")
    monkeypatch.setattr(programs, "_MAPS", tmp_path / "maps")


def test_programs_are_kept_while_there_is_room():
    program = compiled_now()
    assert not programs.make_room(share=1.0)
    assert program._cache_size() == 1


def test_programs_are_forgotten_when_maps_run_out(few_maps):
    program = compiled_now()
    assert programs.make_room()
    assert program._cache_size() == 0
    assert not programs.make_room(), "nothing was compiled since"
    np.testing.assert_array_equal(program(jnp.ones(3)), 2.0)


def test_a_system_that_tells_no_maps_keeps_its_programs(tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "_MAPS", tmp_path / "nothing")
    program = compiled_now()
    assert not programs.make_room()
    assert program._cache_size() == 1


def test_a_calibration_begins_with_room_and_finds_the_same(few_maps):
    x = np.arange(8.0)
    problem = line_problem(x, 1.0 + 0.5 * x + 0.1 * (-1.0) ** x)
    first = estimate(problem)
    program = compiled_now()
    second = estimate(problem)
    assert program._cache_size() == 0
    np.testing.assert_array_equal(second.u, first.u)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no maps of memory to count")
def test_what_is_forgotten_gives_its_maps_back():
    def maps() -> int:
        return Path("/proc/self/maps").read_bytes().count(b"\n")

    kept = [jax.jit(lambda x, k=k: jnp.sort(x * k) + jnp.cumsum(x)) for k in range(1, 30)]
    gc.collect()
    before = maps()
    for program in kept:
        program(jnp.ones(7))
    held = maps() - before
    assert programs.make_room(share=0.0)
    assert maps() < before + 0.5 * held
