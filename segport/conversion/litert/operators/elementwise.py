"""Sums, products, activations: what is computed number by number."""

from typing import TYPE_CHECKING

import numpy as np

from export.onnx_graph.batch_norm import epsilon_of, factor_and_summand
from segport.conversion.litert.flatbuffer import Tensor, options
from segport.conversion.litert.grid import Grid
from segport.conversion.litert.layout import stored_operand
from segport.conversion.litert.refusal import Unsupported

if TYPE_CHECKING:
    from segport.conversion.litert.step import Step

_BINARY = {
    "Add": ("ADD", "AddOptions"),
    "Sub": ("SUB", "SubOptions"),
    "Mul": ("MUL", "MulOptions"),
    "Div": ("DIV", "DivOptions"),
}
_EXTREMES = {"Max": "MAXIMUM", "Min": "MINIMUM"}
_UNARY = {
    "Relu": "RELU", "Tanh": "TANH", "Exp": "EXP", "Sqrt": "SQRT", "Elu": "ELU", "Abs": "ABS",
    "HardSwish": "HARD_SWISH", "Gelu": "GELU", "Neg": "NEG", "Floor": "FLOOR",
}  # fmt: skip
_CLIPS = {(0.0, np.inf): "RELU", (0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1"}
_PROBABILITY = Grid((1 / 256,), (-128,))
"""The only grid on which LiteRT gives probabilities."""


def binary(step: "Step") -> None:
    """Add, Sub, Mul and Div, with a Relu or Relu6 behind."""
    code, table = _BINARY[step.node.op_type]
    given = options(table, fusedActivationFunction=step.layer.activation)
    step.give(step.make(code, step.read_all(), given))


def extreme(step: "Step") -> None:
    """Max and Min of two or more."""
    first, *others = step.read_all()
    for other in others:
        first = _extreme(step, _EXTREMES[step.node.op_type], first, other)
    step.give(first)


def unary(step: "Step") -> None:
    """What needs no attributes."""
    if step.attributes.get("alpha", 1.0) != 1:
        raise Unsupported(f"alpha {step.attributes['alpha']:g}, LiteRT has 1")
    tanh_like = step.attributes.get("approximate", b"none") == b"tanh"
    given = options("GeluOptions", approximate=tanh_like) if step.node.op_type == "Gelu" else None
    step.give(step.make(_UNARY[step.node.op_type], [step.read()], given))


def clip(step: "Step") -> None:
    """Clip: one of the RELUs, else MAXIMUM and MINIMUM."""
    low = float(step.value(1).reshape(())) if step.has(1) else -np.inf
    high = float(step.value(2).reshape(())) if step.has(2) else np.inf
    image = step.read()
    if (low, high) in _CLIPS:
        step.give(step.make(_CLIPS[low, high], [image]))
        return
    if low > -np.inf:
        image = _extreme(step, "MAXIMUM", image, step.constant(np.array(low, np.float32)))
    if high < np.inf:
        image = _extreme(step, "MINIMUM", image, step.constant(np.array(high, np.float32)))
    step.give(image)


def leaky_relu(step: "Step") -> None:
    """LeakyRelu."""
    given = options("LeakyReluOptions", alpha=step.attributes.get("alpha", 0.01))
    step.give(step.make("LEAKY_RELU", [step.read()], given))


def prelu(step: "Step") -> None:
    """PRelu; the slope has an entry for each place of an image, but for the batch."""
    image, slope = step.read(), step.read(1)
    shape = (1,) * (len(image.shape) - 1 - len(slope.shape)) + slope.shape
    step.give(step.make("PRELU", [image, step.reshape(slope, shape)]))


def sigmoid(step: "Step") -> None:
    """Sigmoid: LOGISTIC."""
    grid = _PROBABILITY if step.layer.int8 else None
    step.give(step.make("LOGISTIC", [step.read()], grid=grid))


def softmax(step: "Step") -> None:
    """Softmax along the axis that is stored last: that of an image's channels."""
    rank, axis = len(step.shape()), step.attributes.get("axis", -1)
    if axis % rank != (1 if rank == 4 else rank - 1):
        raise Unsupported(f"axis {axis}; of an image's only that of channels, 1")
    grid = _PROBABILITY if step.layer.int8 else None
    step.give(step.make("SOFTMAX", [step.read()], options("SoftmaxOptions", beta=1.0), grid=grid))


def hard_sigmoid(step: "Step") -> None:
    """HardSigmoid: a product, a sum, and its part between 0 and 1."""
    image = step.read()
    alpha, beta = step.attributes.get("alpha", 0.2), step.attributes.get("beta", 0.5)
    slope, offset = (step.constant(np.array(value, np.float32)) for value in (alpha, beta))
    none = "ActivationFunctionType.NONE"
    scaled = step.make("MUL", [image, slope], options("MulOptions", fusedActivationFunction=none))
    moved = step.make("ADD", [scaled, offset], options("AddOptions", fusedActivationFunction=none))
    low, high = (step.constant(np.array(bound, np.float32)) for bound in (0, 1))
    step.give(_extreme(step, "MINIMUM", _extreme(step, "MAXIMUM", moved, low), high))


def batch_norm(step: "Step") -> None:
    """BatchNormalization with constant statistics: a product and a sum."""
    scale, offset, mean, variance = (step.value(index).astype(np.float64) for index in range(1, 5))
    epsilon = epsilon_of(step.attributes)
    factor, summand = factor_and_summand(scale, offset, mean, variance, epsilon)
    shape = (-1, *(1 for _ in step.shape()[2:]))
    rank = len(step.shape())
    terms = [
        step.constant(stored_operand(term.astype(np.float32).reshape(shape), rank))
        for term in (factor, summand)
    ]
    none = "ActivationFunctionType.NONE"
    scaled = step.make(
        "MUL", [step.read(), terms[0]], options("MulOptions", fusedActivationFunction=none)
    )
    given = options("AddOptions", fusedActivationFunction=step.layer.activation)
    step.give(step.make("ADD", [scaled, terms[1]], given))


def cast(step: "Step") -> None:
    """Cast between the number types that LiteRT has."""
    kinds = {1: "float32", 3: "int8", 2: "uint8", 6: "int32", 7: "int64", 9: "bool"}
    wanted = kinds.get(step.attributes["to"])
    if wanted is None:
        raise Unsupported(f"type {step.attributes['to']} of ONNX")
    step.give(step.make("CAST", [step.read()], options("CastOptions"), dtype=wanted))


def _extreme(step: "Step", code: str, one: Tensor, other: Tensor) -> Tensor:
    return step.make(code, [one, other], options("MaximumMinimumOptions"))
