"""Which tensors of two files are the same thing, so that like is compared with like."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

from export.onnx_graph.graph import constant, dims, float_tensors, infer_shapes, initializers

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)
MOVING = ("Concat", "Reshape", "Slice", "Transpose")
"""Operators that change where values are, not what they are."""
_DEQUANTIZE = "DequantizeLinear"
_PAIR = ("QuantizeLinear", _DEQUANTIZE)


@dataclass(frozen=True)
class StoredGrid:
    """The values a QuantizeLinear can give: `low` to `high` in `steps` steps of `scale`."""

    scale: float
    zero_point: int
    steps: int
    low: float
    high: float


@dataclass(frozen=True)
class ComparedPoint:
    """A value of the other file and the fp32 `tensor` that it stands for.

    `seen` is what the readers get: the output of DequantizeLinear where there is one. `grid` is
    None for a value that is not quantized, `half` says that it is rounded to float16. Where
    all that reads it is a Concat, `joined` is what that gives: parts have the grid of the whole.
    `sources` are the nearest points upstream, as their `seen`.
    """

    tensor: str
    seen: str
    layer: str
    operator: str
    grid: StoredGrid | None
    half: bool
    joined: str | None
    sources: tuple[str, ...]


@dataclass
class TensorGroup:
    """A computed tensor and what Cast, QuantizeLinear and DequantizeLinear make of it.

    A DequantizeLinear of another scale than what quantized makes another tensor: a multiple of it.
    `names` are theirs, `inputs` those of the layer that computes the first, as its output
    `index`; `grids` has one entry per DequantizeLinear, `half` says that one name is float16.
    """

    layer: str
    operator: str
    index: int
    inputs: tuple[str, ...]
    names: list[str]
    tensor: str | None = None
    grids: dict[str, StoredGrid | None] = field(default_factory=dict)
    half: bool = False

    @property
    def seen(self) -> list[str]:
        """Names of the values its readers get."""
        assert self.tensor is not None
        own = self.tensor if self.tensor in self.names else self.names[0]
        return list(self.grids) or [own]


def groups(model: ModelProto, fp32: ModelProto) -> list[TensorGroup]:
    """Return the groups of `model` in topological order; `tensor` names the fp32 counterpart.

    A group's tensor is that of equal name, or else the same output of the layer of equal name
    and operator, if it has that shape: converters rename tensors around the Casts they add, but
    not layers.
    """
    graph = model.graph
    inferred = infer_shapes(model)
    tensor_groups = _aliases(inferred)
    shapes = {value.name: dims(value) for value in inferred.graph.value_info}
    floats = float_tensors(infer_shapes(fp32))
    for group in tensor_groups:
        group.tensor = next((name for name in group.names if name in floats), None)
    taken = {group.tensor for group in tensor_groups}
    layers = {(node.name, node.op_type): node for node in fp32.graph.node}
    for group in tensor_groups:
        node = layers.get((group.layer, group.operator))
        if group.tensor is None and node is not None:
            tensor = node.output[group.index]
            alike = shapes.get(group.names[0]) in (None, floats.get(tensor))
            if tensor in floats and tensor not in taken and alike:
                group.tensor = tensor
    _name_what_moved(tensor_groups)
    _add_grids(tensor_groups, graph)
    return tensor_groups


def points(tensor_groups: list[TensorGroup]) -> list[ComparedPoint]:
    """Return what is compared, in topological order."""
    owner = {name: group for group in tensor_groups for name in group.names}
    readers: dict[str, list[TensorGroup]] = defaultdict(list)
    for group in tensor_groups:
        for name in group.inputs:
            readers[name].append(group)
    return [
        ComparedPoint(
            group.tensor,
            seen,
            group.layer,
            group.operator,
            group.grids.get(seen),
            group.half,
            _joined(readers[seen]),
            tuple(sorted(_upstream(group, owner))),
        )
        for group in tensor_groups
        if group.tensor is not None
        for seen in group.seen
    ]


def _joined(readers: Sequence[TensorGroup]) -> str | None:
    only = readers[0] if len(readers) == 1 else None
    whole = only is not None and only.operator == "Concat" and only.tensor is not None
    return only.seen[0] if only and whole else None


def _upstream(group: TensorGroup, owner: Mapping[str, TensorGroup]) -> set[str]:
    sources: set[str] = set()
    for name in group.inputs:
        source = owner.get(name)
        if source is None:
            continue
        if source.tensor is None:
            sources |= _upstream(source, owner)
        else:
            sources |= {name} if name in source.seen else set(source.seen)
    return sources


def _name_what_moved(tensor_groups: Sequence[TensorGroup]) -> None:
    """Let a tensor that Transposes and the like only brought into place have its layer's name."""
    owner = {name: group for group in tensor_groups for name in group.names}
    for group in tensor_groups:
        source: TensorGroup | None = group if group.tensor is not None else None
        while source is not None and source.operator in MOVING:
            before = owner.get(source.inputs[0])
            source = before if before is not None and before.tensor is None else None
        if source is not None:
            group.layer, group.operator = source.layer, source.operator


