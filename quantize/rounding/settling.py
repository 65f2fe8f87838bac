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


_UNSEEN = 0.05
"""Variance that inputs may have beyond that of the calibration images, as a part of their mean."""


@dataclass(frozen=True)
class Settled:
    """`values` on the grid, in the weight's shape; `shift`, (rows,), is to be added to the bias.

    Of each row's output, (rows,): `error` is the variance of what the rounding changes,
    `nearest` the same for rounding to nearest, and `cost` is `error` with some variance of
    every input added: what can be expected on images that are not those of the calibration.
    """

    values: Floats
    shift: Floats
    error: Floats
    nearest: Floats
    cost: Floats

    @property
    def gain(self) -> float:
        """By how many dB the error of all outputs is below that of rounding to nearest."""
        left, plain = self.error.sum(), self.nearest.sum()
        return float(10 * np.log10(plain / left)) if left > 0 < plain else 0.0


def settle(values: NDArray[np.float32], moments: InputMoments, choose: Choose) -> Settled:
    """Choose a convolution's weights; the mean error that is left goes into the bias.

    No method is sure to beat rounding to nearest in every row: where it does not (up to a tenth
    of depthwise channels), the nearest values are taken.
    """
    weight = moments.split(values)
    chosen = np.empty_like(weight)
    error, nearest, cost = (np.empty(weight.shape[:2]) for _ in range(3))
    chunk = max(1, _TOGETHER // weight.shape[2] ** 2)
    for start in range(0, len(weight), chunk):
        part = slice(start, min(start + chunk, len(weight)))
        covariance = np.stack([moments.covariance(i) for i in range(part.start, part.stop)])
        rounded, plain = choose(weight[part], covariance, part)
        after, nearest[part] = (
            _variance(weight[part] - one, covariance) for one in (rounded, plain)
        )
        better = after < nearest[part]
        chosen[part] = np.where(better[:, :, None], rounded, plain)
        error[part] = np.where(better, after, nearest[part])
        unseen = _UNSEEN * np.diagonal(covariance, axis1=1, axis2=2).mean(1)[:, None]
        cost[part] = error[part] + unseen * ((weight[part] - chosen[part]) ** 2).sum(2)
    shift = moments.join((weight - chosen) @ moments.mean[:, :, None]).sum(1)
    per_row = (moments.join(one[:, :, None]).sum(1) for one in (error, nearest, cost))
    return Settled(moments.join(chosen).reshape(values.shape), shift, *per_row)


def _variance(errors: Floats, covariance: Floats) -> Floats:
    """Variance of each row's output, for errors (n, rows, inputs) of its weights."""
    return np.asarray(((errors @ covariance) * errors).sum(2))
