"""What a layer costs in float and in int8 on x86: tables of measured constants.

Nanoseconds of one core, onnxruntime 1.31, from chains of equal layers (differences of chains of 6
and of 2, CPU time, so that other processes do not count; `python benchmarks/operator_costs.py`
prints them for the machine it runs on). They say which form is faster and by how much, not how long
a network takes. Constants and no measurement at the time of quantizing: the same network must
become the same file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from onnx import NodeProto, TensorProto

from export.onnx_graph.graph import attributes
from quantize.lossless.groups import merged_groups

Shapes = Mapping[str, tuple[int | None, ...]]

CONVERSION = 0.65
"""Per value, either way, with the change of layout that goes with it around a convolution: 0.45 to
0.9 measured."""
_ROWS = 16
"""Output channels that an int8 product computes at once."""
_KERNEL = 5000.0
"""To start any kernel: what a network takes beyond the sum of its kernels, by their number."""


class LayerCost(NamedTuple):
    """Nanoseconds."""

    in_float: float
    in_int8: float


@dataclass(frozen=True)
class Kernels:
    """How fast onnxruntime's kernels are on one kind of machine.

    MACs per nanosecond of convolutions and products in float and in int8, channels that lie side by
    side in the `block` of its float layout, ns per value of a depthwise convolution without
    and for each tap, of other layers' results, and of a `plain` conversion, with no convolution
    around it. What is not listed costs the same in both.
    """

    float_macs: float
    int8_macs: float
    block: int
    depthwise: tuple[LayerCost, LayerCost]
    per_value: Mapping[str, LayerCost]
    plain: float


_VNNI = Kernels(
    80.0,  # 75 to 85 measured
    330.0,  # 320 to 340
    16,
    (LayerCost(0.1, 0.2), LayerCost(0.02, 0.035)),
    {
        "Add": LayerCost(0.15, 0.25),
        "Mul": LayerCost(0.15, 0.25),
        "Concat": LayerCost(0.15, 0.2),
        "Sigmoid": LayerCost(0.8, 0.2),
        "LeakyRelu": LayerCost(0.1, 0.2),
        "PRelu": LayerCost(1.2, 1.2),
    },
    CONVERSION,  # not measured apart
)
"""Of a Xeon with AVX512-VNNI."""
_AVX2 = Kernels(
    43.0,  # 26 to 44
    85.0,  # 72 to 87; weights of 7 bits
    8,
    (LayerCost(0.1, 0.25), LayerCost(0.036, 0.056)),
    {
        "Add": LayerCost(0.15, 0.15),
        "Mul": LayerCost(0.23, 0.23),
        "Concat": LayerCost(0.5, 0.15),
        "Sigmoid": LayerCost(0.37, 0.36),
        "LeakyRelu": LayerCost(0.15, 0.55),
        "PRelu": LayerCost(1.1, 1.1),
        "Erf": LayerCost(1.7, 1.7),
    },
    0.15,
)
"""Of an EPYC without VNNI."""
KERNELS = {"vnni": _VNNI, "avx2": _AVX2}
"""By what a target says of its `kernels`."""


def cost(
    node: NodeProto, shapes: Shapes, constants: Mapping[str, TensorProto], kernels: Kernels
) -> LayerCost:
    """Return the cost of a layer; of those not in the table, only what starting it takes."""
    work = _work(node, shapes, constants, kernels)
    return LayerCost(_KERNEL + work.in_float, _KERNEL + work.in_int8)


def macs(node: NodeProto, shapes: Shapes, constants: Mapping[str, TensorProto]) -> int:
    """Return the MACs of a convolution of constant weights, 0 for other layers."""
    if node.op_type != "Conv" or node.input[1] not in constants:
        return 0
    return size(node.output[0], shapes) * prod(constants[node.input[1]].dims[1:])


def size(tensor: str, shapes: Shapes) -> int:
    """Return how many values a tensor has; a dimension that varies counts as 1."""
    return prod(d or 1 for d in shapes[tensor]) if tensor in shapes else 0


def _work(
    node: NodeProto, shapes: Shapes, constants: Mapping[str, TensorProto], kernels: Kernels
) -> LayerCost:
    values = size(node.output[0], shapes)
    if node.op_type == "Conv" and node.input[1] in constants:
        return _conv(node, tuple(constants[node.input[1]].dims), values, kernels)
    if node.op_type in ("Gemm", "MatMul"):
        inputs = shapes.get(node.input[0], ())
        macs = values * ((inputs[-1] if inputs else 0) or 0)
        return LayerCost(macs / kernels.float_macs, macs / kernels.int8_macs + 0.12 * values)
    if node.op_type == "AveragePool":
        # the int8 kernel adds value by value
        taps = prod(attributes(node).get("kernel_shape", [1]))
        return LayerCost(0.05 * taps * values, 2.0 * taps * values)
    each = kernels.per_value.get(node.op_type, LayerCost(0.0, 0.0))
    if node.op_type == "Mul" and _by_number(node, constants):
        each = LayerCost(each.in_float, 0.0)  # the same integers (graph/insertion/scaling.py)
    return LayerCost(each.in_float * values, each.in_int8 * values)


def _by_number(node: NodeProto, constants: Mapping[str, TensorProto]) -> bool:
    return any(name in constants and prod(constants[name].dims) == 1 for name in node.input)


def _conv(node: NodeProto, weight: tuple[int, ...], values: int, kernels: Kernels) -> LayerCost:
    groups = attributes(node).get("group", 1)
    inputs, taps, rows = weight[1], prod(weight[2:]), weight[0] // groups
    if rows == inputs == 1:
        each, per_tap = kernels.depthwise
        return LayerCost(
            (each.in_float + per_tap.in_float * taps) * values,
            (each.in_int8 + per_tap.in_int8 * taps) * values,
        )
    pixels = values // weight[0]
    block = kernels.block
    blocked = groups == 1 or (inputs % block == 0 and rows % block == 0)
    padded = _filled(inputs, block) * _filled(rows, block)
    in_float = padded * groups * taps * pixels / kernels.float_macs
    if not blocked:  # one small product per group
        in_float = inputs * groups * taps * pixels * (0.3 + rows / 20)
    merged = merged_groups(rows, inputs, groups)
    inputs, groups = inputs * merged, groups // merged
    rows *= merged
    int8 = inputs * _filled(rows, _ROWS) * groups * taps * pixels / kernels.int8_macs
    int8 += 0.12 * values
    if taps > 1:  # gathers the pixels under the kernel
        int8 += 1.4 * taps * groups * pixels
    if inputs * taps % 4:  # products of four
        int8 += 0.35 * inputs * taps * groups * pixels
    return LayerCost(in_float, int8)


def _filled(channels: int, block: int) -> int:
    return -(-channels // block) * block
