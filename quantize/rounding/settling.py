"""Settle a layer's weights on a grid: row by row what changes its output least, then its bias."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantize.rounding.moments import InputMoments

Floats = NDArray[np.float64]
Choose = Callable[[Floats, Floats, slice], tuple[Floats, Floats]]
"""(weight (n, rows, inputs), covariance of its inputs (n, inputs, inputs), which n of all) to two
candidates on the grid: by a method, and the nearest."""

_TOGETHER = 1 << 22
"""Covariance entries looked at together."""


@dataclass(frozen=True)
class Settled:
    """`values` on the grid, in the weight's shape; `shift`, (rows,), is to be added to the bias.

    `gain`: dB by which the error of the output's deviations is below that of rounding to
    nearest.
    """

    values: Floats
    shift: Floats
    gain: float


def settle(values: NDArray[np.float32], moments: InputMoments, choose: Choose) -> Settled:
    """Choose a convolution's weights; the mean error that is left goes into the bias.

    No method is sure to beat rounding to nearest in every row: where it does not (up to a tenth
    of depthwise channels), the nearest values are taken.
    """
    weight = moments.split(values)
    chosen = np.empty_like(weight)
    left = plain = 0.0
    chunk = max(1, _TOGETHER // weight.shape[2] ** 2)
    for start in range(0, len(weight), chunk):
        part = slice(start, min(start + chunk, len(weight)))
        covariance = np.stack([moments.covariance(i) for i in range(part.start, part.stop)])
        found, nearest = choose(weight[part], covariance, part)
        after, before = (_variance(weight[part] - one, covariance) for one in (found, nearest))
        chosen[part] = np.where((after < before)[:, :, None], found, nearest)
        left, plain = left + float(np.minimum(after, before).sum()), plain + float(before.sum())
    shift = moments.join((weight - chosen) @ moments.mean[:, :, None]).sum(1)
    gain = 10 * np.log10(plain / left) if left > 0 < plain else 0.0
    return Settled(moments.join(chosen).reshape(values.shape), shift, float(gain))


def _variance(errors: Floats, covariance: Floats) -> Floats:
    """Variance of each row's output, for errors (n, rows, inputs) of its weights."""
    return np.asarray(((errors @ covariance) * errors).sum(2))
