"""Small helpers for reading and tidying ONNX graphs."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnx_ir.passes.common as passes
from google.protobuf.message import Message
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

from export.onnx_graph.names import free_name

STANDARD_DOMAIN = ""
_SPELLING = {"ai.onnx": STANDARD_DOMAIN}
_RESIZE_OPTIONAL = 13
"""The opset from which on a Resize need not be given a region and scales beside sizes."""
MAX_IR_VERSION = 10
"""The newest IR that ONNX Runtime 1.20 loads."""
_WEIGHT = 1000
"""Entries from which on a constant is a weight: one whose values decide no shape."""
_TIDYING = (
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
    passes.RemoveUnusedNodesPass(),
    passes.RemoveUnusedOpsetsPass(),
    passes.TopologicalSortPass(),
)


def attribute(node: NodeProto, name: str, default: int = 0) -> int:
    """Return an integer attribute."""
    return next((a.i for a in node.attribute if a.name == name), default)


def attributes(node: NodeProto) -> dict[str, Any]:
    """Return all attributes by name."""
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def initializers(graph: GraphProto) -> dict[str, onnx.TensorProto]:
    """Return the graph's constants by name."""
    return {tensor.name: tensor for tensor in graph.initializer}


def constant(graph: GraphProto, name: str) -> NDArray[np.generic] | None:
    """Return the value of an initializer or Constant node, or None when `name` is neither."""
    for tensor in graph.initializer:
        if tensor.name == name:
            return numpy_helper.to_array(tensor)
    for node in graph.node:
        if node.op_type == "Constant" and name in node.output and node.attribute[0].name == "value":
            return numpy_helper.to_array(node.attribute[0].t)
    return None


