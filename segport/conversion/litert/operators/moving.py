"""What changes where values are and not what they are; in int8 the grid stays the input's."""

from typing import TYPE_CHECKING

import numpy as np

from segport.conversion.litert.flatbuffer import Tensor, options
from segport.conversion.litert.layout import TO_NCHW, TO_NHWC, permuted, stored, stored_axis
from segport.conversion.litert.operators.padding import pad as pad_by
from segport.conversion.litert.refusal import Unsupported

if TYPE_CHECKING:
    from segport.conversion.litert.step import Step


def concat(step: "Step") -> None:
    """Concat: CONCATENATION, before which all are brought to the grid of the result."""
    rank = len(step.result_shape())
    parts = [step.on_grid(part, step.grid()) for part in _parts(step, rank)]
    given = options(
        "ConcatenationOptions",
        axis=stored_axis(step.attributes["axis"], rank),
        fusedActivationFunction="ActivationFunctionType.NONE",
    )
    step.give(step.make("CONCATENATION", parts, given))


def reshape(step: "Step") -> None:
    """Reshape, Flatten, Squeeze, Unsqueeze: in ONNX's order of axes."""
    read = step.natural(step.read(0, len(step.shape())))
    step.give(step.stored(step.reshape(read, step.result_shape())))


def transpose(step: "Step") -> None:
    """Transpose, of which what NHWC has done already is left out."""
    rank = len(step.shape())
    order = step.attributes.get("perm", list(range(rank))[::-1])
    if rank == 4:
        order = permuted(permuted(TO_NCHW, order), TO_NHWC)
    step.give(step.transpose(step.read(), order))


def slice_(step: "Step") -> None:
    """Slice by constant bounds: STRIDED_SLICE."""
    shape, rank = step.shape(), len(step.shape())
    first, last = step.value(1).tolist(), step.value(2).tolist()
    axes = step.value(3).tolist() if step.has(3) else list(range(len(first)))
    steps = step.value(4).tolist() if step.has(4) else [1] * len(first)
    if min(steps) < 1:
        raise Unsupported("steps below 1")
    begin, end, stride = [0] * rank, list(shape), [1] * rank
    for start, stop, axis, by in zip(first, last, axes, steps, strict=True):
        bounds = slice(start, stop, by).indices(shape[axis])
        begin[axis], end[axis], stride[axis] = bounds
    image = step.read()
    read = [image, *(step.indices(stored(one)) for one in (begin, end, stride))]
    given = options(
        "StridedSliceOptions", beginMask=0, endMask=0, ellipsisMask=0, newAxisMask=0,
        shrinkAxisMask=0,
    )  # fmt: skip
    step.give(step.make("STRIDED_SLICE", read, given, like=image))


def split(step: "Step") -> None:
    """Split: a SLICE for each part."""
    image, axis = step.read(), step.attributes.get("axis", 0) % len(step.shape())
    start = 0
    for output, name in enumerate(step.node.output):
        shape = step.result_shape(output)
        begin = [start if index == axis else 0 for index in range(len(shape))]
        start += shape[axis]
        if name:
            bounds = [step.indices(stored(one)) for one in (begin, shape)]
            made = step.make(
                "SLICE", [image, *bounds], options("SliceOptions"), shape=stored(shape), like=image
            )
            step.give(made, output)


def pad(step: "Step") -> None:
    """Pad by a constant, or by reflection: PAD, PADV2 or MIRROR_PAD."""
    rank, image = len(step.shape()), step.read()
    amounts = step.value(1).tolist()
    axes = step.value(3).tolist() if step.has(3) else range(rank)
    widths = [(0, 0)] * rank
    for axis, before, after in zip(
        axes, amounts[: len(amounts) // 2], amounts[len(amounts) // 2 :], strict=True
    ):
        widths[axis] = (before, after)
    if min(amounts) < 0:
        raise Unsupported("a negative width")
    mode, value = step.attributes.get("mode", b"constant"), 0.0
    if mode == b"constant":
        value = float(step.value(2).reshape(())) if step.has(2) else 0.0
        if value and step.layer.int8:
            raise Unsupported("a value other than 0 in int8")
        step.give(pad_by(step, image, stored(widths), value or None))
    elif mode == b"reflect":
        read = [image, step.constant(np.array(stored(widths), np.int32))]
        given = options("MirrorPadOptions", mode="MirrorPadMode.REFLECT")
        step.give(step.make("MIRROR_PAD", read, given, like=image))
    else:
        raise Unsupported(f"mode {mode.decode()}")


def depth_to_space(step: "Step") -> None:
    """DepthToSpace in the order of channels that LiteRT has, DCR."""
    if step.attributes.get("mode", b"DCR") != b"DCR":
        raise Unsupported("mode CRD")
    image = step.read()
    given = options("DepthToSpaceOptions", blockSize=step.attributes["blocksize"])
    step.give(step.make("DEPTH_TO_SPACE", [image], given, like=image))


def space_to_depth(step: "Step") -> None:
    """SpaceToDepth."""
    image = step.read()
    given = options("SpaceToDepthOptions", blockSize=step.attributes["blocksize"])
    step.give(step.make("SPACE_TO_DEPTH", [image], given, like=image))


def gather(step: "Step") -> None:
    """Gather by constant indices, one or a list of them."""
    indices, rank = step.value(1), len(step.shape())
    if indices.ndim > 1 or step.is_constant(0):
        raise Unsupported("indices of more than one axis, or of a constant")
    axis = step.attributes.get("axis", 0) % rank
    image = step.natural(step.read(0, rank))
    wanted = (indices % step.shape()[axis]).astype(np.int32)
    given = options("GatherOptions", axis=axis, batchDims=0)
    read = [image, step.constant(wanted)]
    made = step.make("GATHER", read, given, shape=step.result_shape(), like=image)
    step.give(step.stored(made))


def identity(step: "Step") -> None:
    """Identity: the same tensor under another name."""
    step.give(step.read())


def _parts(step: "Step", rank: int) -> list[Tensor]:
    """Return what is concatenated; constants keep all their axes."""
    parts = []
    for index in range(len(step.node.input)):
        part = step.read(index)
        parts.append(step.reshape(part, stored(step.shape(index))))
    return parts
