"""How much a run is expected to lower the best value so far, as a logarithm that never vanishes.

With the emulator's mean m and standard deviation s, the best value y and z = (y - m) / s (values
are minimised), the expected improvement is

    EI = s h(z),   h(z) = phi(z) + z Phi(z),   logEI = ln s + ln h(z)

(Jones, Schonlau and Welch 1998, doi:10.1023/A:1008306431147). h underflows below z = -38 and its
gradient is lost long before; ln h does not (Ament et al. 2023, arXiv:2310.20708).
"""

from __future__ import annotations

import jax.numpy as jnp
from jax.scipy.special import log_ndtr, ndtr
from jaxtyping import Array, Float

_HALF_LOG_TWO_PI = 0.9189385332046727
# Below this z the tail is summed as a series, whose first term left out is then below round-off.
_TAIL, _TERMS = -12.0, 12

Values = Float[Array, "..."]


def log_h(z: Values) -> Values:
    """ln(phi(z) + z Phi(z)) at any z, to 1e-9."""
    near = jnp.maximum(z, -1.0)
    log_near = jnp.log(jnp.exp(_log_density(near)) + near * ndtr(near))
    # h = phi (1 - |z| Phi / phi), where the second factor is near 1 / z^2.
    middle = jnp.clip(z, _TAIL, -1.0)
    mills = jnp.log(-middle) + log_ndtr(middle) - _log_density(middle)
    log_middle = _log_density(middle) + jnp.log(-jnp.expm1(mills))
    far = jnp.minimum(z, _TAIL)
    log_far = _log_density(far) - 2.0 * jnp.log(-far) + jnp.log(_series(1.0 / far**2))
    return jnp.where(z > -1.0, log_near, jnp.where(z > _TAIL, log_middle, log_far))


def log_expected_improvement(mean: Values, sd: Values, best: Values) -> Values:
    """logEI of a value with this mean and standard deviation below `best`."""
    return jnp.log(sd) + log_h((best - mean) / sd)


def probability_of_improvement(mean: Values, sd: Values, best: Values) -> Values:
    """The probability that a value lies below `best`."""
    return ndtr((best - mean) / sd)


def lower_confidence_bound(mean: Values, sd: Values, sds: float = 2.0) -> Values:
    """The value that is undercut only by chance: the mean less so many standard deviations."""
    return mean - sds * sd


def _log_density(z: Values) -> Values:
    return -0.5 * z**2 - _HALF_LOG_TWO_PI


def _series(x: Values) -> Values:
    """(1 - |z| Phi / phi) z^2 = 1 - 3 x (1 - 5 x (1 - ...)) with x = 1 / z^2."""
    found = jnp.ones_like(x)
    for term in range(2 * _TERMS + 1, 1, -2):
        found = 1.0 - term * x * found
    return found