def consumers(graph: GraphProto) -> dict[str, list[NodeProto]]:
    """Return the nodes that read each tensor, also those that do in a branch or loop body."""
    readers: dict[str, list[NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in [*node.input, *sorted(captured(node))]:
            readers[name].append(node)
    return readers


def subgraphs(node: NodeProto) -> list[GraphProto]:
    """Return a node's branches or loop body."""
    return [g for a in node.attribute for g in ([a.g] if a.HasField("g") else a.graphs)]


def captured(node: NodeProto) -> set[str]:
    """Return the tensors that a node's branches or loop body take from the graph around them."""
    names: set[str] = set()
    for graph in subgraphs(node):
        own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
        own |= {name for inner in graph.node for name in inner.output}
        read = {name for inner in graph.node for name in [*inner.input, *captured(inner)]}
        names |= (read | {value.name for value in graph.output}) - own - {""}
    return names


def rename_reads(node: NodeProto, names: Mapping[str, str]) -> None:
    """Make a node, with its branches and loop body, read other tensors, in place."""
    node.input[:] = [names.get(name, name) for name in node.input]
    outer = {old: names[old] for old in captured(node) & names.keys()}
    for graph in subgraphs(node) if outer else ():
        for inner in graph.node:
            rename_reads(inner, outer)
        for value in graph.output:
            value.name = outer.get(value.name, value.name)


def nodes_within(graph: GraphProto) -> Iterator[NodeProto]:
    """Yield all nodes of a graph and of the branches and loop bodies in it."""
    for node in graph.node:
        yield node
        for inner in subgraphs(node):
            yield from nodes_within(inner)


def tensor_names(graph: GraphProto) -> set[str]:
    """Return the names of all tensors, also of those within branches and loop bodies."""
    given = {tensor.name for tensor in graph.initializer} | {value.name for value in graph.input}
    return given.union(*(node.output for node in nodes_within(graph)))


def dims(value: ValueInfoProto) -> tuple[int | None, ...]:
    """Return a tensor's shape, null for a dimension that may vary."""
    return tuple(
        d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else None
        for d in value.type.tensor_type.shape.dim
    )


def float_tensors(model: ModelProto) -> dict[str, tuple[int | None, ...]]:
    """Return name and shape of every float32 tensor that is computed (no constants)."""
    known = {t.name for t in model.graph.initializer}
    known |= {n.output[0] for n in model.graph.node if n.op_type == "Constant"}
    values = [*model.graph.input, *model.graph.value_info, *model.graph.output]
    return {
        v.name: dims(v)
        for v in values
        if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT and v.name not in known
    }


def dtype_name(value: ValueInfoProto) -> str:
    """Return a tensor's numpy dtype name, such as "float32"."""
    kind = value.type.tensor_type.elem_type
    return str(onnx.helper.tensor_dtype_to_np_dtype(kind).name)


def opset(model: ModelProto) -> int:
    """Return the version of the standard operator set."""
    return next(
        (o.version for o in model.opset_import if o.domain in (STANDARD_DOMAIN, "ai.onnx")), 0
    )


def infer_shapes(model: ModelProto, *, data_prop: bool = False) -> ModelProto:
    """Return a copy with the shapes that onnx infers, which it is not given the weights for.

    It would copy them several times, and refuse more than 2 GB. With `data_prop` values of small
    tensors are followed too. Raises onnx's InferenceError where types contradict.
    """
    light = ModelProto()
    light.CopyFrom(model)
    for tensor in light.graph.initializer:
        if prod(tensor.dims) >= _WEIGHT:
            described = TensorProto(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type)
            tensor.CopyFrom(described)
    shaped = onnx.shape_inference.infer_shapes(light, data_prop=data_prop)
    del shaped.graph.initializer[:]
    shaped.graph.initializer.extend(model.graph.initializer)
    return shaped


def with_input_shape(model: ModelProto, shape: tuple[int, ...]) -> ModelProto:
    """Return a copy whose single input has `shape` and whose tensor shapes are inferred from it."""
    copy = ModelProto()
    copy.CopyFrom(model)
    tensor_shape = copy.graph.input[0].type.tensor_type.shape
    for dim, size in zip(tensor_shape.dim, shape, strict=True):
        dim.Clear()
        dim.dim_value = size
    del copy.graph.value_info[:]
    for output in copy.graph.output:
        output.type.tensor_type.ClearField("shape")
    return infer_shapes(copy, data_prop=True)


def normalise(model: ModelProto) -> ModelProto:
    """Return a copy that says nothing about how or where it was made.

    Nodes are sorted topologically; metadata, doc strings, unused opset domains and unused
    initializers go; unnamed nodes get a name (block lists and reports need one); the IR
    version is at most 10, and the standard domain is spelled "".
    """
    spelt = ModelProto()
    spelt.CopyFrom(model)
    for imported in spelt.opset_import:
        imported.domain = _SPELLING.get(imported.domain, imported.domain)
    for node in spelt.graph.node:
        node.domain = _SPELLING.get(node.domain, node.domain)
    tidy = ir.serde.deserialize_model(spelt)
    for step in _TIDYING:
        step(tidy)
    copy = ir.serde.serialize_model(tidy)
    copy.producer_name, copy.producer_version, copy.domain = "segport", "", ""
    copy.model_version = 0
    copy.graph.name = "segport"
    del copy.training_info[:]
    _forget(copy)
    graph = copy.graph
    if opset(copy) >= _RESIZE_OPTIONAL:
        _omit_empty(graph)
    taken = {node.name for node in graph.node}
    for index, node in enumerate(graph.node):
        if not node.name:
            node.name = free_name(f"{node.op_type}_{index}", taken)
    copy.ir_version = min(copy.ir_version, MAX_IR_VERSION)
    return copy


def _omit_empty(graph: GraphProto) -> None:
    """Leave out what a Resize is given without values, as opset 11 had to write it.

    Once it is converted, as to float16, it is no constant any more, and not known to be empty.
    """
    empty = {tensor.name for tensor in graph.initializer if 0 in tensor.dims}
    for node in graph.node:
        if node.op_type == "Resize" and empty.intersection(node.input):
            given = ["" if name in empty else name for name in node.input]
            while given[-1] == "":
                given.pop()
            node.input[:] = given
    read = {name for node in graph.node for name in [*node.input, *captured(node)]}
    unread = empty - read
    for tensor in [tensor for tensor in graph.initializer if tensor.name in unread]:
        graph.initializer.remove(tensor)
    for value in [value for value in graph.value_info if value.name in unread]:
        graph.value_info.remove(value)


def _forget(message: Message) -> None:
    """Clear doc strings and metadata of a message and everything in it.

    onnx-ir's own pass leaves those of the model, tensors, values and attributes.
    """
    for name in ("doc_string", "metadata_props"):
        if hasattr(message, name):
            message.ClearField(name)
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for part in [value] if isinstance(value, Message) else value:
                _forget(part)
