"""Statistic: the ends of a tensor's distribution, which is all that percentiles depend on."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.calibration.histogram import ENOUGH, Histogram, sampled
from quantize.calibration.statistics import Reduction, State, Tensor, together

_MARGIN = 2


class Tails:
    """Counts of the values that may be among the lowest or highest `share` of those of all images.

    Which these are is bounded by the images already seen: if the first image alone has as many
    values above t as there are to be outside in the end, no value below t matters. Finding those
    above t in an image is several times faster than counting all. The range that follows is the
    same, within a bin, whatever the order of the images; they may differ twofold in size.
    Values above 0 are never among the lowest: ranges reach down to 0 in any case.
    """

    def __init__(self, share: float, images: int) -> None:
        self.key = f"tails of {share} of {images} images, {ENOUGH} values"
        self._outside = _MARGIN * share * images
        self._histogram = Histogram()
        self._images = 0
        self._below = np.float32(0)
        self._above = np.float32(-np.inf)
        self.total = 0

    def reduction(self, tensor: Tensor) -> Reduction:
        """The extremes, and the values to look at: the tensor itself or a part of it."""
        return together(self._histogram.extremes.reduction(tensor), sampled(tensor, ENOUGH))

    def update(self, low: Any, high: Any, values: NDArray[np.float32]) -> None:
        """Take in one activation: its exact extremes and the values to look at."""
        self._histogram.update(low, high, self._candidates(low, high, values))
        self.total += values.size
        self._images += 1
        if self._images.bit_count() == 1:  # often enough, and cheap
            self._narrow(self._outside * values.size)

    def state(self) -> State:
        """Those of the histogram, the thresholds, and how many values and images were seen."""
        thresholds = np.array([self._below, self._above], np.float32)
        seen = np.array([self.total, self._images])
        return {**self._histogram.state(), "thresholds": thresholds, "seen": seen}

    def restore(self, state: State) -> None:
        """See `Statistic`."""
        self._histogram.restore(state)
        self._below, self._above = state["thresholds"]
        self.total, self._images = (int(number) for number in state["seen"])

    def merge(self, state: State) -> None:
        """See `Statistic`: beyond the farther of two thresholds either has counted all."""
        self._histogram.merge(state)
        below, above = state["thresholds"]
        self._below, self._above = min(self._below, below), max(self._above, above)
        total, images = (int(number) for number in state["seen"])
        self.total += total
        self._images += images

    def histogram(self) -> Histogram:
        """Return the counts with all values that were left out in one bin between the ends."""
        whole = Histogram()
        whole.restore(self._histogram.state())
        between = Histogram.BINS // 2
        if whole.extremes.low < 0 and np.isfinite(self._above):
            between += int(self._above // whole.width) - 1
        whole.counts[between] += self.total - int(whole.counts.sum())
        return whole

    def _candidates(self, low: Any, high: Any, values: NDArray[np.float32]) -> Any:
        if np.shape(high) == values.shape[:2]:
            # few channels reach as far, and their extremes tell which
            values = values[(high >= self._above) | (low < self._below)]
        chosen = values >= self._above
        if np.min(low) < self._below:
            chosen |= values < self._below
        return values[chosen]

    def _narrow(self, outside: float) -> None:
        """Move the thresholds to where `outside` values lie beyond either."""
        if 2 * outside >= self.total:
            return
        counts, width = self._histogram.counts, self._histogram.width
        half = Histogram.BINS // 2
        above = Histogram.BINS - 1 - int(np.searchsorted(np.cumsum(counts[::-1]), outside))
        below = 1 + int(np.searchsorted(np.cumsum(counts), outside))
        self._above = max(self._above, np.float32((above - half) * width))
        self._below = min(self._below, np.float32((below - half) * width))
