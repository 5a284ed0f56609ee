"""The C kernel that benchmarks are measured against.

One source, kern.c with kern.inc: the column of `benchmarks.problems` in C, by hand, with a hand
adjoint, hand tangents, and a form that runs many members side by side (SoA, SIMD, OpenMP). It is
not part of the package. Its folder is the variable CALICHE_YARDSTICKS, else `shared/yardsticks`
beside the checkout.

A wrapper allocates what it needs and returns a `Prepared`: its `run` takes no time but C's.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FLAGS = ("-O3", "-march=native", "-ffast-math", "-fopenmp")
LANES = 32  # members that the SoA kernels take at a time; their number has to be a multiple
DEPTH = 1.0  # of the column, m


class Unavailable(RuntimeError):
    """A yardstick that this machine does not have; the message says what is missing."""


@dataclass(frozen=True)
class Prepared:
    """A call into C, ready to run: `run` fills `output` (and what the wrapper says beside it)."""

    run: Callable[[], object]
    output: np.ndarray


@dataclass(frozen=True)
class Column:
    """What a C column is run with.

    layers : number of equal cells in the column of 1 m.  time_step : s.
    initial_temperature : K, everywhere.  observed : indices of the two observed cells.
    newton_iterations : fixed number of iterations for the surface temperature.
    """

    layers: int
    time_step: float
    initial_temperature: float
    observed: tuple[int, int]
    newton_iterations: int = 2

    @property
    def thickness(self) -> float:
        """Thickness of a cell, m."""
        return DEPTH / self.layers


def source_folder() -> Path:
    """The folder of kern.c and kern.inc."""
    given = os.environ.get("CALICHE_YARDSTICKS")
    beside = Path(__file__).resolve().parents[2] / "shared" / "yardsticks"
    folder = Path(given) if given else beside
    if not all((folder / name).exists() for name in ("kern.c", "kern.inc")):
        where = "CALICHE_YARDSTICKS" if given else "shared/yardsticks beside the checkout"
        raise Unavailable(
            f"Expected kern.c and kern.inc in {where}. Got none. Try: set CALICHE_YARDSTICKS to "
            "their folder."
        )
    return folder


def compiler() -> str:
    """The C compiler, gcc."""
    found = shutil.which("gcc")
    if found is None:
        raise Unavailable("Expected gcc, to compile the C kernel. Got none. Try: install it.")
    return found


def cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@functools.cache
def load_kernel() -> Kernel:
    """Compile the kernel for this machine and load it; once per process."""
    source, gcc = source_folder() / "kern.c", compiler()
    folder = tempfile.TemporaryDirectory(prefix="caliche-yardstick-")
    target = Path(folder.name) / "kern.so"
    command = [gcc, *FLAGS, "-shared", "-fPIC", "-o", str(target), str(source), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable(f"gcc could not compile the C kernel: {done.stderr.splitlines()[-1]}")
    return Kernel(ctypes.CDLL(str(target)), folder)


def _double(value: float) -> ctypes.c_double:
    return ctypes.c_double(value)


def _doubles(array: np.ndarray | None) -> ctypes.c_void_p:
    """A pointer to an array, which has to be contiguous and in double precision."""
    if array is None:
        return ctypes.c_void_p()
    assert array.dtype == np.float64
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)


class Kernel:
    """The compiled kernel.

    Everywhere: forcing (time, 5) with the columns SWdown, LWdown, Tair, wind speed and specific
    humidity; theta (5,) = log conductivity, log heat capacity, albedo, log bulk transfer
    coefficient, moisture availability; observed (time, 2), K. SI units.
    """

    def __init__(self, library: ctypes.CDLL, folder: tempfile.TemporaryDirectory) -> None:
        self._library = library
        self._folder = folder  # lives as long as the library
        library.adj_thomas_d.restype = ctypes.c_double

    def set_threads(self, number: int) -> None:
        """Threads that the SoA kernels use."""
        self._library.omp_set_num_threads(ctypes.c_int(number))

    def forward(self, column: Column, forcing: np.ndarray, theta: np.ndarray) -> Prepared:
        """One column by the Thomas algorithm; output (time, 2), K."""
        n = len(forcing)
        output = np.zeros((n, 2))

        def run() -> None:
            self._library.fwd_thomas_d(
                ctypes.c_int(column.layers),
                ctypes.c_long(n),
                _doubles(forcing),
                _doubles(theta),
                *_steps(column),
                ctypes.c_int(0),
                _doubles(output),
                _doubles(None),
                _doubles(None),
            )

        return Prepared(run, output)

    def gradient(
        self, column: Column, forcing: np.ndarray, theta: np.ndarray, observed: np.ndarray
    ) -> Prepared:
        """Gradient of sum((T - observed)^2) / 2 by theta with the hand adjoint; output (5,)."""
        n = len(forcing)
        output, predicted = np.zeros(5), np.zeros((n, 2))
        soil, surface = np.zeros((n, column.layers)), np.zeros(n)

        def run() -> None:
            self._library.adj_thomas_d(
                ctypes.c_int(column.layers),
                ctypes.c_long(n),
                _doubles(forcing),
                _doubles(theta),
                *_steps(column),
                _doubles(observed),
                _doubles(predicted),
                _doubles(soil),
                _doubles(surface),
                _doubles(output),
            )

        return Prepared(run, output)

    def forward_modal(self, column: Column, forcing: np.ndarray, theta: np.ndarray) -> Prepared:
        """One column in its eigenmodes; output (time, 2), K. The eigenmodes are not timed."""
        n = len(forcing)
        output = np.zeros((n, 2))
        modes = _modes(column, theta)

        def run() -> None:
            self._library.fwd_modal_d(
                ctypes.c_int(column.layers),
                ctypes.c_long(n),
                _doubles(forcing),
                _doubles(theta),
                _doubles(modes.decay),
                _doubles(modes.response),
                _doubles(modes.first),
                _doubles(modes.second),
                _double(modes.conductance),
                _doubles(modes.start),
                _double(column.initial_temperature),
                ctypes.c_int(column.newton_iterations),
                _doubles(output),
            )

        return Prepared(run, output)

    def forward_members(
        self, column: Column, forcing: np.ndarray, theta: np.ndarray, observed: np.ndarray
    ) -> Prepared:
        """Many members: output (member,) sum((T - observed)^2) / 2.

        theta (5, member); forcing (time, 5) and observed (time, 2) shared by all, or (time, 5,
        member) and (time, 2, member).
        """
        output = np.zeros(theta.shape[1])

        def run() -> None:
            arguments = self._members(column, forcing, theta, observed)
            self._library.fwd_soa_d(*arguments, _doubles(output))

        return Prepared(run, output)

    def normal_equations_members(
        self, column: Column, forcing: np.ndarray, theta: np.ndarray, observed: np.ndarray
    ) -> Prepared:
        """Many members, with hand tangents; output (20, member): J^T r and the lower half of J^T J.

        Arguments as for `forward_members`.
        """
        members = theta.shape[1]
        misfit, output = np.zeros(members), np.zeros((20, members))

        def run() -> None:
            arguments = self._members(column, forcing, theta, observed)
            self._library.tan_soa_d(*arguments, _doubles(misfit), _doubles(output))

        return Prepared(run, output)

    def _members(
        self, column: Column, forcing: np.ndarray, theta: np.ndarray, observed: np.ndarray
    ) -> tuple:
        members = theta.shape[1]
        assert members % LANES == 0, f"members have to be a multiple of {LANES}"
        assert column.newton_iterations <= 2, "the SoA kernels have two iterations at most"
        own = int(forcing.ndim == 3)
        return (
            ctypes.c_int(column.layers),
            ctypes.c_long(len(forcing)),
            ctypes.c_long(members),
            _doubles(forcing),
            ctypes.c_int(own),
            _doubles(theta),
            *_steps(column),
            _doubles(observed),
        )


def _steps(column: Column) -> tuple:
    """The arguments that every kernel on the grid takes, in its order."""
    return (
        _double(column.time_step),
        _double(column.thickness),
        _double(column.initial_temperature),
        ctypes.c_int(column.newton_iterations),
        ctypes.c_int(column.observed[0]),
        ctypes.c_int(column.observed[1]),
    )


@dataclass(frozen=True)
class _Modes:
    """Eigenmodes of the implicit step, scaled by their value in the uppermost cell."""

    decay: np.ndarray
    response: np.ndarray
    first: np.ndarray
    second: np.ndarray
    start: np.ndarray
    conductance: float


def _modes(column: Column, theta: np.ndarray) -> _Modes:
    n, thickness = column.layers, column.thickness
    conductivity, capacity = np.exp(theta[0]), np.exp(theta[1])
    number = column.time_step * conductivity / (capacity * thickness**2)
    laplacian = 2.0 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    laplacian[0, 0] = laplacian[-1, -1] = 1.0
    values, vectors = np.linalg.eigh(laplacian)
    decay = 1.0 / (1.0 + number * values)
    response = decay * vectors[0] ** 2 * column.time_step / (capacity * thickness)
    skin = conductivity / (0.5 * thickness)
    first, second = (vectors[k] / vectors[0] for k in column.observed)
    start = vectors[0] * (vectors.T @ np.full(n, column.initial_temperature))
    return _Modes(decay, response, first, second, start, skin / (1.0 + response.sum() * skin))