def _aliases(model: ModelProto) -> list[TensorGroup]:
    graph = model.graph
    constants = set(initializers(graph))
    scaled = _scaled(graph)
    values = [*graph.input, *graph.value_info, *graph.output]
    kinds = {v.name: v.type.tensor_type.elem_type for v in values}
    tensor_groups = [
        TensorGroup(v.name, "Input", 0, (), [v.name])
        for v in graph.input
        if v.name not in constants
    ]
    owner = {group.names[0]: group for group in tensor_groups}
    for node in graph.node:
        source = owner.get(node.input[0]) if node.input else None
        if source is not None and node.output[0] not in scaled and _keeps_value(node, kinds):
            source.names.append(node.output[0])
            owner[node.output[0]] = source
            continue
        if node.op_type in MOVING and constants.issuperset(node.input):  # part of a weight
            constants.update(node.output)
            continue
        if node.op_type in _PAIR and node.output[0] not in scaled:  # of a weight
            continue
        for index, name in enumerate(node.output):
            group = TensorGroup(node.name, node.op_type, index, tuple(node.input), [name])
            tensor_groups.append(group)
            owner[name] = group
    for group in tensor_groups:
        group.half = any(kinds.get(name) == TensorProto.FLOAT16 for name in group.names)
    return tensor_groups


def _scaled(graph: GraphProto) -> set[str]:
    """Return what is dequantized with another scale than it was quantized with."""
    quantizers = {n.output[0]: n for n in graph.node if n.op_type == "QuantizeLinear"}
    names = set()
    for node in graph.node:
        quantizer = quantizers.get(node.input[0]) if node.op_type == _DEQUANTIZE else None
        if quantizer is not None and node.input[1] != quantizer.input[1]:
            before, after = (constant(graph, one.input[1]) for one in (quantizer, node))
            if before is not None and after is not None and not np.all(before == after):
                names.add(node.output[0])
    return names


def _keeps_value(node: NodeProto, kinds: Mapping[str, int]) -> bool:
    if node.op_type in _PAIR:
        return True
    to = next((a.i for a in node.attribute if a.name == "to"), None)
    source = kinds.get(node.input[0], TensorProto.FLOAT)
    return node.op_type == "Cast" and to in _FLOATS and source in _FLOATS


def _add_grids(tensor_groups: list[TensorGroup], graph: GraphProto) -> None:
    owner = {name: group for group in tensor_groups for name in group.names}
    for node in graph.node:
        group = owner.get(node.output[0]) if node.op_type == _DEQUANTIZE else None
        if group is not None:
            group.grids[node.output[0]] = _grid(node, graph)


def _grid(dequantize: NodeProto, graph: GraphProto) -> StoredGrid | None:
    """Return the grid of a tensor; None for different ones by channel, or computed ones."""
    scale = constant(graph, dequantize.input[1])
    zero: NDArray[Any] | None = np.zeros((), np.uint8)
    if len(dequantize.input) > 2:
        zero = constant(graph, dequantize.input[2])
    if scale is None or zero is None or np.unique(scale).size != 1 or np.unique(zero).size != 1:
        return None
    limits = np.iinfo(zero.dtype)
    step, offset = float(scale.flat[0]), int(zero.flat[0])
    low, high = step * (limits.min - offset), step * (limits.max - offset)
    return StoredGrid(step, offset, int(limits.max) - int(limits.min), low, high)
