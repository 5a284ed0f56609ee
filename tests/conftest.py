"""One configuration for every test: 64 bit, no silent promotion, checked annotations, data."""

from __future__ import annotations

import gc
import hashlib
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jaxlib
import pytest
from hypothesis import settings
from jaxtyping import install_import_hook
from markupsafe import Markup, escape

from caliche.report import style
from caliche.runtime import configure


def _flags_of_processor() -> str:
    """What the processor can do, where the system says so."""
    said = Path("/proc/cpuinfo")
    lines = said.read_text().splitlines() if said.exists() else []
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


# Compiled programs are kept between workers and runs, the command line's included: compiling is
# most of what the tests cost. Their key holds the program, jaxlib and its flags; the folder's name
# adds the processor, whose instructions they use.
_OF = f"{platform.machine()}-{platform.processor()}-{platform.release()}-{_flags_of_processor()}"
_KEPT = Path(os.environ.get("CALICHE_TEST_CACHE", Path.home() / ".cache" / "caliche-tests"))
_KEPT /= f"jaxlib-{jaxlib.__version__}-{hashlib.sha256(_OF.encode()).hexdigest()[:12]}"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_KEPT))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.02")
for name in ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"):
    given = os.environ[name.upper()]
    jax.config.update(name, float(given) if name.endswith("secs") else given)
# Of the two ways in which XLA makes machine code of fused operations, the one that compiles in half
# to two thirds of the time, measured on single programs; results differ in round-off at most.
_FASTER = "--xla_cpu_use_fusion_emitters=false"
if "xla_cpu_use_fusion_emitters" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FASTER}".strip()
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
        "caliche.problems",
        "caliche.estimation",
        "caliche.posterior",
        "caliche.identifiability",
        "caliche.sensitivity",
        "caliche.assimilation",
        "caliche.learning",
        "caliche.files.checkpoint",
        "caliche.sites.block_data",
        "caliche.sites.blocks",
        "caliche.sites.joint_fit",
        "caliche.sites.residuals",
        "caliche.sites.spread",
    ],
    "beartype.beartype",
)

MOST_MAPS = 20_000  # after a file of tests; the largest makes some 8000

ON_CI = os.environ.get("CI") == "true"

# Every run draws the same examples, so that a test that passed here passes elsewhere; a search for
# faults draws new ones.
SEARCH = os.environ.get("CALICHE_TEST_RANDOM") == "1"

settings.register_profile(
    "caliche",
    deadline=None,
    max_examples=300 if SEARCH else 30,
    derandomize=not SEARCH,
    database=None if not SEARCH else settings.default.database,
)
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


@pytest.fixture(autouse=True, scope="session")
def undrawn() -> Iterator[Callable[..., Markup]]:
    """Figures of pages are built, but not drawn: drawing is up to a quarter of what a test of a
    command costs. The function that draws them is given to the tests that are about figures."""
    with pytest.MonkeyPatch.context() as patch:
        drawing = style.to_svg
        patch.setattr(style, "to_svg", _empty)
        yield drawing


def _empty(figure: object, key: str, label: str) -> Markup:
    return Markup(f'<svg id="{key}" role="img" aria-label="{escape(label)}"></svg>')


@pytest.fixture(autouse=True)
def drawn(request, undrawn, monkeypatch) -> None:
    """Figures are drawn in tests with the marker `drawn`."""
    if request.node.get_closest_marker("drawn") is not None:
        monkeypatch.setattr(style, "to_svg", undrawn)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder of the observations and published results, from the variable CALICHE_DATA."""
    folder = os.environ.get("CALICHE_DATA")
    if folder is None:
        message = "set CALICHE_DATA to the folder that holds huang-2026 and the sites"
        pytest.fail(message) if ON_CI else pytest.skip(message)
    return Path(folder)
