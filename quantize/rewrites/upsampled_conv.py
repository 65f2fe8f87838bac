"""Rewrite: a convolution behind a bilinear Resize works on the small image before it.

DeepLabV3+ enlarges the result of its ASPP four times, joins it with low-level features and
convolves both: 11.5 of DeepLabV3+-MobileNet's 16.8 GMACs at 513, most of which multiply pixels
that have just been interpolated. Convolution and interpolation are both linear, so they may
change places: a 1x1 convolution multiplies the small image with every tap of the kernel, then
for each axis one product with a fixed matrix interpolates, shifts and adds what the taps gave.
The other channels of the Concat get a convolution of their own. In int8 that rounds once more,
but each tap has scales of its own: agreement with fp32 rises.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, numpy_helper

from export.onnx_graph.graph import attribute, attributes, consumers, dims, initializers
from export.onnx_graph.resize import mode, shares, size
from quantize.rewrites.change import Rewritten, Seen
from quantize.rewrites.writer import Writer

AT_LEAST = 4
"""Pixels that the Resize makes of one: with fewer, more values are interpolated than saved."""

BANDS = 4
"""Parts into which an enlarged axis is split: a pixel is made of few samples, a product with all
would do four times the work. With 1, 2, 4, 8 and 16 bands the product that makes the 128 rows of
DeepLabV3+ at 513 takes 2.5, 2.2, 1.8, 1.8 and 2.1 ms."""


@dataclass(frozen=True)
class UpsampledConv:
    """A `conv` of the output of `resize`, to which `concat` may join `others`.

    Of the convolution's input channels those of the Resize are `first` and following.
    `source` (N, channels, h, w) is what the Resize reads, `pixels` what it makes of h and w.
    """

    conv: NodeProto
    concat: NodeProto | None
    resize: NodeProto
    others: tuple[str, ...]
    first: int
    source: tuple[int, int, int, int]
    pixels: tuple[int, int]
    mode: str


def convolve_before_resize(model: ModelProto, seen: Seen) -> Rewritten:
    """Apply the rewrite wherever it saves MACs; `seen` is not needed."""
    changed = ModelProto()
    changed.CopyFrom(model)
    places = find_places(changed)
    for place in places:
        _replace(changed.graph, place)
    names = ", ".join(place.conv.name for place in places)
    return Rewritten(changed, f"{len(places)} convolutions before a Resize{names and ': ' + names}")


def find_places(model: ModelProto) -> list[UpsampledConv]:
    """Return the plain convolutions that alone read what a linear Resize enlarges."""
    graph = model.graph
    shapes = {value.name: dims(value) for value in [*graph.input, *graph.value_info]}
    makers = {name: node for node in graph.node for name in node.output}
    readers, constants = consumers(graph), initializers(graph)
    outputs = {value.name for value in graph.output}

    def alone(tensor: str, operator: str) -> NodeProto | None:
        maker = makers.get(tensor)
        if maker is None or maker.op_type != operator or tensor in outputs:
            return None
        return maker if len(readers[tensor]) == 1 else None

    def place(conv: NodeProto) -> UpsampledConv | None:
        concat = alone(conv.input[0], "Concat")
        joined = list(concat.input) if concat else [conv.input[0]]
        if concat is not None and attribute(concat, "axis") != 1:
            return None
        for index, tensor in enumerate(joined):
            resize = alone(tensor, "Resize")
            before = [shapes.get(name, ()) for name in joined[:index]]
            if resize is None or not all(len(shape) == 4 and shape[1] for shape in before):
                continue
            source = shapes.get(resize.input[0], ())
            pixels, kind = size(model, resize, source), mode(resize)
            if pixels is None or kind is None:
                continue
            n, channels, h, w = (d or 0 for d in source)
            first = sum(shape[1] or 0 for shape in before)
            others = (*joined[:index], *joined[index + 1 :])
            if min(h, w) > 1 and pixels[0] * pixels[1] >= AT_LEAST * h * w:
                return UpsampledConv(
                    conv, concat, resize, others, first, (n, channels, h, w), pixels, kind
                )
        return None

    plain = [
        node
        for node in graph.node
        if node.op_type == "Conv"
        and node.input[1] in constants
        and _plain(node, constants[node.input[1]].dims)
    ]
    return [match for conv in plain if (match := place(conv)) is not None]


def interpolation(samples: int, pixels: int, kernel: int, mode: str) -> NDArray[np.float32]:
    """Return the matrix (pixels, samples * kernel) that adds up what the taps of a kernel give.

    Pixel p takes, of tap k, what the samples give at p + k - padding, and nothing from beyond
    the border, as zero padding does.
    """
    weights = np.zeros((pixels, samples, kernel))
    whole = shares(samples, pixels, mode)
    for k in range(kernel):
        shift = k - kernel // 2
        here = np.arange(max(0, -shift), min(pixels, pixels - shift))
        weights[here, :, k] = whole[here + shift]
    return weights.reshape(pixels, -1).astype(np.float32)


def _plain(conv: NodeProto, weight: Sequence[int]) -> bool:
    given = attributes(conv)
    kernel, pads = weight[2:], given.get("pads", [0, 0, 0, 0])  # kernel_shape may be left out
    return (
        given.get("group", 1) == 1
        and len(kernel) == 2
        and list(given.get("strides", [1, 1])) == [1, 1]
        and list(given.get("dilations", [1, 1])) == [1, 1]
        and given.get("auto_pad", b"NOTSET") == b"NOTSET"
        and all(2 * pad == side - 1 for pad, side in zip(pads, [*kernel, *kernel], strict=True))
    )


def _replace(graph: GraphProto, place: UpsampledConv) -> None:
    """Put the new nodes where the convolution was."""
    conv, constants = place.conv, initializers(graph)
    write = Writer(graph, conv)
    weight = numpy_helper.to_array(constants[conv.input[1]])
    last = place.first + place.source[1]
    enlarged = _enlarged(write, place, weight[:, place.first : last])
    if place.others:
        rest = np.concatenate([weight[:, : place.first], weight[:, last:]], axis=1)
        write.add("Add", [_others(write, place, rest), enlarged])
    elif len(conv.input) > 2:
        bias = numpy_helper.to_array(constants[conv.input[2]])
        write.add("Add", [enlarged, write.constant(bias.reshape(1, -1, 1, 1))])
    write.replace(*filter(None, [place.resize, place.concat]))


def _others(write: Writer, place: UpsampledConv, weight: NDArray[np.float32]) -> str:
    others = list(place.others)
    tensor = others[0] if len(others) == 1 else write.add("Concat", others, axis=1)
    inputs = [tensor, write.constant(weight), *place.conv.input[2:]]
    return write.add("Conv", inputs, **attributes(place.conv))


def _enlarged(write: Writer, place: UpsampledConv, weight: NDArray[np.float32]) -> str:
    """Multiply with every tap on the small image, then interpolate and add, axis by axis."""
    (n, channels, h, w), (height, width) = place.source, place.pixels
    out, _, tall, wide = weight.shape
    taps = weight.transpose(3, 2, 0, 1).reshape(wide * tall * out, channels, 1, 1)
    tensor = place.resize.input[0]
    tensor = write.add("Conv", [tensor, write.constant(taps)], kernel_shape=[1, 1])
    tensor = write.add("Transpose", [tensor], perm=[0, 2, 3, 1])
    tensor = write.shaped(tensor, [n, h, w * wide, tall * out])
    tensor = _product(write, interpolation(w, width, wide, place.mode), tensor, axis=2)
    tensor = write.shaped(tensor, [n, h, width, tall, out])
    tensor = write.add("Transpose", [tensor], perm=[0, 1, 3, 2, 4])
    tensor = write.shaped(tensor, [n, h * tall, width * out])
    tensor = _product(write, interpolation(h, height, tall, place.mode), tensor, axis=1)
    tensor = write.shaped(tensor, [n, height, width, out])
    return write.add("Transpose", [tensor], perm=[0, 3, 1, 2])


def _product(write: Writer, matrix: NDArray[np.float32], tensor: str, axis: int) -> str:
    """Multiply along `axis`, band by band, each with what has a share in it."""
    parts = []
    for rows in np.array_split(matrix, BANDS):
        (used,) = np.nonzero(rows.any(axis=0))
        bounds = [write.constant(np.array([end])) for end in (used[0], used[-1] + 1, axis)]
        part = write.add("Slice", [tensor, *bounds])
        share = write.constant(rows[:, used[0] : used[-1] + 1])
        parts.append(write.add("MatMul", [share, part]))
    return write.add("Concat", parts, axis=axis)
