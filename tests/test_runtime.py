"""The settings of JAX: what they change (time) and what they must not (results)."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

COMPUTE = """
import jax, numpy as np
import caliche
{setting}
jax.config.update("jax_enable_x64", True)
problem = caliche.load_experiment("twin-one-depth", ["synthetic.noise=false"]).problem()
equations = jax.jit(lambda u: problem.normal_equations(u))(problem.space.initial())
print(*np.concatenate([np.ravel(part) for part in equations]).tolist())
"""

# The programs that the other tests keep are none of these tests' business.
_NOT_GIVEN = (
    "XLA_FLAGS",
    "CALICHE_DATA",
    "JAX_COMPILATION_CACHE_DIR",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
)


def run(code: str, tmp_path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k not in _NOT_GIVEN}
    kept |= {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)} | environment
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=kept,
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.mark.ci
def test_results_do_not_depend_on_the_settings(tmp_path):
    with_them, without, from_cache = (
        np.array(run(COMPUTE.format(setting=setting), tmp_path).stdout.split(), float)
        for setting in ("caliche.configure()", "", "caliche.configure()")
    )
    np.testing.assert_allclose(with_them, without, rtol=1e-9)
    np.testing.assert_array_equal(from_cache, with_them)
    assert any((tmp_path / "caliche").iterdir()), "compiled programs should have been kept"


SAID = """
import os, caliche
caliche.configure(cache=False)
from caliche.runtime import outside
print(os.environ["OPENBLAS_NUM_THREADS"], outside().get("OPENBLAS_NUM_THREADS"))
print("XLA_FLAGS" in os.environ, "XLA_FLAGS" in outside())
"""


def test_blas_has_one_thread_and_other_programs_have_the_environment_of_before(tmp_path):
    code = 'import os; os.environ.pop("OPENBLAS_NUM_THREADS", None)\n' + SAID
    assert run(code, tmp_path).stdout.split() == ["1", "None", "True", "False"]


LOOP = """
import caliche
{setting}
import jax
import jax.numpy as jnp
jax.config.update("jax_enable_x64", True)
weights = jnp.linspace(0.1, 0.2, 8)
def step(column, air):
    for _ in range(8):
        surface = (weights * column).sum()
        column = column + 0.1 * weights * (air - surface)
    return column, surface
loop = jax.jit(lambda start: jax.lax.scan(step, start, jnp.zeros(17520))[1].sum())
print("small_call" in loop.lower(jnp.zeros(8)).compile().as_text())
"""


@pytest.mark.parametrize(
    ("setting", "one_piece"), [("caliche.configure(cache=False)", "True"), ("", "False")]
)
def test_xla_still_knows_the_option(setting, one_piece, tmp_path):
    """XLA marks a loop that it compiles in one piece. Where a new jaxlib says otherwise,
    `python -m benchmarks --only option` tells whether the option has gone, or only the mark."""
    said = run(LOOP.format(setting=setting), tmp_path, JAX_PLATFORMS="cpu").stdout.strip()
    if not setting and said == "True":
        pytest.skip("this jaxlib compiles such loops in one piece without being asked")
    assert said == one_piece


def test_too_late_is_said(tmp_path):
    code = """
import warnings, jax, caliche
jax.numpy.zeros(3).block_until_ready()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    caliche.configure()
print(len(caught), caught[0].category.__name__, caught[0].message)
print(jax.numpy.zeros(3).dtype)
"""
    said = run(code, tmp_path).stdout
    assert said.startswith("1 RuntimeWarning Expected caliche.configure() before the first")
    assert "float64" in said  # double precision can be had at any time


def test_the_environment_is_left_as_it_is(tmp_path):
    code = """
import os, jax, caliche
caliche.configure()
print(os.environ["XLA_FLAGS"], jax.config.jax_compilation_cache_dir)
"""
    flags = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=5"
    own = {"XLA_FLAGS": flags, "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "own")}
    assert run(code, tmp_path, **own).stdout.split() == [flags, str(tmp_path / "own")]
    other = run(code, tmp_path, XLA_FLAGS="--xla_force_host_platform_device_count=2").stdout
    assert other.startswith("--xla_force_host_platform_device_count=2 --xla_backend_extra_options")


@pytest.mark.skipif(sys.platform == "win32", reason="no such file there")
def test_a_home_that_cannot_be_written_costs_only_the_cache(tmp_path):
    code = "import jax, caliche; caliche.configure(); print(jax.config.jax_compilation_cache_dir)"
    nowhere = {"XDG_CACHE_HOME": "/dev/null/none"}
    assert run(code, tmp_path, **nowhere).stdout.strip() in ("", "None")


def test_devices(tmp_path):
    code = "import caliche; caliche.configure(devices={}); import jax; print(jax.device_count())"
    bare = {"JAX_PLATFORMS": "cpu"}
    assert run(code.format(3), tmp_path, **bare).stdout.strip() == "3"
    cores = str(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    )
    assert run(code.format("'all'"), tmp_path, **bare).stdout.strip() == cores
    own = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", **bare}
    assert run(code.format(3), tmp_path, **own).stdout.strip() == "2"


def test_devices_too_late_or_none(tmp_path):
    code = """
import warnings, jax, caliche
caliche.configure()
jax.numpy.zeros(3).block_until_ready()
caliche.configure(devices="all")  # whatever there is
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    caliche.configure(devices=999)
print(len(caught), caught[0].category.__name__, caught[0].message)
try:
    caliche.configure(devices=0)
except caliche.InputError as error:
    print(error)
"""
    first, second = run(code, tmp_path, JAX_PLATFORMS="cpu").stdout.splitlines()
    assert first.startswith("1 RuntimeWarning Expected caliche.configure(devices=999) before the")
    assert second == ("Expected at least one device. Got 0. Try: leave it out to use every core.")
