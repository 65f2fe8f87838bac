"""Rewrite: a dilated convolution does not multiply its padding.

An ASPP convolves 33 x 33 pixels with taps up to 18 pixels apart: most taps of most pixels lie in
the padding, where onnxruntime multiplies zeros. Which taps count is the same for all pixels of a
block; each block gets a convolution of its own with these taps alone, without padding. Their
weights are cut out of the one in the file when it is loaded.
"""

from itertools import groupby
from typing import NamedTuple

import numpy as np
from onnx import ModelProto

from quantize.lossless.layers import IntegerConv, IntegerWriter, quantized_layers

SAVED = 0.3
"""Share of a layer's MACs that must be saved, or pieces cost more than they bring."""

MACS = 5e8
"""Smaller layers are not worth it. Of DeepLabV3 at 513 the two convolutions of dilation 12 and 18
are rewritten: ResNet50 (5 GMACs each) gains 3 of 75 ms, MobileNet (0.8 each) 0.4 of 11.4."""


class Block(NamedTuple):
    """Output pixels `start` to `end` of an axis; taps `first` to `last` of the kernel count.

    None where the two are the same: all taps lie in the padding.
    """

    start: int
    end: int
    first: int
    last: int


def skip_padding(model: ModelProto) -> list[str]:
    """Rewrite such convolutions in place; return their names."""
    layers = [layer for layer in quantized_layers(model) if _suits(layer)]
    for layer in layers:
        _split(model, layer)
    return [layer.conv.name for layer in layers]


def blocks(pixels: int, kernel: int, dilation: int, before: int, after: int) -> list[Block]:
    """Cut the output pixels of an axis (stride 1) where the set of taps inside it changes."""
    made = range(pixels + before + after - dilation * (kernel - 1))
    taps = [
        tuple(k for k in range(kernel) if 0 <= pixel - before + k * dilation < pixels)
        for pixel in made
    ]
    runs = [(inside, list(run)) for inside, run in groupby(made, key=lambda pixel: taps[pixel])]
    ends = [(inside[0], inside[-1] + 1) if inside else (0, 0) for inside, _ in runs]
    return [Block(run[0], run[-1] + 1, *end) for (_, run), end in zip(runs, ends, strict=True)]


def _axes(layer: IntegerConv) -> tuple[list[Block], list[Block]]:
    (tall, wide), (down, across) = layer.weight.shape[2:], layer.dilations
    top, left, bottom, right = layer.pads
    return (
        blocks(layer.shape[2], tall, down, top, bottom),
        blocks(layer.shape[3], wide, across, left, right),
    )


def _suits(layer: IntegerConv) -> bool:
    rows, columns = layer.result[2:]
    macs = layer.weight.size * rows * columns * layer.shape[0]
    if macs < MACS or layer.strides != (1, 1) or layer.groups != 1:
        return False
    (tall, wide), (down, across) = layer.weight.shape[2:], layer.dilations
    if (
        max(layer.pads[::2]) > down * (tall - 1) / 2
        or max(layer.pads[1::2]) > across * (wide - 1) / 2
    ):
        return False  # the centre of the kernel may lie outside
    axes = _axes(layer)
    if any(block.first == block.last for axis in axes for block in axis):
        return False  # a kernel of even size has no centre: some pixel sees the padding alone
    taken = [sum((b.end - b.start) * (b.last - b.first) for b in axis) for axis in axes]
    return bool(taken[0] * taken[1] <= (1 - SAVED) * rows * columns * tall * wide)


def _split(model: ModelProto, layer: IntegerConv) -> None:
    rows, columns = _axes(layer)
    write = IntegerWriter(model, layer)
    strips = []
    for row in rows:
        parts = [_block(write, layer, row, column) for column in columns]
        strips.append(write.move(layer.after, "Concat", parts, axis=3) if parts[1:] else parts[0])
    write.move(layer.after, "Concat", strips, axis=2)
    write.replace()


def _block(write: IntegerWriter, layer: IntegerConv, *block: Block) -> str:
    """Convolve the pixels that a block of rows and columns needs with its taps."""
    tensor, bounds = layer.data.tensor, []
    for axis, part in enumerate(block):
        dilation, pad = layer.dilations[axis], layer.pads[axis]
        first = part.start - pad + part.first * dilation
        last = part.end - pad + (part.last - 1) * dilation
        bounds.append((first, last, 2 + axis))
    cut = [b for b in bounds if b[:2] != (0, layer.shape[b[2]])]
    if cut:
        ends = [write.constant(np.array(values)) for values in zip(*cut, strict=True)]
        tensor = write.move(layer.data, "Slice", [tensor], *ends)
    taps = [[part.first for part in block], [part.last for part in block], [2, 3]]
    ends = [write.constant(np.array(values)) for values in taps]
    weight = write.add("Slice", [layer.weight_grid.tensor, *ends])
    kernel = [part.last - part.first for part in block]
    return write.conv(tensor, weight, kernel, dilations=list(layer.dilations))
