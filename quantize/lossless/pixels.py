"""Rewrite: a convolution of few channels takes several pixels at once.

The first convolution of a network reads three channels. onnxruntime gathers its inputs three
bytes at a time, which takes longer than multiplying them: 1.4 ms for the 57 MMACs of a MobileNet
at 513, as many as a layer of 1000 MMACs takes. Neighbouring pixels of a row lie one behind the
other in memory, so a row of w pixels with c channels is also one of w / n pixels with n * c
channels. A kernel that is zero where a pixel does not count then makes several neighbouring
results at once, as channels, from fewer and longer pieces.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from quantize.lossless.layers import IntegerConv, IntegerWriter, quantized_layers

CHANNELS = 4
"""More channels than these are pieces long enough."""

AT_ONCE = 2
"""Results at once. 1, 2, 4 and 8 take 15.8, 14.2, 14.4 and 14.9 ms for all of
DeepLabV3-MobileNet, which takes 15.4 as it is; for DeepLabV3-ResNet50 1, 2 and 4 take 76.2, 74.8
and 75.3 of 76.8."""


def merge_pixels(model: ModelProto) -> list[str]:
    """Rewrite such convolutions in place; return their names."""
    layers = [layer for layer in quantized_layers(model) if _suits(layer)]
    for layer in layers:
        _merge(model, layer)
    return [layer.conv.name for layer in layers]


def _suits(layer: IntegerConv) -> bool:
    few = layer.shape[1] <= CHANNELS and layer.groups == 1 and layer.dilations == (1, 1)
    return few and layer.weight.shape[3] > 1


def _merge(model: ModelProto, layer: IntegerConv) -> None:
    (n, channels, height, _), (_, rows, out_height, out_width) = layer.shape, layer.result
    top, left, bottom, _ = layer.pads
    weight = merged(layer.weight, layer.strides[1])
    group, taps = layer.strides[1] * AT_ONCE, weight.shape[3]
    steps = -(-out_width // AT_ONCE)
    width = (steps + taps - 1) * group
    right = width - left - layer.shape[3]

    write = IntegerWriter(model, layer)
    tensor = layer.data.tensor
    if right < 0:
        end = [write.constant(np.array([value])) for value in (0, width - left, 3)]
        tensor = write.move(layer.data, "Slice", [tensor], *end)
    # not Pad, which onnxruntime computes in float
    sides = [_zeros(write, layer, columns) for columns in (left, max(right, 0))]
    if any(sides):
        parts = [part for part in (sides[0], tensor, sides[1]) if part]
        tensor = write.move(layer.data, "Concat", parts, axis=3)
    tensor = write.move(layer.data, "Transpose", [tensor], perm=[0, 2, 3, 1])
    shape = [n, height, width // group, group * channels]
    tensor = write.move(layer.data, "Reshape", [tensor], write.constant(np.array(shape)))
    tensor = write.move(layer.data, "Transpose", [tensor], perm=[0, 3, 1, 2])
    tensor = write.conv(
        tensor, weight, weight.shape[2:], strides=[layer.strides[0], 1], pads=[top, 0, bottom, 0]
    )
    tensor = write.move(layer.after, "Transpose", [tensor], perm=[0, 2, 3, 1])
    shape = [n, out_height, steps * AT_ONCE, rows]
    tensor = write.move(layer.after, "Reshape", [tensor], write.constant(np.array(shape)))
    if steps * AT_ONCE > out_width:
        end = [write.constant(np.array([value])) for value in (0, out_width, 2)]
        tensor = write.move(layer.after, "Slice", [tensor], *end)
    write.move(layer.after, "Transpose", [tensor], perm=[0, 3, 1, 2])
    write.replace()


def _zeros(write: IntegerWriter, layer: IntegerConv, columns: int) -> str | None:
    zero = layer.data.zero_point
    shape = (*layer.shape[:3], columns)
    return write.constant(np.full(shape, zero[0], zero.dtype)) if columns else None


def merged(weight: NDArray[np.integer], stride: int) -> NDArray[np.integer]:
    """Return the weight (AT_ONCE * rows, group * channels, kernel h, taps) of several results.

    `group` is the pixels that AT_ONCE results advance by, `taps` the groups they need.
    """
    rows, channels, tall, wide = weight.shape
    group = stride * AT_ONCE
    taps = -(-(group - stride + wide) // group)
    spread = np.zeros((AT_ONCE, rows, group, taps, channels, tall), weight.dtype)
    for result in range(AT_ONCE):
        for tap in range(wide):
            at, pixel = divmod(stride * result + tap, group)
            spread[result, :, pixel, at] = weight[..., tap]
    spread = spread.transpose(0, 1, 2, 4, 5, 3)
    return spread.reshape(AT_ONCE * rows, group * channels, tall, taps)


def separated(weight: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    """Return the weight of `shape` from which `merged` made `weight`; `weight` if it did not."""
    rows, channels, _, wide = shape
    if weight.ndim != 4 or weight.shape[0] != AT_ONCE * rows or weight.shape[1] % channels:
        return weight
    group = weight.shape[1] // channels
    spread = weight[:rows].reshape(rows, group, channels, -1, weight.shape[3])
    taps = [spread[:, tap % group, :, :, tap // group] for tap in range(wide)]
    return np.stack(taps, axis=-1)
