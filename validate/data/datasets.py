"""Where images and their masks lie on disk: a table of the kinds of data sets."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from export.common.errors import DataError
from validate.data.cityscapes import cityscapes_root, read_cityscapes
from validate.data.coco import coco_root, read_coco
from validate.data.folders import (
    images_root,
    pairs_root,
    read_images,
    read_pairs,
    read_split,
    refuse_unseen_labels,
    splits_root,
)
from validate.data.items import (
    Dataset,
    Item,
    Mask,
    ids_digest,
    refuse_irregular,
    refuse_unsafe,
)
from validate.data.listing import listing_root, read_listing
from validate.data.sbd import read_sbd, sbd_root
from validate.data.voc import read_voc, voc_root

__all__ = ["LAYOUTS", "Dataset", "Item", "Layout", "Mask", "ids_digest", "open_dataset"]


@dataclass(frozen=True)
class Layout:
    """`recognise` returns what to read, or None; `read(root, split, masks)` lists it.

    Those of `by_name`, which find masks by their names, take `suffix`, an ending of these, too.
    """

    recognise: Callable[[Path], Path | None]
    read: Callable[..., Dataset]
    has_splits: bool = False
    by_name: bool = False


LAYOUTS: dict[str, Layout] = {
    "coco": Layout(coco_root, read_coco, has_splits=True),
    "listing": Layout(listing_root, read_listing),
    "voc": Layout(voc_root, read_voc, has_splits=True),
    "sbd": Layout(sbd_root, read_sbd, has_splits=True),
    "cityscapes": Layout(cityscapes_root, read_cityscapes, has_splits=True),
    "pairs": Layout(pairs_root, read_pairs, by_name=True),
    "splits": Layout(splits_root, read_split, has_splits=True, by_name=True),
    "images": Layout(images_root, read_images),
}


def open_dataset(
    source: str, default_split: str, *, masks: bool = True, suffix: str | None = None
) -> Dataset:
    """Open `source`: ROOT[:SPLIT] of a known data set, or a folder with or without masks.

    Also FILE.json[:IMAGES_DIR] of COCO, and FILE.csv with pairs. `suffix` is what the names of
    masks in folders have after those of images. `default_split` applies where ROOT names none. With
    `masks` False labels are neither needed nor looked up. Raises DataError when the folder
    does not hold what it should.
    """
    try:
        return _opened(source, default_split, masks, suffix)
    except OSError as error:
        raise DataError(f"data {source}: cannot read it ({error.strerror})") from error


def _opened(source: str, default_split: str, masks: bool, suffix: str | None) -> Dataset:
    root, split = parse_source(source)
    if not os.path.exists(root):  # noqa: PTH110 - Path.exists raises for a name that is too long
        raise DataError(f"data {source}: no such folder")
    if not root.is_dir() and root.suffix.lower() not in (".json", ".csv"):
        raise DataError(
            f"data {source}: a file; give its folder, an instances JSON of COCO, or a CSV of pairs"
        )
    default = default_split if root.is_dir() else ""
    for name, layout in LAYOUTS.items():
        if (home := layout.recognise(root)) is not None:
            if split is not None and not layout.has_splits:
                raise DataError(f"data {source}: {root} has no splits, leave out ':{split}'")
            if suffix is not None and not layout.by_name:
                raise DataError(
                    f"data {source}: --mask-suffix goes with folders of images and masks"
                )
            if masks and name == "images" and home != root:
                refuse_unseen_labels(home)
            more = (suffix,) if layout.by_name else ()
            found = layout.read(home, split or default, masks, *more)
            if not found.items:
                raise DataError(f"data {source}: no images in {home}")
            refuse_unsafe(home, (item.id for item in found.items))
            refuse_irregular(home, found.items)
            return found
    raise DataError(
        f"data {source}: not a VOC root (JPEGImages/, SegmentationClass/, "
        "ImageSets/Segmentation/), an SBD root (img/, cls/), COCO (annotations/instances_*.json), "
        "Cityscapes (leftImg8bit/, gtFine/), a folder with images/ and masks/, and no images in it"
    )


def parse_source(source: str) -> tuple[Path, str | None]:
    """Return path and split of ROOT[:SPLIT]; a path that exists is never taken apart."""
    path, separator, split = source.rpartition(":")
    if separator and path and not Path(source).exists():
        return Path(path), split
    return Path(source), None
