"""One graph that computes fp32, the other file, and the other file's layers on fp32 inputs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from quantize.diagnosis.points import MOVING, TensorGroup

FP32 = "fp32::"
LOCAL = "local::"
_SCALED = "scaled::"


@dataclass(frozen=True)
class ProbeScale:
    """How a rewrite changed a tensor: fp32 = other * `factor` + `offset`.

    Both are float32 and broadcast against the tensor, one entry per channel (axis 1).
    """

    factor: NDArray[np.float32]
    offset: NDArray[np.float32]


def probe(
    fp32: ModelProto,
    other: ModelProto,
    groups: Sequence[TensorGroup],
    rescaled: Mapping[str, ProbeScale],
) -> ModelProto:
    """Return the joint graph; its float32 input is `fp32::<input>`, and it has no outputs yet.

    A tensor T of fp32 is `fp32::T`, a value of `other` keeps its name, and `local::<value>` is
    what the layer that gives it makes of exact fp32 inputs (expressed as `rescaled` says).
    """
    model = ModelProto()
    model.CopyFrom(other)
    graph = model.graph
    image, fed = fp32.graph.input[0], other.graph.input[0]
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    _add_reference(graph, fp32)
    kind = fed.type.tensor_type.elem_type
    for name in (fed.name, LOCAL + fed.name):
        graph.node.append(helper.make_node("Cast", [FP32 + image.name], [name], to=kind))
    graph.node.extend(other.graph.node)
    for tensor, change in rescaled.items():
        graph.node.extend(_scaled(graph, tensor, change))
    graph.node.extend(_local(other, groups, rescaled))
    return model


def _add_reference(graph: GraphProto, fp32: ModelProto) -> None:
    for value in fp32.graph.input:
        graph.input.add().CopyFrom(value)
        graph.input[-1].name = FP32 + value.name
    for tensor in fp32.graph.initializer:
        graph.initializer.add().CopyFrom(tensor)
        graph.initializer[-1].name = FP32 + tensor.name
    graph.node.extend(
        _renamed(node, lambda name: FP32 + name, lambda name: FP32 + name)
        for node in fp32.graph.node
    )


def _scaled(graph: GraphProto, tensor: str, change: ProbeScale) -> list[NodeProto]:
    names = [f"{_SCALED}{tensor}::{part}" for part in ("factor", "offset", "centred")]
    for name, value in zip(names, (change.factor, change.offset), strict=False):
        graph.initializer.append(numpy_helper.from_array(value, name))
    factor, offset, centred = names
    return [
        helper.make_node("Sub", [FP32 + tensor, offset], [centred]),
        helper.make_node("Div", [centred, factor], [_SCALED + tensor]),
    ]


def _local(
    other: ModelProto, groups: Sequence[TensorGroup], rescaled: Mapping[str, ProbeScale]
) -> list[NodeProto]:
    """Copy every layer and what rounds its output, but let it read fp32 tensors.

    Where values were only moved on the way to a layer they are not rounded once more.
    """
    computed = {name for group in groups for name in group.names}
    rounding = {name for group in groups for name in group.names[1:]}
    exact = {name: group.tensor for group in groups if group.tensor for name in group.names}

    def local(name: str) -> str:
        return LOCAL + name if name in computed else name

    def read(name: str) -> str:
        if name not in exact:
            return local(name)
        tensor = exact[name]
        return (_SCALED if tensor in rescaled else FP32) + tensor

    moved = {
        name
        for group in groups
        if group.tensor is None and group.operator in MOVING
        for name in group.names[1:]
    }

    def copy(node: NodeProto) -> NodeProto:
        if node.output[0] in moved:
            names = (local(node.input[0]), local(node.output[0]))
            return helper.make_node("Identity", names[:1], names[1:], name=names[1])
        rounds = node.output[0] in rounding or node.op_type == "DequantizeLinear"
        return _renamed(node, local if rounds else read, local)

    return [copy(node) for node in other.graph.node if node.output[0] in computed]


def _renamed(node: NodeProto, read: Callable[[str], str], write: Callable[[str], str]) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    copy.name = write(node.output[0])
    copy.input[:] = [read(name) if name else name for name in node.input]
    copy.output[:] = [write(name) if name else name for name in node.output]
    return copy
