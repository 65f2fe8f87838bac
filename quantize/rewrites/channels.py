"""Which channels of which tensors may be scaled, and which only together.

Dividing channel c of a tensor by s and multiplying the weights that read it by s changes
nothing. What lies between must commute with the scaling: Relu, PRelu, poolings and resizes do,
so their input and output share one s; Add and Concat tie the tensors they join. A channel that
reaches anything else, or leaves the graph, is fixed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto

from export.onnx_graph.graph import (
    attribute,
    captured,
    constant,
    consumers,
    float_tensors,
    initializers,
)

Ids = NDArray[np.int64]

_SPATIAL = frozenset(
    {
        "Relu", "LeakyRelu", "AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool",
        "Resize", "Identity",
    }
)  # fmt: skip
"""One input, one output, channel by channel, and f(x / s) = f(x) / s for s > 0."""


@dataclass(frozen=True)
class CoupledChannels:
    """`ids[tensor]`: for each of its channels the class it is scaled with; -1 where fixed."""

    ids: dict[str, Ids]
    count: int


def clip_bounds(model: ModelProto, node: NodeProto) -> tuple[float, float] | None:
    """Return (min, max) of a Clip with constant bounds, infinite where absent, else None."""
    bounds = [-np.inf, np.inf]
    for index, name in enumerate(node.input[1:3]):
        if name:
            value = constant(model.graph, name)
            if value is None:
                return None
            bounds[index] = float(value.item())
    return bounds[0], bounds[1]


def scalable_channels(model: ModelProto) -> CoupledChannels:
    """Find the classes of channels; `model` needs inferred shapes."""
    builder = _Builder(model)
    for node in model.graph.node:
        builder.visit(node)
    return builder.finish()


@dataclass
class _Builder:
    """Union-find over (tensor, channel)."""

    model: ModelProto
    ids: dict[str, Ids] = field(default_factory=dict)
    parent: list[int] = field(default_factory=list)
    fixed: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._constants = initializers(self.model.graph)
        self._readers = consumers(self.model.graph)
        for name, shape in float_tensors(self.model).items():
            if len(shape) == 4 and shape[1]:
                start = len(self.parent)
                self.ids[name] = np.arange(start, start + shape[1])
                self.parent.extend(range(start, start + shape[1]))
        for value in [*self.model.graph.input, *self.model.graph.output]:
            self._fix(value.name)

    def visit(self, node: NodeProto) -> None:
        """Tie or fix the channels around one node."""
        _TIES.get(node.op_type, _Builder.fix_all)(self, node)

    def tie_first(self, node: NodeProto) -> None:
        """Output and first input are scaled alike."""
        self._tie(node.input[0], node.output[0])

    def tie_clip(self, node: NodeProto) -> None:
        """Clip(x, 0, m) commutes with it as far as `equalization` explains."""
        bounds = clip_bounds(self.model, node)
        if bounds is None or bounds[0] != 0 or bounds[1] <= 0:
            self.fix_all(node)
        else:
            self.tie_first(node)

    def tie_prelu(self, node: NodeProto) -> None:
        """Any slope commutes with the scaling, unless it is computed from what is scaled."""
        if node.input[1] in self._constants:
            self.tie_first(node)
        else:
            self.fix_all(node)

    def tie_pad(self, node: NodeProto) -> None:
        """Zeros and copies of pixels commute with the scaling, other constants do not."""
        filling = node.input[2] if len(node.input) > 2 else ""
        value = constant(self.model.graph, filling) if filling else np.zeros(())
        if value is None or value.any():
            self.fix_all(node)
        else:
            self.tie_first(node)

    def tie_add(self, node: NodeProto) -> None:
        """Summands of one shape are scaled alike."""
        left, right = node.input
        if left in self.ids and right in self.ids and len(self.ids[left]) == len(self.ids[right]):
            self._tie(left, right)
            self._tie(left, node.output[0])
        else:
            self.fix_all(node)

    def tie_concat(self, node: NodeProto) -> None:
        """Each part is scaled as its channels in the whole."""
        parts = [self.ids.get(name) for name in node.input]
        whole = self.ids.get(node.output[0])
        if attribute(node, "axis") != 1 or whole is None or any(part is None for part in parts):
            self.fix_all(node)
            return
        joined = np.concatenate([part for part in parts if part is not None])
        for one, other in zip(joined, whole, strict=True):
            self._union(int(one), int(other))

    def separate(self, node: NodeProto) -> None:
        """The node's weights, which must be its own, absorb any scaling around it."""
        for name in node.input[1:]:
            if name and (name not in self._constants or len(self._readers[name]) > 1):
                self.fix_all(node)

    def fix_all(self, node: NodeProto) -> None:
        """Nothing is known about this operator, nor about what its branches or loop body read."""
        for name in [*node.input, *node.output, *captured(node)]:
            self._fix(name)

    def finish(self) -> CoupledChannels:
        """Number the classes in order of appearance."""
        fixed = {self._root(one) for one in self.fixed}
        numbers: dict[int, int] = {}
        ids = {}
        for name, channels in self.ids.items():
            roots = [self._root(int(channel)) for channel in channels]
            ids[name] = np.array(
                [-1 if r in fixed else numbers.setdefault(r, len(numbers)) for r in roots]
            )
        return CoupledChannels(ids, len(numbers))

    def _fix(self, name: str) -> None:
        self.fixed.update(self.ids.get(name, np.empty(0, np.int64)).tolist())

    def _tie(self, one: str, other: str) -> None:
        if one in self.ids and other in self.ids and len(self.ids[one]) == len(self.ids[other]):
            for left, right in zip(self.ids[one], self.ids[other], strict=True):
                self._union(int(left), int(right))
        else:
            self._fix(one)
            self._fix(other)

    def _root(self, one: int) -> int:
        while self.parent[one] != one:
            self.parent[one] = self.parent[self.parent[one]]
            one = self.parent[one]
        return one

    def _union(self, one: int, other: int) -> None:
        left, right = sorted((self._root(one), self._root(other)))
        self.parent[right] = left


_TIES: dict[str, Callable[[_Builder, NodeProto], None]] = {
    **dict.fromkeys(_SPATIAL, _Builder.tie_first),
    "Clip": _Builder.tie_clip,
    "PRelu": _Builder.tie_prelu,
    "Pad": _Builder.tie_pad,
    "Add": _Builder.tie_add,
    "Concat": _Builder.tie_concat,
    "Conv": _Builder.separate,
    "BatchNormalization": _Builder.separate,
}
