"""Draws from the posterior by the No-U-Turn sampler (Hoffman and Gelman 2014, arXiv:1111.4246).

The density that is sampled is exp(-J) in physical space: under an informative prior u ~ N(0, 1)
says that already; a flat prior is uniform in its parameter, so that its density in u carries the
slope of the parameter by u.

The sampler works in z with u = centre + root z, where root is a root of the Gaussian posterior's
covariance: a posterior that is nearly Gaussian is nearly spherical in z. The kernel and its
adaptation are blackjax's (arXiv:2402.10797), run here in pieces, so that progress can be shown and
a run that was stopped goes on where it was.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from caliche.errors import InputError
from caliche.estimation.density import Whitening, log_density, physical, whitening
from caliche.estimation.method import settled
from caliche.files.checkpoint import fingerprint, write_arrays
from caliche.parameters.space import ParameterSpace
from caliche.posterior import chains as diagnostics
from caliche.problems.base import Problem

SPREAD = 1.0  # of the chains' starts, in standard deviations
FAST, SLOW, DRAWING = 0, 1, 2

Progress = Callable[[int, int, int], None]
"""Called with the steps done, the steps in all, and the divergent transitions among the draws."""


class _Kernel(NamedTuple):
    chains: int
    target: float
    max_doublings: int


@dataclass(frozen=True)
class Settings:
    """How to sample. `target` is the acceptance rate that the step size aims at."""

    chains: int = 4
    warmup: int = 500
    draws: int = 1000
    seed: int = 0
    target: float = 0.8
    max_doublings: int = 10

    @property
    def kernel(self) -> _Kernel:
        """What a compiled program depends on."""
        return _Kernel(self.chains, self.target, self.max_doublings)

    def __post_init__(self) -> None:
        for name, least in (("chains", 1), ("warmup", 20), ("draws", 8)):
            if getattr(self, name) < least:
                raise InputError(
                    f"{name} of at least {least}", str(getattr(self, name)), f"{name} = {least}"
                )


@dataclass(frozen=True)
class Samples:
    """Draws from a posterior.

    Attributes
    ----------
    u : (chain, draw, P) whitened control vectors; physical: the same in physical units.
    log_density : (chain, draw) of u, up to a constant.
    energy, acceptance_rate, n_steps, diverging : (chain, draw), of the sampler.
    step_size : (chain,) in standard deviations of the Gaussian posterior.
    r_hat, ess_bulk, ess_tail : by parameter, see `caliche.posterior.chains`.
    n_gradients : of the log density, in all.
    usable, verdict : whether the draws can be used, and why, in words.
    """

    names: tuple[str, ...]
    settings: Settings
    u: np.ndarray
    physical: np.ndarray
    log_density: np.ndarray
    energy: np.ndarray
    acceptance_rate: np.ndarray
    n_steps: np.ndarray
    diverging: np.ndarray
    step_size: np.ndarray
    r_hat: dict[str, float]
    ess_bulk: dict[str, float]
    ess_tail: dict[str, float]
    n_gradients: int
    usable: bool
    verdict: str


def sample(
    problem: Problem,
    u: np.ndarray,
    settings: Settings | None = None,
    checkpoint: Path | None = None,
    callback: Progress | None = None,
    piece: int = 50,
    segments: int = 1,
) -> Samples:
    """Draw from the posterior, beginning around an optimum u (P,).

    The same seed gives the same draws on the same machine, stopped and gone on with or not.

    Parameters
    ----------
    checkpoint : a file, written after every `piece` steps, from which an identical call goes on;
        one of another problem or with other settings is written over. The caller removes it.
    callback : see `Progress`.
    segments : bounds the memory of the gradient, see `Problem.cost`.

    Raises
    ------
    InputError : blackjax is missing; no posterior that can be sampled.
    """
    need_blackjax()
    settings = settings or Settings()
    white = whitening(problem, u)
    total = settings.warmup + settings.draws
    # What a checkpoint belongs to: the data, where it began, and how it samples.
    mark = fingerprint(settings, piece, segments, version("blackjax"), problem, white)
    carry = _begin(problem, white, settings, segments)
    done, leaves, parts = _resume(checkpoint, mark)
    if leaves is not None:
        carry = jax.tree.unflatten(jax.tree.structure(carry), leaves)
    stages, window_ends = _schedule(settings, piece)
    while done < total:
        window = slice(done, done + piece)
        carry, part = _advance(
            settings.kernel,
            segments,
            problem,
            white,
            jax.random.key(settings.seed),
            carry,
            jnp.arange(done, done + piece),
            stages[window],
            window_ends[window],
        )
        parts.append({name: np.asarray(values) for name, values in part.items()})
        done += piece
        if checkpoint is not None:
            _keep(checkpoint, mark, done, carry, parts)
        if callback is not None:
            drawn = np.concatenate([p["diverging"] for p in parts], axis=1)[:, settings.warmup :]
            callback(min(done, total), total, int(drawn.sum()))
    columns = {name: np.concatenate([p[name] for p in parts], axis=1) for name in parts[0]}
    return _samples(problem.space, white, settings, columns)


def need_blackjax() -> None:
    """Refuse where blackjax is not installed."""
    try:
        import blackjax  # noqa: F401
    except ImportError:
        raise InputError(
            "the package blackjax, which samples",
            "an environment without it",
            "pip install 'caliche[mcmc]', or another method",
        ) from None


def _schedule(settings: Settings, piece: int) -> tuple[Array, Array]:
    """Stage of every step, and whether a window of the adaptation ends there (Stan's schedule)."""
    from blackjax.adaptation.window_adaptation import build_schedule

    with _loose():
        warmup = np.asarray(build_schedule(settings.warmup), int)
    rest = np.tile([DRAWING, 0], (settings.draws + piece, 1))
    steps = np.concatenate([warmup, rest])
    return jnp.asarray(steps[:, 0]), jnp.asarray(steps[:, 1].astype(bool))


def _density(problem: Problem, white: Whitening, segments: int) -> Callable[[Array], Array]:
    return lambda z: log_density(problem, white.centre + white.root @ z, segments)


def _begin(problem: Problem, white: Whitening, settings: Settings, segments: int) -> Any:
    """States of the chains at scattered starts; a start where the model fails is drawn nearer."""
    key = jax.random.key(settings.seed)
    z = SPREAD * jax.random.normal(key, (settings.chains, len(white.centre)))
    for _ in range(20):
        carry = _start(settings.kernel, segments, problem, white, z)
        fine = jnp.isfinite(carry[0].logdensity) & jnp.all(
            jnp.isfinite(carry[0].logdensity_grad), axis=1
        )
        if bool(fine.all()):
            return carry
        z = jnp.where(fine[:, None], z, 0.5 * z)
    raise InputError(
        "a finite log posterior near the optimum",
        "none",
        "calibrate again, and look at the report",
    )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _start(how: _Kernel, segments: int, problem: Problem, white: Whitening, z: Array) -> Any:
    from blackjax.mcmc import nuts

    def one(z: Array) -> tuple:
        step_size, mass = _adaptation(how)
        # A step of half a standard deviation suits a sphere.
        return (
            nuts.init(z, _density(problem, white, segments)),
            step_size[0](0.5),
            mass[0](len(z)),
        )

    with _loose():
        return settled(jax.vmap(one)(z))


def _adaptation(how: _Kernel) -> tuple[Any, Any]:
    """(init, update, final) of the step size and of the diagonal mass matrix."""
    from blackjax.adaptation.mass_matrix import mass_matrix_adaptation
    from blackjax.adaptation.step_size import dual_averaging_adaptation

    return dual_averaging_adaptation(how.target), mass_matrix_adaptation(True)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _advance(
    how: _Kernel,
    segments: int,
    problem: Problem,
    white: Whitening,
    base: Array,
    carry: Any,
    steps: Array,
    stages: Array,
    window_ends: Array,
) -> tuple[Any, dict[str, Array]]:
    """A piece of every chain: warm-up, draws, or some of both. Outputs are (chain, step, ...)."""
    from blackjax.mcmc import nuts

    kernel: Any = nuts.build_kernel()
    (da_init, da_update, da_final), (_, mm_update, mm_final) = _adaptation(how)
    density = _density(problem, white, segments)

    def transition(carry: tuple, now: tuple, chain: Array) -> tuple[tuple, dict[str, Array]]:
        state, size, mass = carry
        step, stage, window_end = now
        # The key of a step depends on nothing but the seed, the chain and the step.
        key = jax.random.fold_in(jax.random.fold_in(base, chain), step + 1)
        averaged = jnp.exp(size.log_step_size_avg)
        step_size = jnp.where(stage == DRAWING, averaged, jnp.exp(size.log_step_size))
        state, info = kernel(
            key,
            state,
            density,
            step_size,
            mass.inverse_mass_matrix,
            how.max_doublings,
        )

        def choose(condition: Array, new: Any, old: Any) -> Any:
            return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)

        size = choose(stage != DRAWING, da_update(size, info.acceptance_rate), size)
        mass = choose(stage == SLOW, mm_update(mass, state.position), mass)
        size = choose(window_end, da_init(da_final(size)), size)
        mass = choose(window_end, mm_final(mass), mass)
        kept = {
            "z": state.position,
            "log_density": state.logdensity,
            "energy": info.energy,
            "acceptance_rate": info.acceptance_rate,
            "n_steps": info.num_integration_steps,
            "diverging": info.is_divergent,
            "step_size": step_size,
        }
        return settled((state, size, mass)), kept

    def one(carry: tuple, chain: Array) -> tuple[tuple, dict[str, Array]]:
        return jax.lax.scan(
            lambda c, now: transition(c, now, chain), carry, (steps, stages, window_ends)
        )

    with _loose():
        return jax.vmap(one)(carry, jnp.arange(how.chains))


