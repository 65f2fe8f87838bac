"""How an image and its label become what is compared.

A protocol is named in every result; a drop is computed only between results of one of them.
Images are resized with PIL's BILINEAR, labels with NEAREST. `size` is (height, width).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol as Typing

from PIL import Image
from PIL.Image import Resampling

from export.common.errors import UsageError, unknown

Size = tuple[int, int]
_TORCHVISION_SIDE = 520


class Resize(Typing):
    """Brings a picture to `size`."""

    def __call__(self, picture: Image.Image, size: Size, resample: Resampling) -> Image.Image: ...


@dataclass(frozen=True)
class Protocol:
    """`image` and `label` prepare the two; `at_image_size`: predictions are resized back.

    `variable`: every image keeps its aspect, so the artifact must take any size.
    """

    image: Callable[[Image.Image, Size], Image.Image]
    label: Callable[[Image.Image, Size], Image.Image]
    at_image_size: bool = False
    variable: bool = False


def _squash(picture: Image.Image, size: Size, resample: Resampling) -> Image.Image:
    height, width = size
    return picture.resize((width, height), resample)


def _center_crop(picture: Image.Image, size: Size, resample: Resampling) -> Image.Image:
    """Scale until the picture just covers `size`, then cut out its centre.

    For a square this is torchvision's Resize(S) (the longer side is rounded down) and
    CenterCrop(S) (offsets rounded half to even), as VainF's --crop_val does.
    """
    height, width = size
    if width * picture.height >= height * picture.width:
        scaled = (width, max(height, int(width * picture.height / picture.width)))
    else:
        scaled = (max(width, int(height * picture.width / picture.height)), height)
    resized = picture.resize(scaled, resample)
    left = round((resized.width - width) / 2.0)
    top = round((resized.height - height) / 2.0)
    return resized.crop((left, top, left + width, top + height))


def _shorter_side(picture: Image.Image, size: Size, resample: Resampling) -> Image.Image:
    """Scale the shorter side to 520, the longer one rounded down; nothing is cut off.

    So do the presets of torchvision's segmentation weights, and its reference's evaluation.
    """
    longer = int(_TORCHVISION_SIDE * max(picture.size) / min(picture.size))
    upright = picture.width <= picture.height
    scaled = (_TORCHVISION_SIDE, longer) if upright else (longer, _TORCHVISION_SIDE)
    return picture.resize(scaled, resample)


def _untouched(picture: Image.Image, size: Size) -> Image.Image:
    return picture


def _both(resize: Resize, *, variable: bool = False) -> Protocol:
    return Protocol(
        image=partial(resize, resample=Resampling.BILINEAR),
        label=partial(resize, resample=Resampling.NEAREST),
        variable=variable,
    )


PROTOCOLS: dict[str, Protocol] = {
    "squash": _both(_squash),
    "center-crop": _both(_center_crop),
    "full": Protocol(
        image=partial(_squash, resample=Resampling.BILINEAR),
        label=_untouched,
        at_image_size=True,
    ),
    "torchvision": _both(_shorter_side, variable=True),
}
DEFAULT_PROTOCOL = "squash"


def get_protocol(name: str) -> Protocol:
    """Return a protocol; raise UsageError, with the nearest name, when there is none."""
    if name not in PROTOCOLS:
        raise UsageError(unknown("protocol", name, PROTOCOLS))
    return PROTOCOLS[name]
