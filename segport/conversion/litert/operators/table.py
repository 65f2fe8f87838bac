"""Which function writes an ONNX operator, and what of it LiteRT computes in int8."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segport.conversion.litert.operators import (
    convolution,
    elementwise,
    moving,
    pooling,
    resizing,
)

if TYPE_CHECKING:
    from segport.conversion.litert.step import Step


@dataclass(frozen=True)
class Operator:
    """`write` adds it to the file.

    `int8` says that LiteRT's kernel takes int8, `fuses` that an activation can be part of it.
    The first `data` inputs carry activations or weights, all of them where it is None.
    """

    write: "Callable[[Step], None]"
    int8: bool = True
    fuses: bool = False
    data: int | None = 1


OPERATORS: dict[str, Operator] = {
    "Conv": Operator(convolution.conv, fuses=True, data=2),
    "ConvTranspose": Operator(convolution.conv_transpose, int8=False),
    "Gemm": Operator(convolution.gemm, fuses=True, data=2),
    "MatMul": Operator(convolution.matmul, data=2),
    "Add": Operator(elementwise.binary, fuses=True, data=None),
    "Sub": Operator(elementwise.binary, fuses=True, data=None),
    "Mul": Operator(elementwise.binary, fuses=True, data=None),
    "Div": Operator(elementwise.binary, int8=False, fuses=True),
    "Max": Operator(elementwise.extreme, int8=False),
    "Min": Operator(elementwise.extreme, int8=False),
    "Relu": Operator(elementwise.unary),
    "Clip": Operator(elementwise.clip, int8=False),
    "LeakyRelu": Operator(elementwise.leaky_relu),
    "PRelu": Operator(elementwise.prelu, data=2),
    "Elu": Operator(elementwise.unary, int8=False),
    "Gelu": Operator(elementwise.unary, int8=False),
    "HardSwish": Operator(elementwise.unary, int8=False),
    "HardSigmoid": Operator(elementwise.hard_sigmoid, int8=False),
    "Sigmoid": Operator(elementwise.sigmoid),
    "Softmax": Operator(elementwise.softmax),
    "Tanh": Operator(elementwise.unary, int8=False),
    "Exp": Operator(elementwise.unary, int8=False),
    "Sqrt": Operator(elementwise.unary, int8=False),
    "Abs": Operator(elementwise.unary, int8=False),
    "Neg": Operator(elementwise.unary, int8=False),
    "Floor": Operator(elementwise.unary, int8=False),
    "BatchNormalization": Operator(elementwise.batch_norm, int8=False, fuses=True),
    "Cast": Operator(elementwise.cast, int8=False),
    "AveragePool": Operator(pooling.average_pool),
    "MaxPool": Operator(pooling.max_pool),
    "GlobalAveragePool": Operator(pooling.global_average),
    "GlobalMaxPool": Operator(pooling.global_max, int8=False),
    "ReduceMean": Operator(pooling.reduce),
    "ReduceSum": Operator(pooling.reduce, int8=False),
    "ReduceMax": Operator(pooling.reduce, int8=False),
    "ArgMax": Operator(pooling.arg_max, int8=False),
    "Resize": Operator(resizing.resize),
    "Concat": Operator(moving.concat, data=None),
    "Split": Operator(moving.split),
    "Slice": Operator(moving.slice_),
    "Pad": Operator(moving.pad),
    "Reshape": Operator(moving.reshape),
    "Flatten": Operator(moving.reshape),
    "Squeeze": Operator(moving.reshape),
    "Unsqueeze": Operator(moving.reshape),
    "Transpose": Operator(moving.transpose),
    "DepthToSpace": Operator(moving.depth_to_space),
    "SpaceToDepth": Operator(moving.space_to_depth),
    "Gather": Operator(moving.gather),
    "Identity": Operator(moving.identity, int8=False),
}
