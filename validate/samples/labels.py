"""One label as class indices, whatever kind of file it comes from."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from export.artifact.classes import VOID, palette
from export.common.errors import DataError
from validate.data.instances import Instances
from validate.data.items import Item, Mask
from validate.data.sbd import read_mat
from validate.samples.decoding import decode, open_picture
from validate.samples.label_map import AS_THEY_ARE, UNKNOWN, Colour, LabelMap

_INDEXED = ("P", "L", "1", "I;16", "I;16B", "I")
_COLOURED = ("RGB", "RGBA")
_VOID_COLOUR = palette(VOID + 1)[VOID]


def read_mask(
    item: Item,
    size: tuple[int, int],
    classes: int,
    colours: Sequence[Colour] = (),
    labels: LabelMap = AS_THEY_ARE,
    *,
    fit: bool = False,
) -> Image.Image:
    """Return the label image, mode L, one class index per pixel or 255.

    `labels` says what its values mean. Of a palette image the indices count, whatever its palette.
    A mask that holds colours is decoded by those of `labels`, else by `colours`, those of the
    classes (VOC's when empty); VOC's cream is 255. With `fit` a mask of another size than its
    image (`size`, height and width) is resized to it, each pixel the nearest. Raises DataError
    when the mask cannot be read, has another size, or holds other values or colours.
    """
    _, indices = read_values(item, classes, colours, labels, None if fit else size)
    shown = Image.fromarray(indices.astype(np.uint8))
    return shown.resize(size[::-1], Image.Resampling.NEAREST) if indices.shape != size else shown


def read_values(
    item: Item,
    classes: int,
    colours: Sequence[Colour] = (),
    labels: LabelMap = AS_THEY_ARE,
    size: tuple[int, int] | None = None,
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Return the values that a mask holds, (h, w), and the class of each or 255.

    A picture of another size than `size` is not even decoded, nor are instances drawn. Raises as
    `read_mask`.
    """
    try:
        values, by_colour = _values(item.mask, classes, colours or palette(classes), labels, size)
        _refuse_other_size(values.shape, size)
    except DataError as error:
        raise DataError(f"image {item.id}: {error}") from error
    mapped = labels.declared and not by_colour
    indices = labels.apply(values, classes) if mapped else values
    there = np.unique(indices)
    wrong = there[((there < 0) | (there >= classes)) & (there != VOID)]
    if wrong.size:
        held = np.unique(values[indices == UNKNOWN]) if mapped else wrong
        said = (
            f"{labels.name} does not say what they are"
            if mapped
            else f"allowed are 0-{classes - 1} and {VOID}; say what others are with --labels"
        )
        raise DataError(
            f"image {item.id}: mask {item.mask} holds {[int(v) for v in held[:5]]}; {said}"
        )
    return values, indices


def _values(
    mask: Mask | None,
    classes: int,
    colours: Sequence[Colour],
    labels: LabelMap,
    size: tuple[int, int] | None,
) -> tuple[NDArray[np.integer], bool]:
    """Return what a mask holds, and whether it was colours, which then are classes already."""
    if isinstance(mask, Instances):
        if classes != mask.classes:
            raise DataError(
                f"COCO's labels are VOC's {mask.classes} classes, the network has {classes}"
            )
        _refuse_other_size(mask.size, size)
        return mask.draw(), True
    if mask is not None and mask.suffix == ".mat":
        return read_mat(mask), False
    return _of_picture(mask, colours, labels, size)


def _of_picture(
    mask: Path | None,
    colours: Sequence[Colour],
    labels: LabelMap,
    size: tuple[int, int] | None,
) -> tuple[NDArray[np.integer], bool]:
    try:
        picture = open_picture(mask or Path())
    except DataError as error:
        raise DataError(f"cannot read its mask {mask} ({error})") from error
    with picture:
        if picture.format == "JPEG":
            raise DataError(
                f"mask {mask} is a JPEG, which changes class indices; needed is a lossless file "
                "such as PNG"
            )
        if picture.mode not in (*_COLOURED, *_INDEXED):
            raise DataError(
                f"mask {mask} has mode {picture.mode}; needed is one class index per pixel "
                "(palette or grey PNG) or the colour of a class (RGB)"
            )
        _refuse_other_size((picture.height, picture.width), size)
        try:
            decoded = decode(picture)
        except DataError as error:
            raise DataError(f"cannot read its mask {mask} ({error})") from error
    if decoded.mode not in _COLOURED:
        return np.array(decoded), False
    pixels = np.asarray(decoded.convert("RGB"))
    if labels.declared and not labels.colours and (pixels == pixels[..., :1]).all():
        return pixels[..., 0], False  # indices, saved as colours
    return _decoded(pixels, mask, _table(colours, labels)), True


def _refuse_other_size(actual: tuple[int, ...], size: tuple[int, int] | None) -> None:
    if size is None or actual == size:
        return
    shown = "x".join(str(side) for side in actual[::-1])
    hint = (
        "where EXIF turns an image, the mask has to be upright"
        if actual == size[::-1]
        else "--accept mask-size resizes masks to their images"
    )
    raise DataError(f"mask is {shown}, the image {size[1]}x{size[0]}; {hint}")


def _table(colours: Sequence[Colour], labels: LabelMap) -> Mapping[Colour, int]:
    """Return the value that each colour stands for."""
    if labels.colours:
        return labels.colours
    return {_VOID_COLOUR: VOID} | {colour: i for i, colour in reversed([*enumerate(colours)])}


def _decoded(
    pixels: NDArray[np.uint8], mask: Path | None, indices: Mapping[Colour, int]
) -> NDArray[np.uint8]:
    """Turn RGB, uint8 (H, W, 3), into class indices; a colour of no class is an error."""
    packed = pixels.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    colours, where = np.unique(packed, return_inverse=True)
    table = [indices.get((int(c) >> 16, int(c) >> 8 & 255, int(c) & 255), -1) for c in colours]
    decoded = np.array(table)[where].reshape(packed.shape)
    if (decoded < 0).any():
        y, x = np.argwhere(decoded < 0)[0]
        raise DataError(
            f"mask {mask} has colour {tuple(map(int, pixels[y, x]))} at x={x} y={y}, which is that "
            "of no class; allowed are the colours in the artifact's manifest and VOC's void; say "
            "what others are with --labels"
        )
    return decoded.astype(np.uint8)
