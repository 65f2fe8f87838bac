"""Choose the step of rows in which one weight towers above all others.

A row of a convolution that is near the identity has one weight of about 1 and many small ones,
which a step of 1/127 leaves two or three integers. A smaller step cuts the large weight and
gives the small ones more; error compensation then lets the others make up for what was cut.
Whether that pays is measured on the row's output, as AIMET and others choose weight ranges
(Nagel et al. 2021, arXiv:2106.08295, section 3.1), here after the compensation.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quantize.rounding.settling import Settled

_FACTORS = (1.0, 0.84, 0.7, 0.6, 0.5, 0.4, 0.3)
_TOWERING = 16
"""Root mean squares of the row. Below, even the step of 1/127 is an eighth of a usual weight."""


def candidate_scales(
    values: NDArray[np.float32], scale: NDArray[np.float32]
) -> list[NDArray[np.float32]]:
    """Return `scale`, (rows,) or (1,), and the smaller ones to try; most weights need none."""
    rows = values.astype(np.float64).reshape(len(scale), -1)
    towering = np.abs(rows).max(1) > _TOWERING * np.sqrt((rows**2).mean(1))
    factors = _FACTORS if towering.any() else _FACTORS[:1]
    return [np.asarray(scale * np.float32(factor), np.float32) for factor in factors]


def best_rows(
    scales: Sequence[NDArray[np.float32]], settled: Sequence[Settled]
) -> tuple[NDArray[np.float32], Settled]:
    """Return of each row what costs least; rows of one common scale are chosen together.

    `nearest` stays that of the first.
    """
    cost = np.stack([rounded.cost for rounded in settled])
    total = cost if len(scales[0]) > 1 else cost.sum(1, keepdims=True)
    best = total.argmin(0)
    row = np.broadcast_to(best, cost.shape[1:])

    def pick(parts: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
        return np.stack([parts[choice][i] for i, choice in enumerate(row)])

    return np.stack([scales[choice][i] for i, choice in enumerate(best)]), Settled(
        pick([rounded.values for rounded in settled]),
        pick([rounded.shift for rounded in settled]),
        pick([rounded.error for rounded in settled]),
        settled[0].nearest,
        pick([rounded.cost for rounded in settled]),
    )
