"""Statistics of every channel of a tensor."""

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from quantize.calibration.statistics import (
    Reduction,
    State,
    Tensor,
    average,
    highest,
    lowest,
    together,
)


class ChannelMinMax:
    """Exact smallest and largest value of every channel: `low`, `high` float32 (channels,).

    Channels are axis 1. For tensors of 3 or more dimensions.
    """

    key = "channel-minmax"

    def __init__(self) -> None:
        self.low = np.full(0, np.inf, np.float32)
        self.high = np.full(0, -np.inf, np.float32)

    def reduction(self, tensor: Tensor) -> Reduction:
        """Two arrays, each (batch, channels)."""
        return together(lowest(tensor), highest(tensor))

    def update(self, low: NDArray[np.float32], high: NDArray[np.float32]) -> None:
        """Take in one activation's extremes, each (batch, channels)."""
        low, high = low.min(0), high.max(0)
        self.low = np.minimum(self.low, low) if self.low.size else low
        self.high = np.maximum(self.high, high) if self.high.size else high

    def state(self) -> State:
        """The two arrays."""
        return {"low": self.low, "high": self.high}

    def restore(self, state: State) -> None:
        """See `Statistic`."""
        self.low, self.high = state["low"], state["high"]


class ChannelMoments:
    """Mean and mean square of every channel over images and positions: float64 (channels,).

    Channels are axis 1. For tensors of 3 or more dimensions, each image counting equally.
    """

    key = "channel-moments"

    def __init__(self) -> None:
        self._sums = np.zeros((2, 1))
        self._images = 0

    def reduction(self, tensor: Tensor) -> Reduction:
        """Two means over positions, each (batch, channels)."""
        name = f"{tensor.name}::Square"
        square = helper.make_node("Mul", [tensor.name] * 2, [name])
        return together(
            average(tensor),
            Reduction([square], []),
            average(Tensor(name, tensor.shape, signed=False)),
        )

    def update(self, mean: NDArray[np.float32], square: NDArray[np.float32]) -> None:
        """Take in one activation's means over positions, each (batch, channels)."""
        self._sums = self._sums + np.stack([mean, square]).sum(1, dtype=np.float64)
        self._images += len(mean)

    def state(self) -> State:
        """Sums over images, and their number."""
        return {"sums": self._sums, "images": np.array(self._images)}

    def restore(self, state: State) -> None:
        """See `Statistic`."""
        self._sums, self._images = state["sums"], int(state["images"])

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean of each channel."""
        mean: NDArray[np.float64] = self._sums[0] / self._images
        return mean

    @property
    def mean_square(self) -> NDArray[np.float64]:
        """Mean square of each channel."""
        mean: NDArray[np.float64] = self._sums[1] / self._images
        return mean
