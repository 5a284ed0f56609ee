"""One configuration for every test: 64 bit, no silent promotion, checked annotations, data."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

from caliche.runtime import configure

# As the command line sets JAX up, but with nothing kept on disk.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="caliche-tests-")
configure(cache=False)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Checks every annotated shape and type of these modules while the tests run; it has to come before
# the first import of the package.
install_import_hook(
    [
        "caliche.physics",
        "caliche.models",
        "caliche.observations",
        "caliche.parameters",
        "caliche.inverse_problem",
        "caliche.estimation",
    ],
    "beartype.beartype",
)

MOST_MAPS = 20_000  # after a file of tests; the largest makes some 8000

ON_CI = os.environ.get("CI") == "true"

settings.register_profile("caliche", deadline=None, max_examples=30, derandomize=ON_CI)
settings.load_profile("caliche")


@pytest.fixture(autouse=True, scope="module")
def compiled_programs() -> Iterator[None]:
    """Compiled programs go before they are too many.

    Each holds several maps of memory, of which Linux gives a process 65530: more than a worker gets
    by with when it keeps the programs of all its files, and XLA dies of it without a word.
    """
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder of the observations and published results, from the variable CALICHE_DATA."""
    folder = os.environ.get("CALICHE_DATA")
    if folder is None:
        message = "set CALICHE_DATA to the folder that holds huang-2026 and the sites"
        pytest.fail(message) if ON_CI else pytest.skip(message)
    return Path(folder)
