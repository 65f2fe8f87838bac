"""Statistics of every channel of a tensor."""

import numpy as np
from numpy.typing import NDArray

from quantize.calibration.statistics import (
    Reduction,
    State,
    Tensor,
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

    def merge(self, state: State) -> None:
        """See `Statistic`."""
        self.update(state["low"][None], state["high"][None])
