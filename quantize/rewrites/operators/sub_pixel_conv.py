"""Rewrite: a ConvTranspose becomes a convolution and a DepthToSpace (sub-pixel convolution).

onnxruntime's CPU provider has no int8 ConvTranspose, and its float one is slow. With stride s the
result at s * m + a depends on the inputs around m and on every s-th tap of the kernel, which ones
the phase a says. So one convolution of the small image makes all s * s phases as channels, and
moving them to their places gives the result (Shi et al. 2016, arXiv:1609.07009). Phases that have
fewer taps than others get zeros, which are multiplied too: 16 taps become 4 of 2 x 2 phases, 9 taps
4 of 2 x 2 as well. OpenVINO's own ConvTranspose stays float here, too: a U-Net with kernels of 2
takes 54 ms with the rewrite and 57 without.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, numpy_helper

from export.onnx_graph.graph import attributes, consumers, dims, initializers
from quantize.rewrites.change import Rewritten, Seen
from quantize.rewrites.writer import Writer

_UNKNOWN = 64
"""Size assumed for an axis that varies, where it decides what is cheapest."""
_TO_THE_END = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Phases:
    """How one axis of a ConvTranspose is computed phase by phase.

    Tap t of phase a is the kernel's `index[a, t]`, int64 (stride, taps); the kernel's size stands
    for none. `pads` are those of the convolution, (begin, end). Of the values that the phases give
    `crop`, (begin, end), are too many.
    """

    index: NDArray[np.int64]
    pads: tuple[int, int]
    crop: tuple[int, int]

    @property
    def stride(self) -> int:
        """Results per position."""
        return len(self.index)

    @property
    def taps(self) -> int:
        """Inputs that a position sees."""
        return int(self.index.shape[1])


def sub_pixel_conv(model: ModelProto, seen: Seen) -> Rewritten:
    """Apply the rewrite to every ConvTranspose that `geometry` knows; `seen` is not needed."""
    changed = ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    constants = initializers(graph)
    shapes = {value.name: dims(value) for value in [*graph.input, *graph.value_info]}
    done = []
    for node in [n for n in graph.node if n.op_type == "ConvTranspose"]:
        given = all(name in constants for name in node.input[1:] if name)
        source = shapes.get(node.input[0], ())
        axes = geometry(node, source, tuple(constants[node.input[1]].dims)) if given else None
        if axes is not None:
            _replace(graph, node, axes, source)
            done.append(node.name)
    listed = f": {', '.join(done)}" if done else ""
    return Rewritten(changed, f"{len(done)} transposed convolutions by phases{listed}")


def geometry(
    node: NodeProto, source: Sequence[int | None], weight: Sequence[int]
) -> tuple[Phases, Phases] | None:
    """Return the phases of both axes; None where the node is not a plain 2-D one.

    `source` and `weight` are the shapes of its inputs, (N, C, h, w) and (C, rows / groups, kernel
    h, kernel w). Dilated kernels and sizes that are asked for instead of pads are not known. Where
    strides differ, sizes must be.
    """
    given = attributes(node)
    if len(weight) != 4 or len(source) != 4:
        return None
    strides, dilations = (list(given.get(name, [1, 1])) for name in ("strides", "dilations"))
    if dilations != [1, 1] or (strides[0] != strides[1] and None in source):
        return None
    axes = []
    for axis in (0, 1):
        size, kernel, stride = source[axis + 2], weight[axis + 2], strides[axis]
        around = _padding(given, axis, size, kernel, stride)
        if around is None or not 0 <= around[0] < kernel:
            return None
        axes.append(phases(kernel, stride, around[0], around[1], size))
    return axes[0], axes[1]


def _padding(
    given: Mapping[str, Any], axis: int, size: int | None, kernel: int, stride: int
) -> tuple[int, int] | None:
    """Return what is cut off an axis' begin and added to its end; None where that varies.

    `given` are the node's attributes, which may ask for the size of the result instead.
    """
    more = given.get("output_padding", [0, 0])[axis]
    automatic = given.get("auto_pad", b"NOTSET")
    wanted = list(given.get("output_shape", []))[-2:]
    if automatic.startswith(b"SAME"):
        wanted = wanted or [None if size is None else size * stride] * 2
    if not wanted:
        pads = given.get("pads", [0] * 4)
        return pads[axis], more - pads[axis + 2]
    if size is None or (result := wanted[axis]) is None:
        return None
    total = stride * (size - 1) + more + kernel - result
    begin = total // 2 if automatic == b"SAME_UPPER" else total - total // 2
    return begin, more - (total - begin)


def phases(kernel: int, stride: int, begin: int, more: int, size: int | None) -> Phases:
    """Divide an axis of (size - 1) * stride + kernel - begin + more results.

    Results may be grouped from `shift` places before the first; of the ways to do it the one with
    fewest multiplications is taken, and of these the one that crops least.
    """

    def grouped(shift: int) -> tuple[int, int, Phases]:
        start = begin - shift
        # result s * m + a, behind the shift, is the sum over d of x[m + d] * w[a + start - s * d]
        lowest, highest = -((kernel - 1 - start) // stride), (stride - 1 + start) // stride
        offsets = np.arange(lowest, highest + 1)
        index = np.arange(stride)[:, None] + start - stride * offsets
        index[(index < 0) | (index >= kernel)] = kernel
        further = kernel - stride - begin + more + shift  # results beyond stride * size
        positions = max(-(-further // stride), -highest)  # beyond size
        phases = Phases(
            index, (-lowest, highest + positions), (shift, stride * positions - further)
        )
        return len(offsets) * ((size or _UNKNOWN) + positions), sum(phases.crop), phases

    return min((grouped(shift) for shift in range(stride)), key=lambda one: one[:2])[2]


def by_phase(
    weight: NDArray[np.float32], axes: tuple[Phases, Phases], groups: int
) -> NDArray[np.float32]:
    """Return the convolution's weight, (rows, stride h, stride w, C / groups, taps h, taps w).

    `weight` is that of the ConvTranspose, (C, rows / groups, kernel h, kernel w).
    """
    tall, wide = (axis.index for axis in axes)
    with_zero = np.pad(weight, ((0, 0), (0, 0), (0, 1), (0, 1)))
    taken = with_zero[:, :, tall[:, :, None, None], wide]
    inputs, rows = len(weight) // groups, weight.shape[1] * groups
    split = taken.reshape(groups, inputs, *taken.shape[1:]).transpose(0, 2, 3, 5, 1, 4, 6)
    return np.asarray(split.reshape(rows, *split.shape[2:]))


def _replace(
    graph: GraphProto, node: NodeProto, axes: tuple[Phases, Phases], source: Sequence[int | None]
) -> None:
    constants = initializers(graph)
    groups = attributes(node).get("group", 1)
    weight = by_phase(numpy_helper.to_array(constants[node.input[1]]), axes, groups)
    # Channels of one phase behind one another move in longer pieces, but tear groups apart.
    phases_first = groups == 1
    write = Writer(graph, node)
    inputs = [node.input[0], write.constant(_in_rows(weight, phases_first))]
    if len(node.input) > 2 and node.input[2]:
        bias = numpy_helper.to_array(constants[node.input[2]])[:, None, None]
        whole = np.broadcast_to(bias, weight.shape[:3])
        inputs.append(write.constant(_in_rows(whole, phases_first)))
    pads = [axis.pads[end] for end in (0, 1) for axis in axes]
    tensor = write.add("Conv", inputs, kernel_shape=weight.shape[4:], pads=pads, group=groups)
    write.call("Conv", node.name)
    relu = _relu_alone(graph, node)
    if relu is not None:  # it goes where a convolution's kernel takes it in
        tensor = write.add("Relu", [tensor])
        write.call("Relu", relu.name)
    tensor = _placed(write, tensor, weight.shape[:3], axes, source, phases_first)
    _cropped(write, tensor, axes)
    if relu is None:
        write.replace()
    else:
        write.replace(relu, output=relu.output[0])


def _in_rows(values: NDArray[np.float32], phases_first: bool) -> NDArray[np.float32]:
    """Lay out (rows, stride h, stride w, ...) as a convolution's rows."""
    order = [1, 2, 0] if phases_first else [0, 1, 2]
    moved = values.transpose(*order, *range(3, values.ndim))
    return moved.reshape(-1, *values.shape[3:])


