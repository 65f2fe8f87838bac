"""Poolings and means."""

from typing import TYPE_CHECKING

import numpy as np

from segport.conversion.litert.flatbuffer import Tensor, options
from segport.conversion.litert.layout import stored, stored_axis
from segport.conversion.litert.operators.padding import VALID, Window, padded, surrounded, window_of
from segport.conversion.litert.refusal import Unsupported

if TYPE_CHECKING:
    from segport.conversion.litert.step import Step

_MEANS = {"ReduceMean": "MEAN", "ReduceSum": "SUM", "ReduceMax": "REDUCE_MAX"}


def average_pool(step: "Step") -> None:
    """AveragePool: AVERAGE_POOL_2D, which does not count what SAME adds; where ONNX does, PAD."""
    window = window_of(step, step.attributes["kernel_shape"])
    counted = bool(step.attributes.get("count_include_pad", 0))
    if step.attributes.get("dilations", [1, 1]) != [1, 1]:
        raise Unsupported("dilation")
    padding = window.padding(step.shape()[2:], step.result_shape()[2:])
    image = step.read()
    declared = step.attributes.get("pads", [0] * 4)[2:]
    if counted and any(a > b for a, b in zip(window.after, declared, strict=True)):
        raise Unsupported("ceil_mode beyond what is padded")
    if counted and padding != VALID:
        image, padding = surrounded(step, image, window), VALID
    if padding is None:
        raise Unsupported("padding that is not counted, other than SAME")
    step.give(_pool(step, "AVERAGE_POOL_2D", image, window, padding))


def max_pool(step: "Step") -> None:
    """MaxPool: MAX_POOL_2D; padding other than SAME by the lowest number."""
    window = window_of(step, step.attributes["kernel_shape"])
    if step.attributes.get("dilations", [1, 1]) != [1, 1] or len(step.node.output) > 1:
        raise Unsupported("dilation, or indices as a second result")
    lowest = np.iinfo(np.int8).min if step.layer.int8 else float(np.finfo(np.float32).min)
    image, padding = padded(step, step.read(), window, lowest)
    step.give(_pool(step, "MAX_POOL_2D", image, window, padding))


def reduce(step: "Step") -> None:
    """ReduceMean, ReduceSum and ReduceMax over constant axes."""
    rank = len(step.shape())
    axes = step.value(1).tolist() if step.has(1) else step.attributes.get("axes", range(rank))
    _reduce(step, _MEANS[step.node.op_type], axes, bool(step.attributes.get("keepdims", 1)))


def global_average(step: "Step") -> None:
    """GlobalAveragePool: MEAN over height and width."""
    _reduce(step, "MEAN", range(2, len(step.shape())), True)


def global_max(step: "Step") -> None:
    """GlobalMaxPool: REDUCE_MAX over height and width."""
    _reduce(step, "REDUCE_MAX", range(2, len(step.shape())), True)


def arg_max(step: "Step") -> None:
    """ArgMax: ARG_MAX, of integers where they are there; their order is that of the values."""
    rank, axis = len(step.shape()), step.attributes.get("axis", 0)
    if step.attributes.get("select_last_index", 0):
        raise Unsupported("select_last_index")
    if rank == 4 and axis % 4 != 1:
        raise Unsupported(f"axis {axis}; of an image's only that of channels, 1")
    read = step.integers()
    along = stored_axis(axis, rank)
    shape = tuple(size for index, size in enumerate(read.shape) if index != along)
    made = step.make(
        "ARG_MAX",
        [read, step.indices([along])],
        options("ArgMaxOptions", outputType="TensorType.INT64"),
        shape=shape,
        dtype="int64",
    )
    step.give(step.reshape(made, stored(step.result_shape())))


def _pool(step: "Step", code: str, image: Tensor, window: Window, padding: str) -> Tensor:
    given = options(
        "Pool2DOptions",
        padding=padding,
        filterHeight=window.sides[0],
        filterWidth=window.sides[1],
        strideH=window.strides[0],
        strideW=window.strides[1],
        fusedActivationFunction="ActivationFunctionType.NONE",
    )
    return step.make(code, [image], given, like=image)


def _reduce(step: "Step", code: str, axes: "range | list[int]", keep: bool) -> None:
    rank = len(step.shape())
    image = step.read(0, rank)
    along = sorted(stored_axis(axis, rank) for axis in axes)
    shape = tuple(1 if index in along else size for index, size in enumerate(image.shape))
    made = step.make(
        code, [image, step.indices(along)], options("ReducerOptions", keepDims=True), shape=shape
    )
    if not keep:
        made = step.stored(step.reshape(step.natural(made), step.result_shape()))
    step.give(made)
