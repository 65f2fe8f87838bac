"""One label as class indices, whatever kind of file it comes from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from export.classes import VOID, palette
from export.errors import DataError
from validate.data.instances import Instances
from validate.data.items import Item, Mask
from validate.data.sbd import read_mat
from validate.decoding import decode, open_picture

Colour = tuple[int, int, int]
_INDEXED = ("P", "L", "1", "I;16", "I;16B", "I")
_COLOURED = ("RGB", "RGBA")
_VOID_COLOUR = palette(VOID + 1)[VOID]


def read_mask(
    item: Item, size: tuple[int, int], classes: int, colours: Sequence[Colour] = ()
) -> Image.Image:
    """Return the label image, mode L, one class index per pixel or 255.

    Of a palette image the indices count, whatever its palette. A mask that holds colours is
    decoded by `colours`, those of the classes (VOC's when empty); VOC's cream is 255. Raises
    DataError when the mask cannot be read, has another size than its image (`size`, height and
    width), or holds other values or colours.
    """
    try:
        indices = _indices(item.mask, size, classes, colours or palette(classes))
    except DataError as error:
        raise DataError(f"image {item.id}: {error}") from error
    wrong = [int(v) for v in np.unique(indices) if not 0 <= v < classes and v != VOID]
    if wrong:
        raise DataError(
            f"image {item.id}: mask {item.mask} holds {wrong[:5]}; allowed are 0-{classes - 1} and "
            f"{VOID}"
        )
    return Image.fromarray(indices.astype(np.uint8))


def _indices(
    mask: Mask | None, size: tuple[int, int], classes: int, colours: Sequence[Colour]
) -> NDArray[np.integer]:
    """Return the class indices; what has another size than `size` is not even decoded."""
    if isinstance(mask, Instances):
        if classes != mask.classes:
            raise DataError(
                f"COCO's labels are VOC's {mask.classes} classes, the network has {classes}"
            )
        _refuse_other_size(mask.size, size)
        return mask.draw()
    if mask is not None and mask.suffix == ".mat":
        found = read_mat(mask)
        _refuse_other_size(found.shape, size)
        return found
    return _of_picture(mask, size, colours)


def _of_picture(
    mask: Path | None, size: tuple[int, int], colours: Sequence[Colour]
) -> NDArray[np.integer]:
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
    if decoded.mode in _COLOURED:
        return _decoded(np.asarray(decoded.convert("RGB")), mask, colours)
    return np.array(decoded)


def _refuse_other_size(found: tuple[int, ...], size: tuple[int, int]) -> None:
    if found != size:
        turned = found == size[::-1]
        shown = "x".join(str(side) for side in found[::-1])
        raise DataError(
            f"mask is {shown}, the image {size[1]}x{size[0]}"
            + ("; where EXIF turns an image, the mask has to be upright" if turned else "")
        )


def _decoded(
    pixels: NDArray[np.uint8], mask: Path | None, colours: Sequence[Colour]
) -> NDArray[np.uint8]:
    """Turn RGB, uint8 (H, W, 3), into class indices; a colour that is no class's is an error."""
    indices = {_VOID_COLOUR: VOID} | {colour: i for i, colour in reversed([*enumerate(colours)])}
    packed = pixels.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    found, where = np.unique(packed, return_inverse=True)
    table = [indices.get((int(c) >> 16, int(c) >> 8 & 255, int(c) & 255), -1) for c in found]
    decoded = np.array(table)[where].reshape(packed.shape)
    if (decoded < 0).any():
        y, x = np.argwhere(decoded < 0)[0]
        raise DataError(
            f"mask {mask} has colour {tuple(map(int, pixels[y, x]))} at x={x} y={y}, which is that "
            "of no class; allowed are the colours in the artifact's manifest and VOC's void"
        )
    return decoded.astype(np.uint8)
