"""Multiply-accumulates of an ONNX graph, node by node.

Convention: one MAC per multiplication with a weight or between two activations, bias and
element-wise work not counted, batch size 1 assumed by the caller. The rules read shapes
only, so they hold for float, quantized and fused nodes and for NCHW and NHWC alike.
A node with MACs whose shape is unknown, or an operator without a rule that is not free, is
reported in `uncounted`, never silently taken as zero.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from onnx import ModelProto, NodeProto

from export.onnx_graph.graph import attribute, dims

Shapes = dict[str, tuple[int | None, ...]]


@dataclass(frozen=True)
class NodeCost:
    """MACs of one node; `name`, `op_type` and `output` identify it."""

    name: str
    op_type: str
    output: str
    macs: int


@dataclass(frozen=True)
class GraphCost:
    """Nodes that have MACs, and what could not be counted: operator type to number of nodes."""

    nodes: tuple[NodeCost, ...]
    uncounted: dict[str, int]

    @property
    def macs(self) -> int:
        """Total of the counted nodes."""
        return sum(node.macs for node in self.nodes)


def _conv(node: NodeProto, shapes: Shapes, weight: int) -> int:
    kernel = shapes[node.input[weight]]
    out = shapes[node.output[0]]
    channels = kernel[0]
    return _numel(out) // _known(channels) * _numel(kernel)


def _conv_transpose(node: NodeProto, shapes: Shapes, weight: int) -> int:
    kernel, source = shapes[node.input[weight]], shapes[node.input[0]]
    return _numel(source) // _known(kernel[0]) * _numel(kernel)


def _matmul(node: NodeProto, shapes: Shapes, second: int) -> int:
    transposed = attribute(node, "transA") == 1
    inner = shapes[node.input[0]][-2 if transposed else -1]
    return _numel(shapes[node.output[0]]) * _known(inner)


def _numel(shape: tuple[int | None, ...]) -> int:
    return prod(_known(d) for d in shape)


def _known(dim: int | None) -> int:
    if dim is None:
        raise KeyError("unknown dimension")
    return dim


Rule = Callable[[NodeProto, Shapes, int], int]

MAC_RULES: dict[str, tuple[Rule, int]] = {
    "Conv": (_conv, 1),
    "FusedConv": (_conv, 1),
    "NhwcFusedConv": (_conv, 1),
    "ConvInteger": (_conv, 1),
    "QLinearConv": (_conv, 3),
    "ConvTranspose": (_conv_transpose, 1),
    "Gemm": (_matmul, 1),
    "FusedGemm": (_matmul, 1),
    "QGemm": (_matmul, 3),
    "MatMul": (_matmul, 1),
    "FusedMatMul": (_matmul, 1),
    "QLinearMatMul": (_matmul, 3),
    "MatMulIntegerToFloat": (_matmul, 1),
}
INT8_OPS = frozenset(
    {"QLinearConv", "QGemm", "QLinearMatMul", "MatMulIntegerToFloat", "ConvInteger"}
)
FREE = frozenset(
    {
        "Cast", "Concat", "Constant", "ConstantOfShape", "DepthToSpace", "DequantizeLinear",
        "Expand", "Flatten", "Gather", "GatherND", "Identity", "Pad", "QuantizeLinear", "Reshape",
        "Shape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze", "QLinearConcat", "Where",
    }
)  # fmt: skip


def graph_cost(model: ModelProto) -> GraphCost:
    """Count a graph whose tensor shapes are known (see `graph.with_input_shape`)."""
    graph = model.graph
    shapes: Shapes = {v.name: dims(v) for v in [*graph.input, *graph.output, *graph.value_info]}
    shapes |= {t.name: tuple(t.dims) for t in graph.initializer}
    nodes: list[NodeCost] = []
    uncounted: Counter[str] = Counter()
    for node in graph.node:
        if node.op_type in FREE:
            continue
        rule, weight = MAC_RULES.get(node.op_type, (None, 0))
        try:
            macs = rule(node, shapes, weight) if rule else None
        except KeyError:
            macs = None
        if macs is None:
            uncounted[node.op_type] += 1
        else:
            nodes.append(NodeCost(node.name, node.op_type, node.output[0], macs))
    return GraphCost(tuple(nodes), dict(sorted(uncounted.items())))
