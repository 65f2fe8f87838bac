"""Windows that move over an image: LiteRT pads by SAME or not at all, all else is a PAD."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from segport.conversion.litert.flatbuffer import Tensor, options
from segport.conversion.litert.refusal import Unsupported

if TYPE_CHECKING:
    from segport.conversion.litert.step import Step

SAME, VALID = "Padding.SAME", "Padding.VALID"


@dataclass(frozen=True)
class Window:
    """A kernel's reach along height and width; `after` is what is needed behind the image."""

    sides: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    before: tuple[int, int]
    after: tuple[int, int]

    def padding(self, image: Sequence[int], result: Sequence[int]) -> str | None:
        """Return the padding of LiteRT's that is this one; None if neither is."""
        if self.before == (0, 0) and max(self.after) <= 0:
            return VALID
        totals = [b + a for b, a in zip(self.before, self.after, strict=True)]
        same = all(
            size == -(-side // stride) and before == max(total, 0) // 2
            for size, side, stride, before, total in zip(
                result, image, self.strides, self.before, totals, strict=True
            )
        )
        return SAME if same else None


def window_of(step: "Step", kernel: Sequence[int]) -> Window:
    """Return the window of a Conv or pooling; raises Unsupported for one that is not 2-D."""
    if len(step.shape()) != 4:
        raise Unsupported(f"an input of {len(step.shape())} axes, 4 are needed")
    given = step.attributes
    strides, dilations = given.get("strides", [1, 1]), given.get("dilations", [1, 1])
    spans = [(side - 1) * dilation + 1 for side, dilation in zip(kernel, dilations, strict=True)]
    image, result = step.shape()[2:], step.result_shape()[2:]
    needed = [
        (size - 1) * stride + span - side
        for size, stride, span, side in zip(result, strides, spans, image, strict=True)
    ]
    before = _before(given, needed)
    after = [total - first for total, first in zip(needed, before, strict=True)]
    return Window(*(_pair(one) for one in (kernel, strides, dilations, before, after)))


def padded(
    step: "Step", image: Tensor, window: Window, lowest: float | None = None
) -> tuple[Tensor, str]:
    """Return an image and which of LiteRT's paddings is left to the operator.

    Zeros surround it, or the `lowest` number of its type, if that is given.
    """
    found = window.padding(step.shape()[2:], step.result_shape()[2:])
    if found:
        return image, found
    return surrounded(step, image, window, lowest), VALID


def surrounded(step: "Step", image: Tensor, window: Window, value: float | None = None) -> Tensor:
    """Surround an image by as much as a window needs."""
    after = [max(side, 0) for side in window.after]
    return pad(step, image, ((0, 0), *zip(window.before, after, strict=True), (0, 0)), value)


def pad(
    step: "Step", image: Tensor, widths: Sequence[Sequence[int]], value: float | None = None
) -> Tensor:
    """Surround a tensor, as stored, by zeros or `value`; in int8 it has the tensor's own grid."""
    shape = tuple(size + sum(around) for size, around in zip(image.shape, widths, strict=True))
    read = [image, step.constant(np.array(widths, np.int32))]
    if value is None:
        return step.make("PAD", read, options("PadOptions"), shape=shape, like=image)
    read.append(step.constant(np.array([value], image.dtype), image.grid))
    return step.make("PADV2", read, options("PadV2Options"), shape=shape, like=image)


def _before(given: dict[str, Any], needed: Sequence[int]) -> Sequence[int]:
    how = given.get("auto_pad", b"NOTSET")
    if how == b"SAME_UPPER":
        return [max(total, 0) // 2 for total in needed]
    if how == b"SAME_LOWER":
        return [-(-max(total, 0) // 2) for total in needed]
    pads: Sequence[int] = given.get("pads", [0, 0, 0, 0])
    return pads[:2]


def _pair(values: Sequence[int]) -> tuple[int, int]:
    return int(values[0]), int(values[1])
