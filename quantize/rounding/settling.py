"""Settle a layer's weights on a grid: row by row what changes its output least, then its bias."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantize.rounding.moments import InputMoments

Floats = NDArray[np.float64]
Choose = Callable[[Floats, Floats, slice], tuple[Floats, Floats]]
"""(weight (n, rows, inputs), covariance of its inputs (n, inputs, inputs), which n of all) to two
candidates on the grid: by a method, and the nearest."""
Candidate = Callable[[Floats, Floats, slice], Floats]
"""What `Choose` takes to one candidate."""

_TOGETHER = 1 << 22
"""Covariance entries looked at together."""


_UNSEEN = 0.05
"""Variance that inputs may have beyond that of the calibration images, as a part of their mean."""


@dataclass(frozen=True)
class Settled:
    """`values` on the grid, in the weight's shape; `shift`, (rows,), is to be added to the bias.

    Of each row's output, (rows,): `error` is the variance of what the rounding changes, and
    `nearest` the same for rounding to nearest.
    """

    values: Floats
    shift: Floats
    error: Floats
    nearest: Floats

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
    error, nearest = (np.empty(weight.shape[:2]) for _ in range(2))
    for part, covariance in _parts(weight, moments):
        rounded, plain = choose(weight[part], covariance, part)
        after, nearest[part] = (
            _variance(weight[part] - one, covariance) for one in (rounded, plain)
        )
        better = after < nearest[part]
        chosen[part] = np.where(better[:, :, None], rounded, plain)
        error[part] = np.where(better, after, nearest[part])
    shift = moments.join((weight - chosen) @ moments.mean[:, :, None]).sum(1)
    per_row = (moments.join(one[:, :, None]).sum(1) for one in (error, nearest))
    return Settled(moments.join(chosen).reshape(values.shape), shift, *per_row)


def costs(values: NDArray[np.float32], moments: InputMoments, candidate: Candidate) -> Floats:
    """Return what each row of weights, rounded in one way, can be expected to lose, (rows,).

    To the variance of what the rounding changes that of some noise in every input is added:
    images that are not those of the calibration.
    """
    weight = moments.split(values)
    found = np.empty(weight.shape[:2])
    for part, covariance in _parts(weight, moments):
        wrong = weight[part] - candidate(weight[part], covariance, part)
        found[part] = _variance(wrong, covariance) + _unseen(wrong, covariance)
    return np.asarray(moments.join(found[:, :, None]).sum(1))


def _parts(weight: Floats, moments: InputMoments) -> Iterator[tuple[slice, Floats]]:
    """Yield some groups and blocks after the other, as a slice, and their covariances."""
    together = max(1, _TOGETHER // weight.shape[2] ** 2)
    for start in range(0, len(weight), together):
        part = slice(start, min(start + together, len(weight)))
        yield part, moments.covariance(part)


def _unseen(errors: Floats, covariance: Floats) -> Floats:
    variance = _UNSEEN * np.diagonal(covariance, axis1=1, axis2=2).mean(1)[:, None]
    return np.asarray(variance * (errors**2).sum(2))


def _variance(errors: Floats, covariance: Floats) -> Floats:
    """Variance of each row's output, for errors (n, rows, inputs) of its weights."""
    return np.asarray(((errors @ covariance) * errors).sum(2))
