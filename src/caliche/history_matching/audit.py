"""Direct runs of what emulators ruled out and kept: how much was wrong, and how badly.

What was ruled out is sampled in two parts, since mistakes lie near the edge: half of the runs
within one and a half times the cut-off, half anywhere. Each part counts by its volume.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import qmc

from caliche.history_matching.nonimplausible import Nonimplausible, sample_nroy
from caliche.history_matching.result import Audit
from caliche.history_matching.study import Study

SHELL = 1.5  # cut-offs


def audit_of(
    study: Study, statistic: Callable[[np.ndarray], np.ndarray], nroy: Nonimplausible
) -> Audit:
    """Run the model at points that emulators judged.

    Parameters
    ----------
    statistic : points (n, P) of the cube -> implausibility (n,) by the emulators.
    """
    options, cutoff = study.options, study.cutoff
    half, quarter = options.audit // 2, options.audit // 4
    size = study.ranges.size
    wider = sample_nroy(
        statistic,
        size,
        SHELL * cutoff,
        max(4 * quarter, 200),
        options.points,
        options.seed + 7,
        apart=False,
    )
    shell = wider.points[wider.statistic > cutoff][:quarter]
    sobol = qmc.Sobol(size, rng=np.random.default_rng([options.seed, 8]))
    anywhere = sobol.random_base2(max(6, (2 * quarter).bit_length()))
    anywhere = anywhere[statistic(anywhere) > SHELL * cutoff][:quarter]
    kept = nroy.points[
        np.linspace(0, len(nroy.points) - 1, min(half, len(nroy.points))).astype(int)
    ]
    exact = [study.exact(part) for part in (shell, anywhere, kept)]
    good = [part[~np.isnan(part)] <= cutoff for part in exact]
    volumes = max(wider.fraction - nroy.fraction, 0.0), 1.0 - wider.fraction, nroy.fraction
    mass = [v * (float(g.mean()) if len(g) else 0.0) for v, g in zip(volumes, good, strict=True)]
    lost = np.concatenate([part[part <= cutoff] for part in exact[:2]])
    return Audit(
        len(shell) + len(anywhere),
        len(kept),
        (mass[0] + mass[1]) / max(sum(mass), 1e-300),
        1.0 - (float(good[2].mean()) if len(good[2]) else 0.0),
        float(lost.min()) if len(lost) else None,
        cutoff,
    )
