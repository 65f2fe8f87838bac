"""What calibration keeps of a tensor while images stream past.

Every statistic has a fixed size, takes one image's activation at a time, and ends up the
same whatever the order of the images. It says which ONNX nodes reduce the tensor to what it
needs, so that the whole activation never has to leave the graph, and takes their results.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, helper

Array = NDArray[np.float32]
Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Reduction:
    """Nodes and int64 constants to add to the graph, and the tensors `Statistic.update` takes."""

    nodes: list[NodeProto]
    outputs: list[str]
    constants: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


class Statistic(Protocol):
    """Something that accumulates over activations."""

    def reduction(self, tensor: str, shape: Shape) -> Reduction:
        """Say how to reduce `tensor`, whose shape is (batch, ...), inside the graph."""

    def update(self, *values: Any) -> None:
        """Take in the reduction's outputs for one image."""


def whole(operator: str, tensor: str) -> NodeProto:
    """Reduce a tensor to a scalar; the node's output is named after both."""
    return helper.make_node(operator, [tensor], [f"{tensor}::{operator}"], keepdims=0)


class MinMax:
    """Exact smallest and largest value."""

    def __init__(self) -> None:
        self.low = np.inf
        self.high = -np.inf

    def reduction(self, tensor: str, shape: Shape) -> Reduction:
        """Two scalars."""
        nodes = [whole("ReduceMin", tensor), whole("ReduceMax", tensor)]
        return Reduction(nodes, [node.output[0] for node in nodes])

    def update(self, low: Any, high: Any) -> None:
        """Take in one activation's smallest and largest value."""
        self.low = min(self.low, float(low))
        self.high = max(self.high, float(high))

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

    def reduction(self, tensor: str, shape: Shape) -> Reduction:
        """The two extremes and the tensor itself, or every 4th row and column of it."""
        extremes = self.extremes.reduction(tensor, shape)
        large = len(shape) == 4 and (shape[2] or 0) * (shape[3] or 0) >= self.LARGE
        if not large:
            return Reduction(extremes.nodes, [*extremes.outputs, tensor])
        bounds = {
            "segport_starts": (0, 0),
            "segport_ends": (shape[2] or 0, shape[3] or 0),
            "segport_axes": (2, 3),
            "segport_steps": (self.STRIDE, self.STRIDE),
        }
        constants = {f"{name}{numbers}": numbers for name, numbers in bounds.items()}
        sliced = helper.make_node("Slice", [tensor, *constants], [f"{tensor}::Slice"])
        outputs = [*extremes.outputs, sliced.output[0]]
        return Reduction([*extremes.nodes, sliced], outputs, constants)

    def update(self, low: Any, high: Any, values: Array) -> None:
        """Take in one activation: its exact extremes and the values to count."""
        self.extremes.update(low, high)
        self._widen(self.extremes.magnitude)
        bins = np.floor(values * np.float32(1 / self.width)).astype(np.int32)
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
            pairs = self.counts.reshape(-1, 2).sum(1)
            self.counts[:] = 0
            self.counts[half // 2 : half // 2 + half] = pairs
            self._exponent += 1


class PooledSum:
    """Largest sum of absolute values over `axes`: the most a mean's accumulator can reach."""

    def __init__(self, axes: tuple[int, ...]) -> None:
        self._axes = axes
        self.high = 0.0

    def reduction(self, tensor: str, shape: Shape) -> Reduction:
        """One scalar."""
        axes = f"segport_axes{self._axes}"
        absolute = helper.make_node("Abs", [tensor], [f"{tensor}::Abs"])
        sums = helper.make_node(
            "ReduceSum", [absolute.output[0], axes], [f"{tensor}::Sum{self._axes}"]
        )
        largest = whole("ReduceMax", sums.output[0])
        return Reduction([absolute, sums, largest], [largest.output[0]], {axes: self._axes})

    def update(self, largest: Any) -> None:
        """Take in one activation's largest sum."""
        self.high = max(self.high, float(largest))
