"""Rewrite: a convolution of many small groups takes several groups at once.

onnxruntime computes a grouped int8 convolution as one product per group. With few channels in each
the products are too small for its kernels: 50 to 10 channels in 10 groups, 3 x 3 at 192 x 192,
takes 9.5 ms, and 2.5 as one group whose other weights are zero. Depthwise convolutions have a
kernel of their own.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from quantize.lossless.layers import IntegerConv, IntegerWriter, quantized_layers

CHANNELS = 32
"""Groups are merged until they have so many inputs and outputs. 128 channels in 32 groups, 3 x 3
at 64 x 64: 3.4, 1.9, 1.2, 0.87, 1.05, 0.91 ms with 4, 8, 16, 32, 64, 128 channels in each;
1024 in 32 at 16 x 16: 0.37, 0.67 and 4.4 ms with 32, 64 and 1024."""


def merge_groups(model: ModelProto) -> list[str]:
    """Rewrite such convolutions in place; return their names."""
    mergeable = [(layer, _times(layer)) for layer in quantized_layers(model)]
    wanted = [(layer, count) for layer, count in mergeable if count > 1]
    for layer, count in wanted:
        write = IntegerWriter(model, layer)
        write.conv(
            layer.data.tensor,
            joined(layer.weight, layer.groups, count),
            layer.weight.shape[2:],
            strides=layer.strides,
            dilations=layer.dilations,
            pads=layer.pads,
            group=layer.groups // count,
        )
        write.replace()
    return [layer.conv.name for layer, _ in wanted]


def merged_groups(rows: int, inputs: int, groups: int) -> int:
    """Return how many neighbouring groups, of `rows` outputs and `inputs` each, become one."""
    if rows == inputs == 1:  # depthwise
        return 1
    counts = [count for count in range(1, groups + 1) if groups % count == 0]
    enough = (count for count in counts if min(rows, inputs) * count >= CHANNELS)
    return next(enough, groups)


def _times(layer: IntegerConv) -> int:
    rows = len(layer.weight) // layer.groups
    return merged_groups(rows, layer.weight.shape[1], layer.groups)


def joined(weight: NDArray[np.integer], groups: int, count: int) -> NDArray[np.integer]:
    """Return the weight (rows, channels / groups * count, kernel) of `count` groups in one."""
    rows, inputs = len(weight) // groups, weight.shape[1]
    made = np.zeros((len(weight), inputs * count, *weight.shape[2:]), weight.dtype)
    for group in range(groups):
        out = slice(group * rows, (group + 1) * rows)
        first = group % count * inputs
        made[out, first : first + inputs] = weight[out]
    return made


def parted(weight: NDArray[Any], inputs: int, groups: int) -> NDArray[Any]:
    """Return the weight of `groups` groups of `inputs` channels from which `joined` made `weight`.

    `weight` itself if it did not.
    """
    if weight.ndim != 4 or weight.shape[1] == inputs or weight.shape[1] % inputs:
        return weight
    rows, count = len(weight) // groups, weight.shape[1] // inputs
    at = np.arange(len(weight)) // rows % count
    spread = weight.reshape(len(weight), count, inputs, *weight.shape[2:])
    selected: NDArray[Any] = spread[np.arange(len(weight)), at]
    return selected
