"""Read any ONNX file, and tidy its graph without changing what it computes."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.inliner import inline_local_functions

from export.common.errors import ArtifactError, first_line
from export.onnx_graph.graph import attribute, captured, nodes_within, opset, subgraphs
from export.onnx_graph.single import OTHERS, to_single

MIN_OPSET = 7
"""Older operators broadcast by rules of their own; no runtime at hand loads them."""
_MIN_IR = 4
"""From which on constants need not be listed among the inputs."""
_ALREADY_SMALL = frozenset({"QuantizeLinear", "DequantizeLinear", "QLinearConv", "ConvInteger"})
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
_FLOATS = (TensorProto.FLOAT, *OTHERS)


def parse_model(file: Path) -> ModelProto:
    """Return the file as it is, with the weights that lie in files beside it.

    Raises ArtifactError for what is no ONNX file or no float network.
    """
    if not file.is_file():
        raise ArtifactError(f"{file}: no such file")
    try:
        model = onnx.load(file)
    except (DecodeError, onnx.checker.ValidationError, ValueError, OSError) as error:
        raise ArtifactError(f"{file}: not a valid ONNX model ({first_line(error)})") from error
    if not model.graph.node:
        raise ArtifactError(f"{file}: not a valid ONNX model (no nodes in it)")
    if broken := _broken_name(model.graph):
        raise ArtifactError(f"{file}: not a valid ONNX model ({broken!r} is no UTF-8 name)")
    if broken := _broken_tensor(model.graph):
        raise ArtifactError(f"{file}: not a valid ONNX model (tensor {broken})")
    version = opset(model)
    if not MIN_OPSET <= version <= onnx.defs.onnx_opset_version():
        raise ArtifactError(
            f"{file}: opset {version}; known are {MIN_OPSET} to {onnx.defs.onnx_opset_version()}, "
            "export it again with one of these"
        )
    _refuse_operators(file, model)
    return model


def tidied(file: Path, model: ModelProto) -> ModelProto:
    """Return a copy that strict readers take too, with float32 for all other floats.

    Constants are no inputs any more, nodes are sorted and have names of their own, local
    functions are inlined, and what only training needs is gone. Raises ArtifactError for weights
    that are not finite and for a graph that runs in a circle.
    """
    copy = ModelProto()
    copy.CopyFrom(inline_local_functions(model) if model.functions else model)
    graph = copy.graph
    if graph.sparse_initializer:
        raise ArtifactError(f"{file}: holds sparse weights; save them dense")
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    del graph.input[:]
    graph.input.extend(inputs)
    copy.ir_version = max(copy.ir_version, _MIN_IR)
    to_single(copy)
    _refuse_not_finite(file, graph)
    _end_training(file, graph)
    _give_names(graph)
    ordered = _sorted(graph)
    if ordered is None:
        raise ArtifactError(f"{file}: not a valid ONNX model (its nodes form a circle)")
    del graph.node[:]
    graph.node.extend(ordered)
    _free_sides(graph)
    del graph.value_info[:]  # what is declared inside may be wrong; it is inferred again
    return copy


def _broken_name(graph: GraphProto) -> object:
    """Return a name that is not text, or None; protobuf gives those as bytes."""
    for node in nodes_within(graph):
        for name in (node.name, node.op_type, node.domain, *node.input, *node.output):
            if not isinstance(name, str):
                return name
    names = [value.name for value in [*graph.input, *graph.output, *graph.value_info]]
    names += [tensor.name for tensor in graph.initializer]
    return next((name for name in names if not isinstance(name, str)), None)


def _broken_tensor(graph: GraphProto) -> str | None:
    """Return a constant whose data are not what its shape and type say, with the reason."""
    inner = (a.t for node in nodes_within(graph) for a in node.attribute if a.HasField("t"))
    bodies = (body for node in nodes_within(graph) for body in subgraphs(node))
    for tensor in (*graph.initializer, *inner, *(t for b in bodies for t in b.initializer)):
        try:
            numpy_helper.to_array(tensor)
        except Exception as error:  # whatever damaged bytes provoke
            return f"{tensor.name}: {first_line(error)}"
    return None


def _refuse_operators(file: Path, model: ModelProto) -> None:
    local = {(function.domain, function.name) for function in model.functions}
    for node in nodes_within(model.graph):
        if node.op_type in _ALREADY_SMALL:
            raise ArtifactError(
                f"{file}: already quantized ({node.op_type}); import its fp32 original"
            )
        if node.domain not in _DOMAINS and (node.domain, node.op_type) not in local:
            raise ArtifactError(
                f"{file}: operator {node.op_type} of domain {node.domain} is not part of ONNX; "
                "export the network with standard operators"
            )


def _refuse_not_finite(file: Path, graph: GraphProto) -> None:
    for tensor in graph.initializer:
        if tensor.data_type not in _FLOATS:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size > 1 and np.isnan(values).any():  # a lone infinity is a bound or a mask
            raise ArtifactError(f"{file}: weight {tensor.name} is not finite; train it again")


def _end_training(file: Path, graph: GraphProto) -> None:
    """Drop Dropout's unread mask; normalising by batch statistics is training, not inference."""
    read = {name for node in graph.node for name in [*node.input, *captured(node)]}
    read |= {value.name for value in graph.output}
    for node in graph.node:
        if node.op_type == "Dropout" and len(node.output) > 1 and node.output[1] not in read:
            del node.output[1:]
        if node.op_type == "BatchNormalization" and (
            len(node.output) > 1 or attribute(node, "training_mode")
        ):
            raise ArtifactError(
                f"{file}: {node.op_type} {node.name or node.output[0]} is in training form, it "
                "normalises by the images at hand; export the network after network.eval()"
            )


def _free_sides(graph: GraphProto) -> None:
    """Let sides be free that older converters write as -1, which onnx refuses."""
    for value in [*graph.input, *graph.output]:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_value < 0:
                dim.Clear()


def _give_names(graph: GraphProto) -> None:
    """Number the names that several nodes bear."""
    taken = Counter(node.name for node in nodes_within(graph))
    for node in nodes_within(graph):
        if node.name and taken[node.name] > 1:
            taken[node.name] -= 1
            number = 1
            while taken[f"{node.name}_{number}"]:
                number += 1
            node.name = f"{node.name}_{number}"
            taken[node.name] += 1


def _sorted(graph: GraphProto) -> list[NodeProto] | None:
    """Return the nodes with those before them that they read from; None for a circle."""
    nodes = list(graph.node)
    producer = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    needs = [
        {producer[name] for name in [*node.input, *captured(node)] if name in producer}
        for node in nodes
    ]
    readers: list[list[int]] = [[] for _ in nodes]
    for index, needed in enumerate(needs):
        for other in needed:
            readers[other].append(index)
    waiting = [len(needed) for needed in needs]
    ready = [index for index, count in enumerate(waiting) if not count]
    order = []
    while ready:
        index = ready.pop(0)
        order.append(index)
        for reader in readers[index]:
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)
    if len(order) < len(nodes):
        return None
    given = list(range(len(nodes)))
    if all(other < index for index in given for other in needs[index]):
        order = given  # as it was
    return [nodes[index] for index in order]
