"""Sums over images of how far one tensor is from another."""

from math import inf, isfinite, log10

import numpy as np
from numpy.typing import NDArray

from quantize.diagnosis.points import StoredGrid
from quantize.fp16.observation import FP16_MAX

Array = NDArray[np.float32]


def decibels(ratio: float) -> float:
    """Return 10 * log10(ratio); inf for inf, -inf for 0 and NaN."""
    return 10 * log10(ratio) if ratio > 0 else -inf


def sqnr_db(signal: float, noise: float) -> float:
    """Return the ratio of two energies in dB; inf without noise, -inf when it is not finite."""
    return inf if noise == 0 else decibels(signal / noise)


def energy(values: Array) -> float:
    """Return the sum of squares."""
    flat = values.reshape(-1)
    with np.errstate(all="ignore"):
        fast = float(np.dot(flat, flat))
        return fast if isfinite(fast) else float(np.square(flat, dtype=np.float64).sum())


class TensorError:
    """Error of one tensor over all images.

    `signal`, `noise` and `local_noise` are sums of squares; the others are counts of values
    (of `values` in all) and extremes.
    """

    def __init__(self) -> None:
        self.values = self.saturated = self.overflowed = self.underflowed = self.nonfinite = 0
        self.signal = self.noise = self.local_noise = 0.0
        self.low, self.high = inf, -inf
        self.max_error, self.worst_image = -1.0, ""

    def update(self, image: str, exact: Array, seen: Array, local: Array) -> None:
        """Take in one image: fp32's tensor, the other file's, and the layer's on fp32 inputs.

        All are float32 in the units of fp32; `exact` has to be finite.
        """
        self.values += exact.size
        self.low = min(self.low, float(exact.min()))
        self.high = max(self.high, float(exact.max()))
        self.signal += energy(exact)
        with np.errstate(invalid="ignore"):
            difference = seen - exact
            self.local_noise += energy(local - exact)
        noise = energy(difference)
        self.noise += noise
        error = max(float(difference.max()), -float(difference.min()))
        if not isfinite(noise):
            self.nonfinite += int(np.count_nonzero(~np.isfinite(seen)))
            error = error if isfinite(error) else inf
        if error > self.max_error:
            self.max_error, self.worst_image = error, image

    def count_saturated(self, stored: Array, grid: StoredGrid) -> None:
        """Count values beyond the grid's ends by more than half a step, which is rounding.

        `stored` is the fp32 tensor in the units of the other file.
        """
        below, above = grid.low - grid.scale / 2, grid.high + grid.scale / 2
        self.saturated += int(np.count_nonzero(stored < below) + np.count_nonzero(stored > above))

    def count_float16_losses(self, exact: Array, seen: Array) -> None:
        """Count values too large for float16, and those that became 0."""
        self.overflowed += int(np.count_nonzero(np.abs(exact) > FP16_MAX))
        self.underflowed += int(np.count_nonzero((exact != 0) & (seen == 0)))
