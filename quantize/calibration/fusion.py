"""Which tensors onnxruntime may compute as part of the operator that reads them.

It fuses two operators only where nothing else reads what passes between them, and a fused operator
may round otherwise, or have what follows summed in another layout of memory. What is measured
together would then change what is measured, in its last bits, and with it the bytes of int8 files.
"""

from onnx import GraphProto, NodeProto, helper

from export.onnx_graph.graph import consumers
from quantize.calibration.statistics import Reduction, Tensor, average

_PRODUCTS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
"""What an activation or an addition behind it may be fused with."""
_APART = {
    "AveragePool",
    "Concat",
    "Conv",
    "ConvTranspose",
    "DepthToSpace",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "MaxPool",
    "PRelu",
    "Pad",
    "Relu",
    "Reshape",
    "Resize",
    "Slice",
    "Softmax",
    "Split",
    "Transpose",
}
"""Operators that are not fused with a product, or (Relu) give the same bits if they are."""
_WITHIN = {"Erf", "Pow", "Sigmoid", "Sqrt", "Tanh"}
"""What lies within the patterns that become one GELU, SiLU or normalization."""
_TAKEN_IN = {
    "AveragePool": {"Pad"},
    "Clip": {"Relu"},
    "Conv": {"Pad"},
    "Gelu": {"Add"},
    "Gemm": {"Transpose"},
    "LayerNormalization": {"Add"},
    "MatMul": {"Div", "Mul", "Transpose"},
    "MaxPool": {"Pad"},
}
"""By operator, what it may take in when that comes before it."""


def fusable(graph: GraphProto) -> list[str]:
    """Name the tensors, in the graph's order, that may be fused away where nobody reads them."""
    readers = consumers(graph)
    return [
        name
        for node in graph.node
        for name in node.output
        if any(_may_fuse(node, reader) for reader in readers.get(name, []))
    ]


def _may_fuse(producer: NodeProto, reader: NodeProto) -> bool:
    if producer.op_type in _PRODUCTS:
        return reader.op_type not in _APART
    before = _TAKEN_IN.get(reader.op_type, set())
    return producer.op_type in _WITHIN or producer.op_type in before


def touch(tensor: Tensor) -> Reduction:
    """Read a tensor at least cost: of a map one position, by a pooling, which reads any layout."""
    sides = tensor.shape[2:]
    if len(sides) != 2 or None in sides:
        return average(tensor)
    name = f"{tensor.name}::Touch"
    node = helper.make_node("MaxPool", [tensor.name], [name], kernel_shape=[1, 1], strides=sides)
    return Reduction([node], [name])
