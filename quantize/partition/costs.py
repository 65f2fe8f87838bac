"""What a layer costs in float and in int8 on x86 with VNNI: a table of measured constants.

Nanoseconds of one core, onnxruntime 1.31 on a Xeon with AVX512-VNNI, from chains of equal layers
(differences of chains of 6 and of 2, CPU time, so that other processes do not count). They say
which form is faster and by how much, not how long a network takes. Constants and no measurement at
the time of quantizing: the same network must become the same file.
"""

from collections.abc import Mapping
from math import prod
from typing import NamedTuple

from onnx import NodeProto, TensorProto

from export.onnx_graph.graph import attributes
from quantize.lossless.groups import merged_groups

Shapes = Mapping[str, tuple[int | None, ...]]

CONVERSION = 0.65
"""Per value, either way, with the change of layout that goes with it: 0.45 to 0.9 measured."""
_BLOCK = 16
_FLOAT_MACS, _INT8_MACS = 80.0, 330.0
"""MACs per nanosecond of convolutions and products; 75 to 85 and 320 to 340 measured."""


_KERNEL = 5000.0
"""To start any kernel: what a network takes beyond the sum of its kernels, by their number."""


class Cost(NamedTuple):
    """Nanoseconds."""

    in_float: float
    in_int8: float


_PER_VALUE: dict[str, Cost] = {
    "Add": Cost(0.15, 0.25),
    "Mul": Cost(0.15, 0.25),
    "Concat": Cost(0.15, 0.2),
    "Sigmoid": Cost(0.8, 0.2),
    "LeakyRelu": Cost(0.1, 0.2),
    "PRelu": Cost(1.2, 1.2),
}
"""Per value of the result; what is not listed costs the same in both."""


def cost(node: NodeProto, shapes: Shapes, constants: Mapping[str, TensorProto]) -> Cost:
    """Return the cost of a layer; of those not in the table, only what starting it takes."""
    found = _work(node, shapes, constants)
    return Cost(_KERNEL + found.in_float, _KERNEL + found.in_int8)


def macs(node: NodeProto, shapes: Shapes, constants: Mapping[str, TensorProto]) -> int:
    """Return the MACs of a convolution of constant weights, 0 for other layers."""
    if node.op_type != "Conv" or node.input[1] not in constants:
        return 0
    return size(node.output[0], shapes) * prod(constants[node.input[1]].dims[1:])


def size(tensor: str, shapes: Shapes) -> int:
    """Return how many values a tensor has; a dimension that varies counts as 1."""
    return prod(d or 1 for d in shapes[tensor]) if tensor in shapes else 0


def _work(node: NodeProto, shapes: Shapes, constants: Mapping[str, TensorProto]) -> Cost:
    values = size(node.output[0], shapes)
    if node.op_type == "Conv" and node.input[1] in constants:
        return _conv(node, tuple(constants[node.input[1]].dims), values)
    if node.op_type in ("Gemm", "MatMul"):
        inputs = shapes.get(node.input[0], ())
        macs = values * ((inputs[-1] if inputs else 0) or 0)
        return Cost(macs / _FLOAT_MACS, macs / _INT8_MACS + 0.12 * values)
    if node.op_type == "AveragePool":
        # the int8 kernel adds value by value
        taps = prod(attributes(node).get("kernel_shape", [1]))
        return Cost(0.05 * taps * values, 2.0 * taps * values)
    each = _PER_VALUE.get(node.op_type, Cost(0.0, 0.0))
    return Cost(each.in_float * values, each.in_int8 * values)


def _conv(node: NodeProto, weight: tuple[int, ...], values: int) -> Cost:
    groups = attributes(node).get("group", 1)
    inputs, taps, rows = weight[1], prod(weight[2:]), weight[0] // groups
    if rows == inputs == 1:
        return Cost((0.1 + 0.02 * taps) * values, (0.2 + 0.035 * taps) * values)
    pixels = values // weight[0]
    blocked = groups == 1 or (inputs % _BLOCK == 0 and rows % _BLOCK == 0)
    in_float = _filled(inputs) * _filled(rows) * groups * taps * pixels / _FLOAT_MACS
    if not blocked:  # one small product per group
        in_float = inputs * groups * taps * pixels * (0.3 + rows / 20)
    merged = merged_groups(rows, inputs, groups)
    inputs, groups = inputs * merged, groups // merged
    rows *= merged
    int8 = inputs * _filled(rows) * groups * taps * pixels / _INT8_MACS + 0.12 * values
    if taps > 1:  # gathers the pixels under the kernel
        int8 += 1.4 * taps * groups * pixels
    if inputs * taps % 4:  # products of four
        int8 += 0.35 * inputs * taps * groups * pixels
    return Cost(in_float, int8)


def _filled(channels: int) -> int:
    return -(-channels // _BLOCK) * _BLOCK
