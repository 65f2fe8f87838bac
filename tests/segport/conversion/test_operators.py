"""Each operator's .tflite against onnxruntime: in float32, and in int8 as onnxruntime's own
quantizer makes it."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper

from tests.segport.conversion.small import both, network, quantized, values

W33, W11 = values((6, 4, 3, 3), 1), values((6, 4, 1, 1), 1)
DEPTHWISE, GROUPED = values((8, 1, 3, 3), 1), values((6, 2, 3, 3), 1)
BIAS = values((6,), 2)
SIZES = np.array([1, 4, 17, 15])

FLOAT: dict[str, tuple[list[str], dict[str, Any], str]] = {
    "conv": (["y = Conv (x, w, b)"], {"w": W33, "b": BIAS}, "CONV_2D"),
    "conv-same": (["y = Conv <pads=[1,1,1,1]> (x, w)"], {"w": W33}, "CONV_2D"),
    "conv-stride": (
        ["y = Conv <pads=[1,1,1,1], strides=[2,2]> (x, w, b)"], {"w": W33, "b": BIAS}, "PAD",
    ),
    "conv-lopsided": (["y = Conv <pads=[0,2,1,0]> (x, w)"], {"w": W33}, "PAD"),
    "conv-dilated": (
        ["y = Conv <pads=[2,3,2,3], dilations=[2,3]> (x, w)"], {"w": W33}, "CONV_2D",
    ),
    "conv-same-lower": (
        ["y = Conv <auto_pad=\"SAME_LOWER\", strides=[2,2]> (x, w)"], {"w": W33}, "CONV_2D",
    ),
    "conv-relu6": (
        ["c = Conv (x, w, b)", "y = Clip (c, zero, six)"],
        {"w": W33, "b": BIAS, "zero": np.float32(0), "six": np.float32(6)}, "CONV_2D",
    ),
    "conv-depthwise": (
        ["y = Conv <group=4, pads=[1,1,1,1]> (x, w)"], {"w": DEPTHWISE}, "DEPTHWISE_CONV_2D",
    ),
    "conv-depthwise-dilated": (
        ["y = Conv <group=4, pads=[2,2,2,2], dilations=[2,2]> (x, w)"], {"w": DEPTHWISE},
        "DEPTHWISE_CONV_2D",
    ),
    "conv-grouped": (["y = Conv <group=2> (x, w, b)"], {"w": GROUPED, "b": BIAS}, "CONV_2D"),
    "conv-transpose": (
        ["y = ConvTranspose <strides=[2,2], pads=[1,1,1,1]> (x, w, b)"],
        {"w": values((4, 6, 4, 4), 1), "b": BIAS}, "TRANSPOSE_CONV",
    ),
    "gemm": (
        ["f = Flatten (x)", "y = Gemm <transB=1> (f, w, b)"],
        {"w": values((6, 288), 1), "b": BIAS}, "FULLY_CONNECTED",
    ),
    "matmul": (
        ["f = Flatten (x)", "y = MatMul (f, w)"], {"w": values((288, 5), 1)}, "FULLY_CONNECTED",
    ),
    "matmul-of-images": (["t = Transpose <perm=[0,1,3,2]> (x)", "y = MatMul (x, t)"], {},
                         "BATCH_MATMUL"),
    "add": (["r = Relu (x)", "y = Add (x, r)"], {}, "ADD"),
    "add-channels": (["y = Add (x, c)"], {"c": values((4, 1, 1), 1)}, "ADD"),
    "sub-rows": (["y = Sub (x, c)"], {"c": values((9, 1), 1)}, "SUB"),
    "mul-computed": (["p = GlobalAveragePool (x)", "y = Mul (x, p)"], {}, "MUL"),
    "div": (["y = Div (x, c)"], {"c": np.float32(3)}, "DIV"),
    "add-of-fewer-axes": (
        ["s = ReduceMean <keepdims=0> (x, axes)", "y = Add (x, s)"], {"axes": np.array([0, 1])},
        "MEAN",
    ),
    "max": (["r = Neg (x)", "y = Max (x, r)"], {}, "MAXIMUM"),
    "min": (["r = Neg (x)", "y = Min (x, r)"], {}, "MINIMUM"),
    "relu": (["y = Relu (x)"], {}, "RELU"),
    "clip": (["y = Clip (x, a, b)"], {"a": np.float32(-0.5), "b": np.float32(0.7)}, "MAXIMUM"),
    "clip-above": (["y = Clip (x, , b)"], {"b": np.float32(0.7)}, "MINIMUM"),
    "leaky-relu": (["y = LeakyRelu <alpha=0.2> (x)"], {}, "LEAKY_RELU"),
    "prelu": (["y = PRelu (x, s)"], {"s": values((4, 1, 1), 1, 0, 1)}, "PRELU"),
    "elu": (["y = Elu (x)"], {}, "ELU"),
    "hard-swish": (["y = HardSwish (x)"], {}, "HARD_SWISH"),
    "hard-sigmoid": (["y = HardSigmoid <alpha=0.3, beta=0.4> (x)"], {}, "MINIMUM"),
    "sigmoid": (["y = Sigmoid (x)"], {}, "LOGISTIC"),
    "softmax": (["y = Softmax <axis=1> (x)"], {}, "SOFTMAX"),
    "tanh": (["y = Tanh (x)"], {}, "TANH"),
    "exp": (["y = Exp (x)"], {}, "EXP"),
    "abs-sqrt": (["a = Abs (x)", "y = Sqrt (a)"], {}, "SQRT"),
    "floor": (["y = Floor (x)"], {}, "FLOOR"),
    "batch-norm": (
        ["y = BatchNormalization <epsilon=0.01> (x, s, o, m, v)"],
        {"s": values((4,), 1), "o": values((4,), 2), "m": values((4,), 3),
         "v": values((4,), 4, 0.5, 2)}, "MUL",
    ),
    "average-pool": (["y = AveragePool <kernel_shape=[2,2], strides=[2,2]> (x)"], {},
                     "AVERAGE_POOL_2D"),
    "average-pool-counted": (
        ["y = AveragePool <kernel_shape=[3,3], pads=[1,1,1,1], count_include_pad=1> (x)"], {},
        "PAD",
    ),
    "average-pool-uncounted": (
        ["y = AveragePool <kernel_shape=[3,3], pads=[1,1,1,1]> (x)"], {}, "AVERAGE_POOL_2D",
    ),
    "max-pool": (["y = MaxPool <kernel_shape=[3,3], strides=[2,2]> (x)"], {}, "MAX_POOL_2D"),
    "max-pool-padded": (
        ["y = MaxPool <kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2]> (x)"], {}, "PADV2",
    ),
    "max-pool-ceil": (
        ["y = MaxPool <kernel_shape=[3,3], strides=[2,2], ceil_mode=1> (x)"], {}, "MAX_POOL_2D",
    ),
    "global-average": (["y = GlobalAveragePool (x)"], {}, "MEAN"),
    "global-max": (["y = GlobalMaxPool (x)"], {}, "REDUCE_MAX"),
    "reduce-mean": (["y = ReduceMean <keepdims=0> (x, a)"], {"a": np.array([2])}, "MEAN"),
    "reduce-sum": (["y = ReduceSum (x, a)"], {"a": np.array([1])}, "SUM"),
    "reduce-max": (["y = ReduceMax (x, a)"], {"a": np.array([1, 3])}, "REDUCE_MAX"),
    "resize-half-pixel": (["y = Resize <mode=\"linear\"> (x, , , s)"], {"s": SIZES},
                          "RESIZE_BILINEAR"),
    "resize-corners": (
        ["y = Resize <mode=\"linear\", coordinate_transformation_mode=\"align_corners\">"
         " (x, , , s)"], {"s": SIZES}, "RESIZE_BILINEAR",
    ),
    "resize-asymmetric": (
        ["y = Resize <mode=\"linear\", coordinate_transformation_mode=\"asymmetric\">"
         " (x, , s)"], {"s": np.array([1, 1, 2, 2], np.float32)}, "RESIZE_BILINEAR",
    ),
    "resize-down": (["y = Resize <mode=\"linear\"> (x, , , s)"], {"s": np.array([1, 4, 4, 5])},
                    "RESIZE_BILINEAR"),
    "resize-nearest": (
        ["y = Resize <mode=\"nearest\", coordinate_transformation_mode=\"asymmetric\","
         " nearest_mode=\"floor\"> (x, , s)"],
        {"s": np.array([1, 1, 2, 3], np.float32)}, "RESIZE_NEAREST_NEIGHBOR",
    ),
    "resize-nearest-half-pixel": (
        ["y = Resize <mode=\"nearest\", nearest_mode=\"round_prefer_ceil\"> (x, , , s)"],
        {"s": SIZES}, "RESIZE_NEAREST_NEIGHBOR",
    ),
    "concat": (["r = Relu (x)", "y = Concat <axis=1> (x, r)"], {}, "CONCATENATION"),
    "concat-rows": (["r = Relu (x)", "y = Concat <axis=2> (x, r)"], {}, "CONCATENATION"),
    "split": (["a, b = Split <axis=1> (x, n)", "y = Sub (a, b)"], {"n": np.array([2, 2])},
              "SLICE"),
    "slice": (
        ["y = Slice (x, a, b, n, s)"],
        {"a": np.array([1, -8]), "b": np.array([3, 2**40]), "n": np.array([1, 2]),
         "s": np.array([1, 2])}, "STRIDED_SLICE",
    ),
    "pad": (["y = Pad (x, p)"], {"p": np.array([0, 1, 2, 0, 0, 0, 1, 3])}, "PAD"),
    "pad-value": (["y = Pad (x, p, v)"],
                  {"p": np.array([0, 0, 2, 0, 0, 0, 1, 3]), "v": np.float32(-1)}, "PADV2"),
    "pad-reflect": (["y = Pad <mode=\"reflect\"> (x, p)"],
                    {"p": np.array([0, 0, 2, 1, 0, 0, 1, 3])}, "MIRROR_PAD"),
    "reshape": (["y = Reshape (x, s)"], {"s": np.array([1, 2, 18, 8])}, "RESHAPE"),
    "flatten": (["y = Flatten (x)"], {}, "TRANSPOSE"),
    "squeeze": (["p = GlobalAveragePool (x)", "y = Squeeze (p, a)"], {"a": np.array([2, 3])},
                "MEAN"),
    "unsqueeze": (["r = ReduceMean <keepdims=0> (x, a)", "y = Unsqueeze (r, a)"],
                  {"a": np.array([2])}, "MEAN"),
    "shuffle": (
        ["a = Reshape (x, s)", "b = Transpose <perm=[0,2,1,3,4]> (a)", "y = Reshape (b, t)"],
        {"s": np.array([1, 2, 2, 9, 8]), "t": np.array([1, 4, 9, 8])}, "TRANSPOSE",
    ),
    "transpose": (["y = Transpose <perm=[0,2,3,1]> (x)"], {}, "TRANSPOSE"),
    "depth-to-space": (["y = DepthToSpace <blocksize=2> (x)"], {}, "DEPTH_TO_SPACE"),
    "gather": (["y = Gather <axis=1> (x, i)"], {"i": np.array([3, -4, 1])}, "GATHER"),
    "gather-one": (["y = Gather <axis=2> (x, i)"], {"i": np.array(-1)}, "GATHER"),
    "identity": (["i = Identity (x)", "y = Relu (i)"], {}, "RELU"),
}  # fmt: skip

INT8 = (
    "conv", "conv-same", "conv-stride", "conv-lopsided", "conv-dilated", "conv-relu6",
    "conv-depthwise", "conv-grouped", "gemm", "matmul", "add", "mul-computed",
    "leaky-relu", "prelu", "sigmoid", "average-pool", "average-pool-counted", "max-pool",
    "max-pool-padded", "global-average", "resize-half-pixel", "resize-corners", "resize-nearest",
    "concat", "split", "pad", "reshape", "transpose", "depth-to-space", "softmax", "shuffle",
)  # fmt: skip

BETWEEN = {
    "prelu", "average-pool", "average-pool-counted", "max-pool", "max-pool-padded",
    "resize-half-pixel", "resize-corners", "resize-nearest", "split", "reshape", "transpose",
    "depth-to-space", "shuffle",
}  # fmt: skip
"""What onnxruntime's quantizer makes int8 only between others that are."""
A_STEP_OFF = {"softmax": 0.5, "sigmoid": 0.5, "average-pool": 0.1, "resize-corners": 0.2}
"""Share of results that may be a step off: where the file's grid is not LiteRT's only one, so that
they are rounded twice, and where many lie half-way between two steps."""


