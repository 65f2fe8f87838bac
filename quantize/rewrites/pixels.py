"""Rewrite: the first convolution reads pixels instead of what normalization made of them.

Pixels are integers from 0 to 255. Normalized by a mean and a deviation per channel they are no
multiples of one scale any more, and rounding them to that of all channels is where a tenth of the
error of an int8 MobileNet comes from. Undone before the Q, whose scale is then 1 and whose zero
point stands for 0, there is nothing left to round; the convolution's weights and bias take the
normalization over. Padding stands for the mean, which is no integer: it becomes a Pad of its own,
rounded by at most half a step of the 256.
"""

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from export.artifact.manifest import InputSpec
from export.onnx_graph.graph import attributes, consumers, initializers, tensor_names
from export.onnx_graph.names import free_name
from quantize.ranges.ranges import Range
from quantize.rewrites.change import Rewritten, put

Floats = NDArray[np.float64]

LARGEST = 255
PIXELS: Range = (0.0, float(LARGEST))


def read_pixels(model: ModelProto, spec: InputSpec) -> Rewritten:
    """Let the convolutions that read the graph's input read pixels; `spec` says how they were made.

    Left as they are: convolutions of other numbers of channels, in groups, with weights that are
    computed or read by others, too, or with padding that the runtime works out (`auto_pad`).
    """
    changed = ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    constants, readers = initializers(graph), consumers(graph)

    def suits(node: NodeProto) -> bool:
        given = attributes(node)
        own = [name for name in node.input[1:] if name]
        return (
            node.op_type == "Conv"
            and node.input[0] == spec.name
            and given.get("group", 1) == 1
            and given.get("auto_pad", b"NOTSET") == b"NOTSET"
            and all(name in constants and len(readers[name]) == 1 for name in own)
            and list(constants[own[0]].dims[1:2]) == [len(spec.mean)]
            and len(constants[own[0]].dims) == 4
        )

    mean, std = (LARGEST * np.array(values) for values in (spec.mean, spec.std))
    kept: list[str] = []
    ranges: dict[str, Range] = {}
    names = [node.name for node in graph.node if suits(node)]
    for name in names:
        node = next(node for node in graph.node if node.name == name)  # others may be in its place
        _move_normalization(graph, node, mean, std)
        kept += _undo_normalization(graph, node, mean, std)
        ranges[node.input[0]] = PIXELS
    return Rewritten(
        changed,
        f"{len(names)} convolutions read pixels: {', '.join(names)}",
        kept_float=frozenset(kept),
        ranges=ranges,
        reweighted=frozenset(names),
    )


def _move_normalization(graph: GraphProto, conv: NodeProto, mean: Floats, std: Floats) -> None:
    """Scale the weights by channel, and add what the mean makes of them to the bias."""
    constants = initializers(graph)
    kernel = constants[conv.input[1]]
    weight = numpy_helper.to_array(kernel) / _by_channel(std)
    bias = -(weight.sum((2, 3)) @ mean)
    put(kernel, weight)
    if len(conv.input) > 2 and conv.input[2]:
        put(constants[conv.input[2]], numpy_helper.to_array(constants[conv.input[2]]) + bias)
    else:
        name = free_name(f"{conv.name}/bias", tensor_names(graph))
        graph.initializer.append(numpy_helper.from_array(bias.astype(np.float32), name))
        conv.input[:] = [*conv.input[:2], name]


def _undo_normalization(graph: GraphProto, conv: NodeProto, mean: Floats, std: Floats) -> list[str]:
    """Make pixels of the input in front of a convolution; return the names of the new layers."""
    steps: list[tuple[str, NDArray[np.generic]]] = []
    pads = attributes(conv).get("pads", (0, 0, 0, 0))
    if any(pads):
        steps.append(("Pad", np.array([0, 0, *pads[:2], 0, 0, *pads[2:]])))
        kept = [setting for setting in conv.attribute if setting.name != "pads"]
        del conv.attribute[:]
        conv.attribute.extend(kept)
    steps.append(("Mul", _by_channel(std).astype(np.float32)))
    steps.append(("Add", _by_channel(mean).astype(np.float32)))
    nodes = []
    tensor = conv.input[0]
    for operator, constant in steps:
        name = f"{conv.name}/pixels/{operator}"
        graph.initializer.append(numpy_helper.from_array(constant, f"{name}/constant"))
        nodes.append(helper.make_node(operator, [tensor, f"{name}/constant"], [name], name=name))
        tensor = name
    conv.input[0] = tensor
    kept_nodes = list(graph.node)
    at = kept_nodes.index(conv)
    ordered = [*kept_nodes[:at], *nodes, *kept_nodes[at:]]
    del graph.node[:]
    graph.node.extend(ordered)
    return [node.name for node in nodes]


def _by_channel(values: Floats) -> Floats:
    return values.reshape(1, -1, 1, 1)
