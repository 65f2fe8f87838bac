"""A histogram of a tensor that needs no second pass and no guess of its range."""

from math import gcd, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from quantize.statistics import MinMax, Reduction, Shape, State, together

MAX_STEP = 13
"""At least this share of the positions is counted, 1/13."""
ENOUGH = 2**19
"""Values per image. With fewer, ranges by entropy and mse move by more than 1 percent."""


def sampling_step(shape: Shape) -> int:
    """Return n where every n-th position of a tensor (batch, channels, ...) is counted.

    Positions are numbered row by row. Since n has no divisor in common with the width, those
    counted run through all rows and columns in diagonals.
    """
    if len(shape) < 3 or None in shape[1:]:
        return 1
    _, *sizes = (size or 1 for size in shape)
    most = min(prod(sizes) // ENOUGH, MAX_STEP)
    return next((n for n in range(most, 1, -1) if gcd(n, sizes[-1]) == 1), 1)


class Histogram:
    """Counts over bins whose width is a power of two and whose edges are its multiples.

    When a larger value arrives, neighbouring bins are merged until it fits. The final width
    follows from the largest magnitude alone, so neither order nor batch size of the images
    matters. The values between 0 and the largest magnitude always spread over 2048 to 4096
    bins. Of large tensors only every `sampling_step`-th position is counted, in all channels;
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
        return f"histogram of {self.BINS} bins, 1/{MAX_STEP}, {ENOUGH} values"

    def reduction(self, tensor: str, shape: Shape) -> Reduction:
        """The extremes, and the values to count: the tensor itself or a part of it."""
        extremes = self.extremes.reduction(tensor, shape)
        step = sampling_step(shape)
        if step == 1:
            return together(extremes, Reduction([], [tensor]))
        constants = {
            "segport_flat": (0, 0, -1),
            "segport_start": (0,),
            "segport_end": (2**62,),
            "segport_axis": (2,),
            f"segport_step{step}": (step,),
        }
        reshape, *bounds = constants
        flat = helper.make_node("Reshape", [tensor, reshape], [f"{tensor}::Reshape"])
        part = helper.make_node("Slice", [flat.output[0], *bounds], [f"{tensor}::Slice{step}"])
        return together(extremes, Reduction([flat, part], [part.output[0]], constants))

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
