"""The table of kinds of data sets: where images and masks lie on disk."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from export.common.tables import Lazy, either

if TYPE_CHECKING:
    from validate.data.items import Dataset


@dataclass(frozen=True)
class Layout:
    """`recognise` returns what to read, or None; `read(root, split, masks)` lists it.

    `name` is what people call it, `help` what it is recognised by. Those of `by_name`, which find
    masks by their names, take `suffix`, an ending of these, too. Of what is `bare` there are no
    labels.
    """

    name: str
    help: str
    recognise: Callable[[Path], Path | None]
    read: "Callable[..., Dataset]"
    has_splits: bool = False
    by_name: bool = False
    bare: bool = False


LAYOUTS: dict[str, Layout] = {
    "coco": Layout(
        "COCO",
        "annotations/instances_SPLIT.json, or such a file itself: FILE.json[:IMAGES]",
        Lazy("validate.data.coco:coco_root"),
        Lazy("validate.data.coco:read_coco"),
        has_splits=True,
    ),
    "listing": Layout(
        "a CSV of image,mask",
        "FILE.csv",
        Lazy("validate.data.listing:listing_root"),
        Lazy("validate.data.listing:read_listing"),
    ),
    "voc": Layout(
        "VOC",
        "JPEGImages/, SegmentationClass/, ImageSets/Segmentation/",
        Lazy("validate.data.voc:voc_root"),
        Lazy("validate.data.voc:read_voc"),
        has_splits=True,
    ),
    "sbd": Layout(
        "SBD",
        "img/, cls/",
        Lazy("validate.data.sbd:sbd_root"),
        Lazy("validate.data.sbd:read_sbd"),
        has_splits=True,
    ),
    "cityscapes": Layout(
        "Cityscapes",
        "leftImg8bit/, gtFine/",
        Lazy("validate.data.cityscapes:cityscapes_root"),
        Lazy("validate.data.cityscapes:read_cityscapes"),
        has_splits=True,
    ),
    "pairs": Layout(
        "a folder of images and masks",
        "images/, masks/ or labels/, annotations/; or photo.jpg, photo_mask.png",
        Lazy("validate.data.folders:pairs_root"),
        Lazy("validate.data.folders:read_pairs"),
        by_name=True,
    ),
    "splits": Layout(
        "a folder of such splits",
        "images/SPLIT/, masks/SPLIT/; or SPLIT/, SPLITannot/",
        Lazy("validate.data.folders:splits_root"),
        Lazy("validate.data.folders:read_split"),
        has_splits=True,
        by_name=True,
    ),
    "images": Layout(
        "a folder of images",
        "images alone, which are judged by agreement and fidelity",
        Lazy("validate.data.folders:images_root"),
        Lazy("validate.data.folders:read_images"),
        bare=True,
    ),
}
"""In the order in which they are recognised."""


def data_help(default_split: str) -> str:
    """Say in one sentence what DATA may be."""
    with_splits = either(layout.name for layout in LAYOUTS.values() if layout.has_splits)
    others = either(layout.name for layout in LAYOUTS.values() if not layout.has_splits)
    return f"ROOT[:SPLIT] (default {default_split}) of {with_splits}; or {others}."
