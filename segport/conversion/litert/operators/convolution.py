"""Convolutions and products with constant weights."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segport.conversion.litert.flatbuffer import Tensor, options
from segport.conversion.litert.grid import Grid
from segport.conversion.litert.operators.padding import padded, window_of
from segport.conversion.litert.refusal import Unsupported

if TYPE_CHECKING:
    from segport.conversion.litert.step import Step, Weight

_INT32 = np.iinfo(np.int32)


def conv(step: "Step") -> None:
    """Conv: CONV_2D, or DEPTHWISE_CONV_2D where each input channel has filters of its own."""
    weight = step.weight(1)
    window = window_of(step, weight.values.shape[2:])
    groups = step.attributes.get("group", 1)
    image, padding = padded(step, step.read(), window)
    depthwise = groups == step.shape()[1] and groups > 1
    order = (1, 2, 3, 0) if depthwise else (0, 2, 3, 1)
    filters = _weight(step, weight, weight.values.transpose(order), 3 if depthwise else 0)
    given = {
        "padding": padding,
        "strideH": window.strides[0],
        "strideW": window.strides[1],
        "dilationHFactor": window.dilations[0],
        "dilationWFactor": window.dilations[1],
        "fusedActivationFunction": step.layer.activation,
    }
    read = [image, filters, _bias(step, image, weight, weight.values.shape[0])]
    if depthwise:
        multiplier = weight.values.shape[0] // groups
        made = options("DepthwiseConv2DOptions", depthMultiplier=multiplier, **given)
        step.give(step.make("DEPTHWISE_CONV_2D", read, made))
    else:
        step.give(step.make("CONV_2D", read, options("Conv2DOptions", **given)))


def conv_transpose(step: "Step") -> None:
    """ConvTranspose, of one group and without dilation: TRANSPOSE_CONV without padding, cut."""
    weight = step.weight(1)
    if step.attributes.get("group", 1) != 1 or set(step.attributes.get("dilations", [1])) != {1}:
        raise Unsupported("groups or dilation")
    if step.attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise Unsupported("auto_pad")
    strides = step.attributes.get("strides", [1, 1])
    n, channels, *sides = step.result_shape()
    kernel = weight.values.shape[2:]
    whole = [
        (size - 1) * stride + side
        for size, stride, side in zip(step.shape()[2:], strides, kernel, strict=True)
    ]
    before = step.attributes.get("pads", [0, 0, 0, 0])[:2]
    if any(start + size > full for start, size, full in zip(before, sides, whole, strict=True)):
        raise Unsupported("output_padding")
    shape = (n, *whole, channels)
    image = step.read()
    given = options(
        "TransposeConvOptions", padding="Padding.VALID", strideH=strides[0], strideW=strides[1]
    )
    filters = step.constant(weight.values.transpose(1, 2, 3, 0))
    read = [step.indices(shape), filters, image, _bias(step, image, weight, channels)]
    made = step.make("TRANSPOSE_CONV", read, given, shape=shape)
    if whole != list(sides):
        begin, size = step.indices((0, *before, 0)), step.indices((n, *sides, channels))
        made = step.make("SLICE", [made, begin, size], options("SliceOptions"))
    step.give(made)


def gemm(step: "Step") -> None:
    """Gemm with a constant second factor: FULLY_CONNECTED."""
    given = step.attributes
    if given.get("transA", 0) or given.get("alpha", 1.0) != 1 or given.get("beta", 1.0) != 1:
        raise Unsupported("transA, alpha or beta")
    transposed = given.get("transB", 0)
    weight = step.weight(1, 0 if transposed else 1)
    values = weight.values if transposed else weight.values.T
    _fully_connected(step, step.read(), weight, values)


def matmul(step: "Step") -> None:
    """MatMul: FULLY_CONNECTED with a constant matrix, else BATCH_MATMUL."""
    if step.is_constant(1) and len(step.shape(1)) == 2:
        weight = step.weight(1, 1)
        _fully_connected(step, step.natural(step.read()), weight, weight.values.T)
        return
    rank = len(step.result_shape())
    factors = [step.natural(step.read(index, rank)) for index in range(2)]
    given = options("BatchMatMulOptions", adjX=False, adjY=False)
    step.give(step.stored(step.make("BATCH_MATMUL", factors, given, shape=step.result_shape())))


def _fully_connected(
    step: "Step", read: Tensor, weight: "Weight", values: NDArray[np.generic]
) -> None:
    given = options(
        "FullyConnectedOptions",
        fusedActivationFunction=step.layer.activation,
        keepNumDims=len(read.shape) > 2,
    )
    inputs = [read, _weight(step, weight, values, 0), _bias(step, read, weight, values.shape[0])]
    made = step.make("FULLY_CONNECTED", inputs, given, shape=step.result_shape())
    step.give(step.stored(made))


def _weight(step: "Step", weight: "Weight", values: NDArray[np.generic], axis: int) -> Tensor:
    """Add a weight in the order of axes that LiteRT reads; its scales lie along `axis`."""
    if weight.scales is None:
        return step.constant(values)
    scales = tuple(float(scale) for scale in weight.scales)
    return step.constant(values, Grid(scales, (0,) * len(scales), axis))


def _bias(step: "Step", read: Tensor, weight: "Weight", channels: int) -> Tensor:
    """Add the bias, zeros where there is none; in int8 as int32 with the accumulator's scale."""
    bias = step.value(2).reshape(-1) if step.has(2) else np.zeros(1, np.float32)
    bias = np.broadcast_to(bias, channels).astype(np.float32)
    if weight.scales is None or read.grid is None:
        return step.constant(bias)
    scales = weight.scales * read.grid.scales[0]
    integers = np.rint(bias / scales).clip(_INT32.min, _INT32.max).astype(np.int32)
    return step.constant(integers, Grid(tuple(map(float, scales)), (0,) * scales.size))