def _relu_alone(graph: GraphProto, node: NodeProto) -> NodeProto | None:
    readers = consumers(graph)[node.output[0]]
    alone = len(readers) == 1 and node.output[0] not in {value.name for value in graph.output}
    return readers[0] if alone and readers[0].op_type == "Relu" else None


def _placed(
    write: Writer,
    tensor: str,
    shape: Sequence[int],
    axes: tuple[Phases, Phases],
    source: Sequence[int | None],
    phases_first: bool,
) -> str:
    """Move the phases, `shape` (rows, stride h, stride w) as channels, to their places."""
    rows, *block = shape
    if block[0] == block[1]:
        if block == [1, 1]:
            return tensor
        mode = "DCR" if phases_first else "CRD"
        return write.add("DepthToSpace", [tensor], blocksize=block[0], mode=mode)
    batch, height, width = (source[i] or 0 for i in (0, 2, 3))
    height, width = (
        size + sum(axis.pads) - axis.taps + 1
        for size, axis in zip((height, width), axes, strict=True)
    )
    split = [*block, rows] if phases_first else [rows, *block]
    tensor = write.shaped(tensor, [batch, *split, height, width])
    perm = [0, 3, 4, 1, 5, 2] if phases_first else [0, 1, 4, 2, 5, 3]
    tensor = write.add("Transpose", [tensor], perm=perm)
    return write.shaped(tensor, [batch, rows, height * block[0], width * block[1]])


def _cropped(write: Writer, tensor: str, axes: tuple[Phases, Phases]) -> None:
    crops = {number: axis.crop for number, axis in enumerate(axes, start=2) if any(axis.crop)}
    if crops:
        starts = [begin for begin, _ in crops.values()]
        ends = [-end or _TO_THE_END for _, end in crops.values()]
        bounds = [write.constant(np.array(values)) for values in (starts, ends, list(crops))]
        write.add("Slice", [tensor, *bounds])
