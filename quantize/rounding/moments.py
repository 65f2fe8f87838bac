"""Statistic: mean and covariance of what a convolution's weights are multiplied with."""

from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.calibration.statistics import Reduction, State, Tensor
from quantize.rounding.windows import Window

Floats = NDArray[np.float64]

SIDES = (6, 10)
"""Output positions per image are taken from a grid of at most so many rows and columns.

As many as there are inputs per output value, between these two.
"""
LARGEST = 512
"""Inputs correlated with one another; more are split into blocks of whole channels."""
_BUFFERED = 1024


class InputMoments:
    """Mean and covariance of the inputs that each output value of a convolution sees.

    Accumulated in float32, as deviations from the mean of the first images, over a fixed grid of
    positions of every image, per group, and in `blocks` blocks of channels per group where a
    group has more than LARGEST inputs. Correlations between blocks are not kept.
    """

    def __init__(self, window: Window) -> None:
        self.window = window
        self.blocks = _blocks(window)
        self.key = f"input-moments {window} {SIDES} {LARGEST}"
        size = window.depth // self.blocks
        self._products = np.zeros((window.groups * self.blocks, size, size), np.float32)
        self._sums = np.zeros((window.groups * self.blocks, size))
        self._count = 0
        self._origin: NDArray[np.float32] | None = None
        self._buffer: list[NDArray[np.float32]] = []
        self._given_away = False

    def reduction(self, tensor: Tensor) -> Reduction:
        """The windows at the grid's positions."""
        return self.window.reduction(tensor, _side(self.window.depth))

    def update(self, *picked: Any) -> None:
        """Take in one activation's windows."""
        columns = self.window.columns(*picked)
        self._buffer.append(columns.reshape(*self._sums.shape, -1))
        if sum(part.shape[-1] for part in self._buffer) >= _BUFFERED:
            self._flush()

    def state(self) -> State:
        """Products, sums and the number of positions."""
        self._flush()
        self._given_away = True
        origin = np.zeros(self._sums.shape, np.float32) if self._origin is None else self._origin
        return {
            "products": self._products,
            "sums": self._sums,
            "origin": origin,
            "count": np.array(self._count),
        }

    def restore(self, state: State) -> None:
        """See `Statistic`."""
        self._products, self._sums = state["products"], state["sums"]
        self._origin = state["origin"]
        self._count = int(state["count"])
        self._given_away = True

    def merge(self, state: State) -> None:
        """See `Statistic`: moments about one origin are moved to the other, then added.

        (x + d)(x + d)' = xx' + xd' + dx' + dd', summed, for deviations x and origins d apart.
        """
        self._flush()
        assert self._origin is not None  # something was collected
        count = int(state["count"])
        moved = state["origin"].astype(np.float64) - self._origin
        sums = state["sums"]
        cross = sums[:, :, None] * moved[:, None, :]
        shift = cross + cross.transpose(0, 2, 1) + count * moved[:, :, None] * moved[:, None, :]
        self._products = self._products + (state["products"] + shift).astype(np.float32)
        self._sums = self._sums + sums + count * moved
        self._count += count
        self._given_away = False

    @property
    def mean(self) -> Floats:
        """Mean input, float64 (groups * blocks, inputs per block)."""
        self._flush()
        assert self._origin is not None  # something was collected
        return np.asarray(self._origin + self._sums / self._count, np.float64)

    def covariance(self, some: slice) -> Floats:
        """Covariance of some groups' blocks, float64 (n, inputs, inputs)."""
        self._flush()
        mean = self._sums[some] / self._count
        products = self._products[some].astype(np.float64)
        products /= self._count
        products -= mean[:, :, None] * mean[:, None, :]
        return products

    def split(self, weight: NDArray[np.floating]) -> Floats:
        """Return a weight as float64 (groups * blocks, rows, inputs per block)."""
        groups = self.window.groups
        apart = weight.astype(np.float64).reshape(groups, len(weight) // groups, self.blocks, -1)
        return apart.transpose(0, 2, 1, 3).reshape(groups * self.blocks, len(weight) // groups, -1)

    def join(self, parts: Floats) -> Floats:
        """Undo `split`: (groups * blocks, rows, n) to (groups * rows, blocks * n)."""
        apart = parts.reshape(self.window.groups, self.blocks, *parts.shape[1:])
        return apart.transpose(0, 2, 1, 3).reshape(self.window.groups * parts.shape[1], -1)

    def _flush(self) -> None:
        if not self._buffer:
            return
        columns = np.concatenate(self._buffer, axis=-1)
        self._buffer.clear()
        if self._given_away:  # a state must not change any more
            self._products, self._given_away = self._products.copy(), False
        if self._origin is None:
            # a mean far above the deviations would leave none of them in float32 products
            self._origin = columns.mean(-1)
        columns -= self._origin[:, :, None]
        count = columns.shape[-1]
        self._sums = self._sums + columns @ np.ones(count, np.float32)
        for products, block in zip(self._products, columns, strict=True):
            products += block @ block.T
        self._count += count


def _side(depth: int) -> int:
    low, high = SIDES
    return min(max(isqrt(depth), low), high)


def _blocks(window: Window) -> int:
    """Smallest number of equal blocks of whole channels that are small enough."""
    channels = window.channels // window.groups
    per_channel = window.depth // channels
    return next(
        count
        for count in range(1, channels + 1)
        if channels % count == 0
        and (channels // count * per_channel <= LARGEST or count == channels)
    )
