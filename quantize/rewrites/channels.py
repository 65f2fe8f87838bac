"""Which channels of which tensors may be scaled, and which only together.

Dividing channel c of a tensor by s and multiplying the weights that read it by s changes
nothing. What lies between must commute with the scaling: Relu, PRelu, poolings and resizes do,
so their input and output share one s; Add and Concat tie the tensors they join. A product has the
s of the one factor that may be scaled. A channel that reaches anything else, or leaves the graph,
is fixed.

Channels may be part of the batch for a while, which is how `simplify-pooling` gives all of them the
same weights: what then looks at each image of that batch alone commutes as well.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto

from export.onnx_graph.graph import (
    attribute,
    attributes,
    captured,
    constant,
    consumers,
    float_tensors,
    initializers,
)
from quantize.graph.clips import clip_bounds

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
    """`ids[tensor]`: for each of its channels the class it is scaled with; -1 where fixed.

    `batched` are tensors whose images are the channels of another, which they are scaled with.
    """

    ids: dict[str, Ids]
    count: int
    batched: frozenset[str]


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
    batched: dict[str, str] = field(default_factory=dict)
    """Tensors whose images are the channels of another, and that one."""

    def __post_init__(self) -> None:
        self._constants = initializers(self.model.graph)
        self._readers = consumers(self.model.graph)
        self._shapes = float_tensors(self.model)
        for name, shape in self._shapes.items():
            if len(shape) == 4 and shape[1]:
                start = len(self.parent)
                self.ids[name] = np.arange(start, start + shape[1])
                self.parent.extend(range(start, start + shape[1]))
        for value in [*self.model.graph.input, *self.model.graph.output]:
            self._fix(value.name)

    def visit(self, node: NodeProto) -> None:
        """Tie or fix the channels around one node."""
        if node.input and node.input[0] in self.batched:
            self.tie_batched(node)
        else:
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

    def tie_mul(self, node: NodeProto) -> None:
        """The result is scaled as one factor is, where the other is not."""
        first, second = node.input
        if first in self._constants or self._is_fixed(first):
            first, second = second, first
        if first in self.ids and (second in self._constants or self._is_fixed(second)):
            self._tie(first, node.output[0])
        else:
            self.fix_all(node)

    def put_in_batch(self, node: NodeProto) -> None:
        """(N, C, H, W) becomes (N C, 1, H, W)."""
        source, result = node.input[0], node.output[0]
        before, after = self._shapes.get(source, ()), self._shapes.get(result, ())
        if source in self.ids and None not in before and after[:2] == (_images(before), 1):
            self._fix(result)
            self.batched[result] = source
        else:
            self.fix_all(node)

    def tie_batched(self, node: NodeProto) -> None:
        """An operator on each image alone, or the Reshape that ends the batch of channels."""
        read, result = node.input[0], node.output[0]
        source = self.batched[read]
        channels, shape = self._shapes[source], self._shapes.get(result, ())
        if node.op_type == "Reshape" and shape[:2] == channels[:2]:
            self._tie(source, result)
            return
        alone = {
            "Reshape": bool(shape) and (shape[0] or 0) % _images(channels) == 0,
            "Transpose": list(attributes(node).get("perm", ()))[:1] == [0],
            "Conv": len(node.input) == 2 and node.input[1] in self._constants,
        }
        self._fix(result)
        if alone.get(node.op_type):
            self.batched[result] = source
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
        return CoupledChannels(ids, len(numbers), frozenset(self.batched))

    def _fix(self, name: str) -> None:
        for one in (name, self.batched.get(name, "")):
            self.fixed.update(self.ids.get(one, np.empty(0, np.int64)).tolist())

    def _is_fixed(self, name: str) -> bool:
        fixed = {self._root(one) for one in self.fixed}
        return name in self.ids and all(self._root(int(one)) in fixed for one in self.ids[name])

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


def _images(shape: tuple[int | None, ...]) -> int:
    """Return how many images there are of one channel each."""
    return (shape[0] or 0) * (shape[1] or 0) or 1


_TIES: dict[str, Callable[[_Builder, NodeProto], None]] = {
    **dict.fromkeys(_SPATIAL, _Builder.tie_first),
    "Clip": _Builder.tie_clip,
    "PRelu": _Builder.tie_prelu,
    "Pad": _Builder.tie_pad,
    "Add": _Builder.tie_add,
    "Mul": _Builder.tie_mul,
    "Reshape": _Builder.put_in_batch,
    "Concat": _Builder.tie_concat,
    "Conv": _Builder.separate,
    "BatchNormalization": _Builder.separate,
}
