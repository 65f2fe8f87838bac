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

Shape = tuple[int | None, ...]
State = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Reduction:
    """Nodes and int64 constants to add to the graph, and the tensors `Statistic.update` takes."""

    nodes: list[NodeProto]
    outputs: list[str]
    constants: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


class Statistic(Protocol):
    """Something that accumulates over activations."""

    @property
    def key(self) -> str:
        """Kind and parameters: statistics of one tensor with equal keys end up equal."""

    def reduction(self, tensor: str, shape: Shape) -> Reduction:
        """Say how to reduce `tensor`, whose shape is (batch, ...), inside the graph."""

    def update(self, *values: Any) -> None:
        """Take in the reduction's outputs for one image."""

    def state(self) -> State:
        """Return all that was accumulated; the arrays must not be changed."""

    def restore(self, state: State) -> None:
        """Become what a statistic of the same key was when it gave `state`."""


def whole(operator: str, tensor: str) -> NodeProto:
    """Reduce a tensor to a scalar; the node's output is named after both."""
    return helper.make_node(operator, [tensor], [f"{tensor}::{operator}"], keepdims=0)


def per_channel(operator: str, tensor: str, shape: Shape) -> Reduction:
    """Reduce all axes behind the channels: to (batch, channels), or a scalar without such axes.

    onnxruntime splits this over its threads, which it does not for a reduction to a scalar.
    """
    axes = tuple(range(2, len(shape)))
    if not axes:
        node = whole(operator, tensor)
        return Reduction([node], [node.output[0]])
    name = f"segport_axes{axes}"
    node = helper.make_node(operator, [tensor, name], [f"{tensor}::{operator}{axes}"], keepdims=0)
    return Reduction([node], [node.output[0]], {name: axes})


def together(*parts: Reduction) -> Reduction:
    """Join reductions; the outputs follow one another."""
    return Reduction(
        [node for part in parts for node in part.nodes],
        [name for part in parts for name in part.outputs],
        {name: numbers for part in parts for name, numbers in part.constants.items()},
    )


class MinMax:
    """Exact smallest and largest value."""

    key = "minmax"

    def __init__(self) -> None:
        self.low = np.inf
        self.high = -np.inf

    def reduction(self, tensor: str, shape: Shape) -> Reduction:
        """Two arrays, at most one entry per image and channel."""
        return together(
            per_channel("ReduceMin", tensor, shape), per_channel("ReduceMax", tensor, shape)
        )

    def update(self, low: Any, high: Any) -> None:
        """Take in one activation's smallest and largest values."""
        self.low = min(self.low, float(np.min(low)))
        self.high = max(self.high, float(np.max(high)))

    def state(self) -> State:
        """The two numbers."""
        return {"extremes": np.array([self.low, self.high])}

    def restore(self, state: State) -> None:
        """See `Statistic`."""
        self.low, self.high = (float(value) for value in state["extremes"])

    @property
    def magnitude(self) -> float:
        """Largest absolute value."""
        return max(abs(self.low), abs(self.high))

    def within(self, low: float, high: float) -> tuple[float, float]:
        """Return the part of a range where there are values."""
        return max(low, self.low), min(high, self.high)


class MeanMinMax:
    """Mean over the images of each image's smallest and of its largest value.

    Sums are float64 of float32 values, so they are exact, and the order of the images does
    not matter, while the extremes differ by less than a factor of about 2**20.
    """

    key = "mean-minmax"

    def __init__(self) -> None:
        self._sums = np.zeros(2)
        self._images = 0

    def reduction(self, tensor: str, shape: Shape) -> Reduction:
        """Those of `MinMax`."""
        return MinMax().reduction(tensor, shape)

    def update(self, low: Any, high: Any) -> None:
        """Take in one activation's smallest and largest values."""
        self._sums += float(np.min(low)), float(np.max(high))
        self._images += 1

    def state(self) -> State:
        """Two sums and the number of images."""
        return {"sums": self._sums, "images": np.array(self._images)}

    def restore(self, state: State) -> None:
        """See `Statistic`."""
        self._sums, self._images = state["sums"].copy(), int(state["images"])

    @property
    def low(self) -> float:
        """Mean of the smallest values."""
        return float(self._sums[0]) / self._images

    @property
    def high(self) -> float:
        """Mean of the largest values."""
        return float(self._sums[1]) / self._images


class PooledSum:
    """Largest sum of absolute values over `axes`: the most a mean's accumulator can reach."""

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.key = f"pooled-sum{axes}"
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

    def state(self) -> State:
        """The number."""
        return {"high": np.array(self.high)}

    def restore(self, state: State) -> None:
        """See `Statistic`."""
        self.high = float(state["high"])