@contextlib.contextmanager
def _loose() -> Iterator[None]:
    """blackjax mixes widths and ranks of numbers, which strict settings would refuse."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


# -- going on after a stop -------------------------------------------------------------------


def _keep(path: Path, mark: str, done: int, carry: Any, parts: list) -> None:
    """Write the checkpoint."""
    leaves = enumerate(jax.tree.leaves(carry))
    arrays = {"done": np.asarray(done)} | {f"carry_{i}": np.asarray(x) for i, x in leaves}
    arrays |= {
        f"part_{name}": np.concatenate([p[name] for p in parts], axis=1) for name in parts[0]
    }
    write_arrays(path, mark, arrays)


def _resume(path: Path | None, mark: str) -> tuple[int, list | None, list]:
    """Steps done, leaves of the chains' states, and what was recorded; nothing if there is none."""
    if path is None or not path.is_file():
        return 0, None, []
    try:
        with open(path, "rb") as file, np.load(file) as kept:
            if str(kept["fingerprint"]) != mark:
                return 0, None, []
            n = sum(name.startswith("carry_") for name in kept.files)
            leaves = [jnp.asarray(kept[f"carry_{i}"]) for i in range(n)]
            names = [name for name in kept.files if name.startswith("part_")]
            parts = {name.removeprefix("part_"): kept[name] for name in names}
            return int(kept["done"]), leaves, [parts]
    except Exception:  # numpy and zip have one for every way in which a file is damaged
        return 0, None, []


