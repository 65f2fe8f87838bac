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
class Tensor:
    """What is measured: (batch, channels, ...). `signed`: whether values below 0 can occur."""

    name: str
    shape: Shape
    signed: bool = True


@dataclass(frozen=True)
class Reduction:
    """Nodes and constants to add to the graph, and the tensors `Statistic.update` takes."""

    nodes: list[NodeProto]
    outputs: list[str]
    constants: Mapping[str, NDArray[Any]] = field(default_factory=dict)


class Statistic(Protocol):
    """Something that accumulates over activations."""

    @property
    def key(self) -> str:
        """Kind and parameters: statistics of one tensor with equal keys end up equal."""

    def reduction(self, tensor: Tensor) -> Reduction:
        """Say how to reduce `tensor` inside the graph."""

    def update(self, *values: Any) -> None:
        """Take in the reduction's outputs for one image."""

    def state(self) -> State:
        """Return all that was accumulated; the arrays must not be changed."""

    def restore(self, state: State) -> None:
        """Become what a statistic of the same key was when it gave `state`."""

    def merge(self, state: State) -> None:
        """Take in what a statistic of the same key saw of the images behind those seen here."""


def lowest(tensor: Tensor) -> Reduction:
    """Smallest value per image and channel, (batch, channels)."""
    return _reduced("ReduceMin", tensor)


def highest(tensor: Tensor) -> Reduction:
    """Largest value per image and channel, (batch, channels)."""
    return _pooled("GlobalMaxPool", "ReduceMax", tensor)


def average(tensor: Tensor) -> Reduction:
    """Mean per image and channel, (batch, channels); not finite if one of the values is not."""
    return _pooled("GlobalAveragePool", "ReduceMean", tensor)


def _pooled(pool: str, operator: str, tensor: Tensor) -> Reduction:
    """Reduce maps by a pooling.

    Poolings read the layout that onnxruntime's convolutions write, where a reduction would have
    the whole tensor copied to the standard layout first.
    """
    if len(tensor.shape) != 4:
        return _reduced(operator, tensor)
    pooled, flat = f"{tensor.name}::{pool}", f"{tensor.name}::{operator}"
    nodes = [
        helper.make_node(pool, [tensor.name], [pooled]),
        helper.make_node("Flatten", [pooled], [flat], axis=1),
    ]
    return Reduction(nodes, [flat])


def _reduced(operator: str, tensor: Tensor) -> Reduction:
    """Reduce the axes behind the channels, or to a scalar without such axes.

    onnxruntime splits the former over its threads, which it does not for a scalar.
    """
    axes = tuple(range(2, len(tensor.shape)))
    name = f"{tensor.name}::{operator}{axes}"
    given = [f"segport_axes{axes}"] if axes else []
    node = helper.make_node(operator, [tensor.name, *given], [name], keepdims=0)
    return Reduction([node], [name], {name: np.array(axes) for name in given})


def together(*parts: Reduction) -> Reduction:
    """Join reductions; the outputs follow one another."""
    return Reduction(
        [node for part in parts for node in part.nodes],
        [name for part in parts for name in part.outputs],
        {name: value for part in parts for name, value in part.constants.items()},
    )


class MinMax:
    """Exact smallest and largest value; 0 for the smallest of what cannot be negative."""

    key = "minmax"

    def __init__(self) -> None:
        self.low = np.inf
        self.high = -np.inf

    def reduction(self, tensor: Tensor) -> Reduction:
        """Two arrays, at most one entry per image and channel.

        Zeros stand for the lowest of what cannot be negative: every range holds 0 anyway, and
        a pass over the tensor is saved.
        """
        high = highest(tensor)
        if tensor.signed:
            return together(lowest(tensor), high)
        name = f"{tensor.name}::Zeros"
        zeros = helper.make_node("Sub", [high.outputs[0]] * 2, [name])
        return Reduction([*high.nodes, zeros], [name, *high.outputs], high.constants)

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

    def merge(self, state: State) -> None:
        """See `Statistic`."""
        self.update(*state["extremes"])

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

    def reduction(self, tensor: Tensor) -> Reduction:
        """Those of `MinMax`."""
        return MinMax().reduction(tensor)

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

    def merge(self, state: State) -> None:
        """See `Statistic`."""
        self._sums = self._sums + state["sums"]
        self._images += int(state["images"])

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

    def reduction(self, tensor: Tensor) -> Reduction:
        """One scalar."""
        axes, prefix = f"segport_axes{self._axes}", tensor.name
        constants = {axes: np.array(self._axes)}
        absolute = helper.make_node("Abs", [prefix], [f"{prefix}::Abs"])
        sums = helper.make_node(
            "ReduceSum", [absolute.output[0], axes], [f"{prefix}::Sum{self._axes}"]
        )
        largest = helper.make_node("ReduceMax", [sums.output[0]], [f"{prefix}::Max"], keepdims=0)
        return Reduction([absolute, sums, largest], [largest.output[0]], constants)

    def update(self, largest: Any) -> None:
        """Take in one activation's largest sum."""
        self.high = max(self.high, float(largest))

    def state(self) -> State:
        """The number."""
        return {"high": np.array(self.high)}

    def restore(self, state: State) -> None:
        """See `Statistic`."""
        self.high = float(state["high"])

    def merge(self, state: State) -> None:
        """See `Statistic`."""
        self.update(state["high"])
