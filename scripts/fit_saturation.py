"""Fit the polynomial of `caliche.physics.humidity.saturation_vapour_pressure_polynomial`.

Least squares with Lawson's weights, which tend to the smallest largest relative error.

    python scripts/fit_saturation.py
"""

from __future__ import annotations

import numpy as np
from numpy.polynomial import chebyshev

from caliche.physics.humidity import COLDEST, HOTTEST

DEGREE, POWER, POINTS = 9, 16, 2000


def exact(temperature: np.ndarray) -> np.ndarray:
    """Buck (1981), Pa, written out in NumPy."""
    celsius = temperature - 273.15
    return 611.21 * np.exp(17.502 * celsius / (240.97 + celsius))


def main() -> None:
    """Print the coefficients in rising order, and the largest relative error."""
    middle, half = 0.5 * (HOTTEST + COLDEST), 0.5 * (HOTTEST - COLDEST)
    x = np.cos(np.pi * (np.arange(POINTS) + 0.5) / POINTS)
    root = exact(middle + half * x) ** (1.0 / POWER)
    basis = chebyshev.chebvander(x, DEGREE) / root[:, None]
    weight = np.full(POINTS, 1.0 / POINTS)
    fit = np.zeros(DEGREE + 1)
    for _ in range(60):
        scale = np.sqrt(weight)
        fit = np.linalg.lstsq(basis * scale[:, None], scale, rcond=None)[0]
        weight = weight * np.abs(basis @ fit - 1.0)
        weight /= weight.sum()
    coefficients = chebyshev.cheb2poly(fit)
    dense = np.linspace(-1.0, 1.0, 100_001)
    value = np.polynomial.polynomial.polyval(dense, coefficients) ** POWER
    error = np.abs(value / exact(middle + half * dense) - 1.0).max()
    print("\n".join(f"{c!r}," for c in coefficients.tolist()))
    print(f"largest relative error {error:.1e}")


if __name__ == "__main__":
    main()
