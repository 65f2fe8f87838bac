"""Rewrite: a convolution behind a bilinear Resize works on the rows before it.

DeepLabV3+ enlarges the result of its ASPP four times, joins it with low-level features and
convolves both: two thirds of DeepLabV3+-MobileNet's MACs, most of which multiply rows that have
just been interpolated. Convolution and interpolation are both linear, so they may change places:
every kernel row convolves the small rows, and one product with a fixed matrix interpolates,
shifts and adds what they give. Columns are enlarged as before. The other channels of the Concat
get a convolution of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from export.graph import attribute, attributes, consumers, dims, initializers
from export.resize import mode, shares, size
from quantize.rewrites.change import Change, Seen

AT_LEAST = 2
"""Rows that the Resize makes of one: with fewer hardly a MAC is saved."""

BANDS = 4
"""Parts into which the rows of the enlarged image are split: a row is made of few small ones, and
a product with all would be four times as long. With 1, 2, 4, 8 and 16 bands the products of
DeepLabV3+ at 513 take 2.5, 2.2, 1.8, 1.8 and 2.1 ms."""


@dataclass(frozen=True)
class Place:
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


def convolve_before_resize(model: ModelProto, seen: Seen) -> Change:
    """Apply the rewrite wherever it saves MACs; `seen` is not needed."""
    changed = ModelProto()
    changed.CopyFrom(model)
    places = find_places(changed)
    for place in places:
        _Writer(changed.graph, place).replace()
    names = ", ".join(place.conv.name for place in places)
    return Change(changed, f"{len(places)} convolutions before a Resize{names and ': ' + names}")


def find_places(model: ModelProto) -> list[Place]:
    """Return the plain convolutions that alone read what a linear Resize enlarges."""
    graph = model.graph
    shapes = {value.name: dims(value) for value in [*graph.input, *graph.value_info]}
    makers = {name: node for node in graph.node for name in node.output}
    readers, constants = consumers(graph), initializers(graph)
    found = []
    for conv in graph.node:
        if conv.op_type != "Conv" or conv.input[1] not in constants or not _plain(conv):
            continue
        concat = makers.get(conv.input[0])
        if concat is None or concat.op_type != "Concat" or attribute(concat, "axis") != 1:
            concat = None
        elif len(readers[concat.output[0]]) > 1:
            continue
        joined = list(concat.input) if concat else [conv.input[0]]
        for index, tensor in enumerate(joined):
            resize = makers.get(tensor)
            if resize is None or resize.op_type != "Resize" or len(readers[tensor]) > 1:
                continue
            source = shapes.get(resize.input[0], ())
            pixels, kind = size(model, resize, source), mode(resize)
            before = [shapes.get(name, ()) for name in joined[:index]]
            if pixels is None or kind is None or not all(len(s) == 4 and s[1] for s in before):
                continue
            n, channels, h, w = (d or 0 for d in source)
            if h < 2 or pixels[0] < AT_LEAST * h:
                continue
            first = sum(shape[1] or 0 for shape in before)
            others = (*joined[:index], *joined[index + 1 :])
            found.append(
                Place(conv, concat, resize, others, first, (n, channels, h, w), pixels, kind)
            )
            break
    return found


def interpolation(place: Place, kernel_rows: int) -> NDArray[np.float32]:
    """Return the matrix (H, h * kernel rows) that adds up the rows of all kernel rows.

    Pixel row r takes, of kernel row k, what the small rows give at r + k - padding, and nothing
    from rows beyond the border, as zero padding does.
    """
    rows, pad = place.pixels[0], kernel_rows // 2
    weights = np.zeros((rows, place.source[2], kernel_rows))
    whole = shares(place.source[2], rows, place.mode)
    for k in range(kernel_rows):
        shift = k - pad
        here = np.arange(max(0, -shift), min(rows, rows - shift))
        weights[here, :, k] = whole[here + shift]
    return weights.reshape(rows, -1).astype(np.float32)


def _plain(conv: NodeProto) -> bool:
    given = attributes(conv)
    kernel, pads = given.get("kernel_shape", [1, 1]), given.get("pads", [0, 0, 0, 0])
    return (
        given.get("group", 1) == 1
        and len(kernel) == 2
        and list(given.get("strides", [1, 1])) == [1, 1]
        and list(given.get("dilations", [1, 1])) == [1, 1]
        and given.get("auto_pad", b"NOTSET") == b"NOTSET"
        and all(2 * pad == side - 1 for pad, side in zip(pads, [*kernel, *kernel], strict=True))
    )


class _Writer:
    """Puts the new nodes where the convolution was."""

    def __init__(self, graph: GraphProto, place: Place) -> None:
        self.graph, self.place, self.nodes = graph, place, list[NodeProto]()

    def replace(self) -> None:
        place, conv = self.place, self.place.conv
        weight = numpy_helper.to_array(initializers(self.graph)[conv.input[1]])
        last = place.first + place.source[1]
        rows = self._rows(weight[:, place.first : last])
        if place.others:
            rest = np.concatenate([weight[:, : place.first], weight[:, last:]], axis=1)
            rows = self._add("Add", [self._others(rest), rows])
        elif len(conv.input) > 2:
            bias = numpy_helper.to_array(initializers(self.graph)[conv.input[2]])
            rows = self._add("Add", [rows, self._constant("bias", bias.reshape(1, -1, 1, 1))])
        self.nodes[-1].output[0] = conv.output[0]
        kept = list(self.graph.node)
        at = kept.index(conv)
        kept[at : at + 1] = self.nodes
        gone = [place.resize, place.concat]
        del self.graph.node[:]
        self.graph.node.extend(node for node in kept if node not in gone)

    def _others(self, weight: NDArray[np.float32]) -> str:
        conv, others = self.place.conv, list(self.place.others)
        tensor = others[0] if len(others) == 1 else self._add("Concat", others, axis=1)
        inputs = [tensor, self._constant("others", weight), *conv.input[2:]]
        return self._add("Conv", inputs, **attributes(conv))

    def _rows(self, weight: NDArray[np.float32]) -> str:
        """Interpolate columns, convolve with each kernel row, interpolate rows and add up."""
        place = self.place
        (n, channels, h, w), (height, width) = place.source, place.pixels
        out, _, tall, wide = weight.shape
        tensor = self._add("Transpose", [place.resize.input[0]], perm=[0, 2, 3, 1])
        columns = shares(w, width, place.mode).astype(np.float32)
        tensor = self._add("MatMul", [self._constant("columns", columns), tensor])
        tensor = self._add("Transpose", [tensor], perm=[0, 3, 1, 2])
        kernel = weight.transpose(2, 0, 1, 3).reshape(tall * out, channels, 1, wide)
        tensor = self._add(
            "Conv", [tensor, self._constant("kernel_rows", kernel)], kernel_shape=[1, wide],
            pads=[0, wide // 2, 0, wide // 2],
        )  # fmt: skip
        tensor = self._add("Transpose", [tensor], perm=[0, 2, 3, 1])
        tensor = self._shaped(tensor, [n, h, width, tall, out])
        tensor = self._add("Transpose", [tensor], perm=[0, 1, 3, 2, 4])
        tensor = self._shaped(tensor, [n, h * tall, width * out])
        tensor = self._banded(interpolation(place, tall), tensor)
        tensor = self._shaped(tensor, [n, height, width, out])
        return self._add("Transpose", [tensor], perm=[0, 3, 1, 2])

    def _banded(self, matrix: NDArray[np.float32], tensor: str) -> str:
        """Multiply band by band, each with the rows of `tensor` that have a share in it."""
        parts = []
        for band, rows in enumerate(np.array_split(matrix, BANDS)):
            (used,) = np.nonzero(rows.any(axis=0))
            ends = [
                self._constant(f"band_{band}_{name}", np.array([value]))
                for name, value in (("first", used[0]), ("last", used[-1] + 1), ("axis", 1))
            ]
            part = self._add("Slice", [tensor, *ends])
            share = self._constant(f"rows_{band}", rows[:, used[0] : used[-1] + 1])
            parts.append(self._add("MatMul", [share, part]))
        return self._add("Concat", parts, axis=1)

    def _shaped(self, tensor: str, shape: list[int]) -> str:
        sizes = self._constant(f"shape_{len(self.nodes)}", np.array(shape))
        return self._add("Reshape", [tensor, sizes])

    def _constant(self, name: str, value: NDArray[np.generic]) -> str:
        full = f"{self.place.conv.name}/{name}"
        self.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), full))
        return full

    def _add(self, operator: str, inputs: list[str], **given: ArrayLike) -> str:
        name = f"{self.place.conv.name}/{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **given))
        return name
