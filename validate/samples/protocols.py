"""How an image and its label become what is compared.

A protocol is named in every result; a drop is computed only between results of one of them.
Images are resized with PIL's BILINEAR, labels with NEAREST. `size` is (height, width).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Protocol as Typing

from export.common.tables import known

if TYPE_CHECKING:  # names of protocols are read where nobody waits for PIL
    from PIL.Image import Image, Resampling

Size = tuple[int, int]
_TORCHVISION_SIDE = 520


class Resize(Typing):
    """Brings a picture to `size`."""

    def __call__(self, picture: "Image", size: Size, resample: "Resampling") -> "Image": ...


@dataclass(frozen=True)
class Protocol:
    """How pictures get their size; labels are resized alike.

    `at_image_size`: labels stay as they are and predictions are resized back. `variable`: every
    image keeps its aspect, so the artifact must take any size.
    """

    help: str
    resize: Resize
    at_image_size: bool = False
    variable: bool = False

    def image(self, picture: "Image", size: Size) -> "Image":
        """Prepare an image."""
        from PIL.Image import Resampling

        return self.resize(picture, size, Resampling.BILINEAR)

    def label(self, picture: "Image", size: Size) -> "Image":
        """Prepare a label."""
        from PIL.Image import Resampling

        return picture if self.at_image_size else self.resize(picture, size, Resampling.NEAREST)


def _squash(picture: "Image", size: Size, resample: "Resampling") -> "Image":
    height, width = size
    return picture.resize((width, height), resample)


def _center_crop(picture: "Image", size: Size, resample: "Resampling") -> "Image":
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


def _shorter_side(picture: "Image", size: Size, resample: "Resampling") -> "Image":
    """Scale the shorter side to 520, the longer one rounded down; nothing is cut off.

    So do the presets of torchvision's segmentation weights, and its reference's evaluation.
    """
    longer = int(_TORCHVISION_SIDE * max(picture.size) / min(picture.size))
    upright = picture.width <= picture.height
    scaled = (_TORCHVISION_SIDE, longer) if upright else (longer, _TORCHVISION_SIDE)
    return picture.resize(scaled, resample)


PROTOCOLS: dict[str, Protocol] = {
    "squash": Protocol("to the network's size, the aspect changes", _squash),
    "center-crop": Protocol("the shorter side to the network's, the middle cut out", _center_crop),
    "full": Protocol("as squash, but judged at the size of the image", _squash, at_image_size=True),
    "torchvision": Protocol(
        "the shorter side to 520 pixels, all kept", _shorter_side, variable=True
    ),
}
DEFAULT_PROTOCOL = "squash"


def get_protocol(name: str) -> Protocol:
    """Return a protocol; raise UsageError, with the nearest name, when there is none."""
    return known("protocol", name, PROTOCOLS)
