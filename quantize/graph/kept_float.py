"""Keep onnxruntime from rounding the weights of layers that are to stay in float.

onnxruntime (1.31) takes a Conv or Gemm with float weights between a DQ and a Q, a Relu or Clip
before the Q or not, for one whose weights somebody forgot, and rounds them to one int8 scale per
tensor (its WeightBiasQuantization). That costs a depthwise convolution everything. It does so only
behind a DQ of one scale; told the same scale once per channel, it computes what is written.
"""

from collections.abc import Mapping

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from export.onnx_graph.graph import attribute, consumers, initializers
from quantize.graph.clips import CLIPPING

_ROUNDED = ("Conv", "ConvTranspose", "Gemm")


def keep_weights_float(model: ModelProto) -> None:
    """Give every float layer between a DQ and a Q a DQ of its own, with a scale per channel."""
    graph = model.graph
    constants, readers = initializers(graph), consumers(graph)
    dequantized = {n.output[0]: n for n in graph.node if n.op_type == "DequantizeLinear"}
    added: list[NodeProto] = []
    for node in graph.node:
        if node.op_type not in _ROUNDED or node.input[1] not in constants:
            continue
        before = dequantized.get(node.input[0])
        if before is None or not _is_quantized(node, readers):
            continue
        name = f"{node.name}/float_input"
        channels, axis = _inputs(node, constants[node.input[1]])
        parameters = []
        for part, given in zip(("scale", "zero_point"), before.input[1:], strict=False):
            values = np.full(channels, numpy_helper.to_array(constants[given]))
            graph.initializer.append(numpy_helper.from_array(values, f"{name}_{part}"))
            parameters.append(f"{name}_{part}")
        inputs = [before.input[0], *parameters]
        added.append(helper.make_node(before.op_type, inputs, [name], name=name, axis=axis))
        node.input[0] = name
    graph.node.extend(added)


def _is_quantized(layer: NodeProto, readers: Mapping[str, list[NodeProto]]) -> bool:
    """Whether all that a layer gives goes into one Q, through Relu and Clip perhaps."""
    following = readers[layer.output[0]]
    while len(following) == 1 and following[0].op_type in CLIPPING:
        following = readers[following[0].output[0]]
    return [node.op_type for node in following] == ["QuantizeLinear"]


def _inputs(node: NodeProto, weight: TensorProto) -> tuple[int, int]:
    """Return how many channels a layer reads, and on which axis."""
    if node.op_type == "Conv":
        return weight.dims[1] * attribute(node, "group", 1), 1
    if node.op_type == "ConvTranspose":
        return weight.dims[0], 1
    return weight.dims[1 if attribute(node, "transB") else 0], 0 if attribute(node, "transA") else 1
