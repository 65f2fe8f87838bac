"""What calibration keeps of a tensor while images stream past.

Every statistic has a fixed size, takes one image's activation at a time, and ends up the
same whatever the order of the images. `update` gets a float32 array whose first axis is
the batch.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class Statistic(Protocol):
    """Something that accumulates over activations."""

    def update(self, values: Array) -> None: ...


class MinMax:
    """Exact smallest and largest value."""

    def __init__(self) -> None:
        self.low = np.inf
        self.high = -np.inf

    def update(self, values: Array) -> None:
        """Take in one activation. NaN makes both bounds NaN."""
        self.low = np.minimum(self.low, values.min()).item()
        self.high = np.maximum(self.high, values.max()).item()

    @property
    def finite(self) -> bool:
        """Whether only finite values were seen."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))

    @property
    def magnitude(self) -> float:
        """Largest absolute value."""
        return max(abs(self.low), abs(self.high))


class Histogram:
    """Counts over bins whose width is a power of two and whose edges are its multiples.

    When a larger value arrives, neighbouring bins are merged until it fits. The final width
    follows from the largest magnitude alone, so neither order nor batch size of the images
    matters. The values between 0 and the largest magnitude always spread over 2048 to 4096
    bins. Large maps are counted on every 4th row and column (1/16 of the positions, all
    channels); minimum and maximum stay exact.
    """

    BINS = 8192
    STRIDE = 4
    LARGE = 64 * 64
    """Maps with at least this many positions are subsampled."""

    def __init__(self) -> None:
        self.extremes = MinMax()
        self.counts = np.zeros(self.BINS, np.int64)
        self._exponent: int | None = None

    def update(self, values: Array) -> None:
        """Take in one activation; values must be finite for the counts to change."""
        self.extremes.update(values)
        if not self.extremes.finite:
            return
        self._widen(self.extremes.magnitude)
        counted = values
        if values.ndim == 4 and values.shape[2] * values.shape[3] >= self.LARGE:
            counted = values[:, :, :: self.STRIDE, :: self.STRIDE]
        bins = np.floor(counted * np.float32(1 / self.width)).astype(np.int32)
        bins += self.BINS // 2
        self.counts += np.bincount(bins.reshape(-1), minlength=self.BINS)

    @property
    def width(self) -> float:
        """Width of a bin, a power of two."""
        return float(2.0 ** (self._exponent or 0))

    @property
    def edges(self) -> NDArray[np.floating]:
        """The BINS + 1 bin edges, ascending."""
        return (np.arange(self.BINS + 1) - self.BINS // 2) * self.width

    def _widen(self, magnitude: float) -> None:
        half = self.BINS // 2
        # smallest e with magnitude < half * 2**e; an all-zero tensor gets the finest bins
        needed = int(np.frexp(magnitude / half)[1]) if magnitude > 0 else -100
        if self._exponent is None:
            self._exponent = needed
        while self._exponent < needed:
            if needed - self._exponent > 12:  # everything so far falls into the two middle bins
                below, above = self.counts[:half].sum(), self.counts[half:].sum()
                self.counts[:] = 0
                self.counts[half - 1], self.counts[half] = below, above
                self._exponent = needed
                return
            pairs = self.counts.reshape(-1, 2).sum(1)
            self.counts[:] = 0
            self.counts[half // 2 : half // 2 + half] = pairs
            self._exponent += 1


class PooledSum:
    """Largest sum of absolute values over `axes`: the most a mean's accumulator can reach."""

    def __init__(self, axes: tuple[int, ...]) -> None:
        self._axes = axes
        self.high = 0.0

    def update(self, values: Array) -> None:
        """Take in one activation."""
        sums = np.abs(values).sum(axis=self._axes, dtype=np.float64)
        self.high = max(self.high, float(sums.max()))