def _step(model: ModelProto) -> float:
    """The step of the grid that `y` lies on."""
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    (last,) = (node for node in model.graph.node if "y" in node.output)
    return float(constants[last.input[1]].reshape(()))


@pytest.mark.parametrize("name", FLOAT)
def test_float_is_what_onnxruntime_computes(name: str) -> None:
    nodes, constants, operator = FLOAT[name]
    expected, found, operators = both(network(nodes, **constants))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert operators[f"{operator} float32"] >= 1
    assert not any(kind.endswith("int8") for kind in operators)


@pytest.mark.parametrize("name", INT8)
def test_int8_is_what_onnxruntime_computes_to_a_step(name: str, tmp_path: Path) -> None:
    nodes, constants, operator = FLOAT[name]
    if name in BETWEEN:
        inner = [re.sub(r"\bx\b", "before", re.sub(r"\by\b", "behind", node)) for node in nodes]
        nodes = ["before = Mul (x, most)", *inner, "y = Mul (behind, more)"]
        constants = {**constants, "most": np.float32(0.9), "more": np.float32(0.8)}
    model = quantized(network(nodes, **constants), tmp_path)
    step = _step(model)
    expected, found, operators = both(model)
    assert operators[f"{operator} int8"] >= 1
    steps = np.abs(found - expected) / step
    assert steps.max() < (2.01 if name in BETWEEN else 1.01)
    assert (steps > 0.5).mean() < A_STEP_OFF.get(name, 0.03)
