"""Class maps as pictures: palette masks, colour overlays, and the legend of the colours."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

OVERLAY_ALPHA = 0.55
"""Weight of the class colour over the image; background pixels are left as they are."""

Colours = NDArray[np.uint8]
"""RGB of each class, uint8 (classes, 3)."""

_ROW, _MARGIN, _FONT_SIZE, _ROWS = 26, 10, 15, 24


def palette_image(classes: NDArray[np.uint8], colours: Colours) -> Image.Image:
    """Return a palette picture whose pixel values are the class indices, uint8 (H, W)."""
    image = Image.fromarray(classes)
    image.putpalette(colours.reshape(-1).tolist())
    return image


def overlay(picture: Image.Image, mask: Image.Image) -> Image.Image:
    """Blend the class colours of a palette mask into an RGB picture; class 0 stays untouched."""
    blended = Image.blend(picture, mask.convert("RGB"), OVERLAY_ALPHA)
    background = Image.fromarray(np.asarray(mask) == 0)
    blended.paste(picture, mask=background)
    return blended


def legend(names: Sequence[str], colours: Colours) -> Image.Image:
    """Return a picture that shows colour, index and name of every class."""
    font = ImageFont.load_default(_FONT_SIZE)
    texts = [f"{index}  {name}" for index, name in enumerate(names)]
    swatch = _ROW * 3 // 2
    width = swatch + 2 * _MARGIN + int(max(font.getlength(text) for text in texts)) + _MARGIN
    columns = -(-len(texts) // _ROWS)
    rows = -(-len(texts) // columns)
    image = Image.new("RGB", (columns * width, rows * _ROW + 2 * _MARGIN), "white")
    draw = ImageDraw.Draw(image)
    for index, text in enumerate(texts):
        column, row = divmod(index, rows)
        left, top = column * width + _MARGIN, row * _ROW + _MARGIN
        colour = tuple(int(value) for value in colours[index])
        draw.rectangle((left, top + 2, left + swatch, top + _ROW - 3), colour, "black")
        middle = (left + swatch + _MARGIN, top + _ROW // 2)
        draw.text(middle, text, "black", font, anchor="lm")
    return image
