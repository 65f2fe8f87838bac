"""A histogram of a tensor that needs no second pass and no guess of its range."""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from quantize.calibration.statistics import MinMax, Reduction, Shape, State, Tensor, together

ENOUGH = 2**19
"""Values per image. With fewer, ranges by entropy and mse move by more than 1 percent."""
STRIDES = ((1, 3), (1, 5), (1, 7), (3, 3), (1, 11), (1, 13), (3, 5))
"""Rows and columns: every first to third of the former, third to 13th of the latter.

Odd, so that the positions counted run through all phases of maps that were upsampled by two,
four or eight, whose extremes lie at one of them.
"""


def sampling_strides(shape: Shape, enough: int) -> tuple[int, int]:
    """Return strides (rows, columns) of the positions that are counted of a tensor.

    At least `enough` values, and at least a 15th; all of a tensor that is not a stack of maps.
    """
    if len(shape) != 4 or None in shape[1:]:
        return (1, 1)
    most = prod(size or 1 for size in shape[1:]) // enough
    return next((step for step in reversed(STRIDES) if prod(step) <= most), (1, 1))


def sampled(tensor: Tensor, enough: int) -> Reduction:
    """Return the values at `sampling_strides`, of all channels."""
    strides = sampling_strides(tensor.shape, enough)
    if strides == (1, 1):
        return Reduction([], [tensor.name])
    # a pooling reads the layout that onnxruntime's convolutions write, unlike a Slice
    name = f"{tensor.name}::Every{strides}"
    pool = helper.make_node("MaxPool", [tensor.name], [name], kernel_shape=[1, 1], strides=strides)
    return Reduction([pool], [name])


class Histogram:
    """Counts over bins whose width is a power of two and whose edges are its multiples.

    When a larger value arrives, neighbouring bins are merged until it fits. The final width
    follows from the largest magnitude alone, so neither order nor batch size of the images
    matters. The values between 0 and the largest magnitude always spread over 2048 to 4096
    bins. Of large tensors only positions at `sampling_strides` are counted, in all channels;
    minimum and maximum stay exact.
    """

    BINS = 8192

    def __init__(self) -> None:
        self.extremes = MinMax()
        self.counts = np.zeros(self.BINS, np.int64)
        self._exponent: int | None = None

    @property
    def key(self) -> str:
        """Kind, number of bins and how many values are counted."""
        return f"histogram of {self.BINS} bins, {ENOUGH} values, {STRIDES}"

    def reduction(self, tensor: Tensor) -> Reduction:
        """The extremes, and the values to count: the tensor itself or a part of it."""
        return together(self.extremes.reduction(tensor), sampled(tensor, ENOUGH))

    def update(self, low: Any, high: Any, values: NDArray[np.float32]) -> None:
        """Take in one activation: its exact extremes and the values to count."""
        self.extremes.update(low, high)
        self._widen(self.extremes.magnitude)
        half = self.BINS // 2
        bins = values.reshape(-1) * np.float32(1 / self.width)
        if self.extremes.low >= 0:
            self.counts[half:] += np.bincount(bins.astype(np.intp), minlength=half)
        else:
            np.floor(bins, out=bins)
            bins += np.float32(half)
            self.counts += np.bincount(bins.astype(np.intp), minlength=self.BINS)

    def state(self) -> State:
        """Counts, width and extremes."""
        width = {"exponent": np.array(self._exponent or 0)}
        return {"counts": self.counts, **width, **self.extremes.state()}

    def restore(self, state: State) -> None:
        """See `Statistic`."""
        self.counts, self._exponent = state["counts"].copy(), int(state["exponent"])
        self.extremes.restore(state)

    def merge(self, state: State) -> None:
        """See `Statistic`: counts of both at the wider bins, which are exact."""
        other = Histogram()
        other.restore(state)
        self.extremes.merge(state)
        magnitude = self.extremes.magnitude
        for one in (self, other):
            one._widen(magnitude)
        self.counts = self.counts + other.counts

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
        needed = max(int(np.frexp(magnitude / half)[1]), -100) if magnitude > 0 else -100
        if self._exponent is None:
            self._exponent = needed
        while self._exponent < needed:
            pairs = self.counts.reshape(-1, 2).sum(1)
            self.counts[:] = 0
            self.counts[half // 2 : half // 2 + half] = pairs
            self._exponent += 1


def running_sum(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the sums of the first 0, 1, ... and all `values`."""
    return np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))