# -- from draws to results -------------------------------------------------------------------


def _samples(
    space: ParameterSpace, white: Whitening, settings: Settings, columns: dict[str, np.ndarray]
) -> Samples:
    drawn = {
        name: values[:, settings.warmup :][:, : settings.draws] for name, values in columns.items()
    }
    n_gradients = int(columns["n_steps"][:, : settings.warmup + settings.draws].sum())
    u = np.asarray(white.centre) + drawn["z"] @ np.asarray(white.root).T
    values = physical(space, u)
    by_name = {name: values[:, :, k] for k, name in enumerate(space.names)}
    r_hat = {name: diagnostics.r_hat(x) for name, x in by_name.items()}
    bulk = {name: diagnostics.ess_bulk(x) for name, x in by_name.items()}
    tail = {name: diagnostics.ess_tail(x) for name, x in by_name.items()}
    fewest = {name: min(bulk[name], tail[name]) for name in by_name}
    divergent = int(drawn["diverging"].sum())
    usable, verdict = diagnostics.verdict(r_hat, fewest, settings.chains, divergent)
    return Samples(
        names=space.names,
        settings=settings,
        u=u,
        physical=values,
        log_density=drawn["log_density"],
        energy=drawn["energy"],
        acceptance_rate=drawn["acceptance_rate"],
        n_steps=drawn["n_steps"],
        diverging=drawn["diverging"],
        step_size=drawn["step_size"][:, -1],
        r_hat=r_hat,
        ess_bulk=bulk,
        ess_tail=tail,
        n_gradients=n_gradients,
        usable=usable,
        verdict=verdict,
    )
