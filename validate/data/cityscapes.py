"""Cityscapes as its authors pack it: leftImg8bit/SPLIT/CITY/ and gtFine/SPLIT/CITY/."""

from pathlib import Path

from export.common.errors import DataError
from validate.data.items import Dataset, Item

_IMAGES, _MASKS = "leftImg8bit", "gtFine"
_KINDS = {"labelIds": "cityscapes-labelids", "labelTrainIds": "cityscapes-trainids"}
"""Endings of masks, and the label map that each needs."""


def cityscapes_root(root: Path) -> Path | None:
    """Return `root` if it has both folders."""
    return root if (root / _IMAGES).is_dir() and (root / _MASKS).is_dir() else None


def read_cityscapes(root: Path, split: str, masks: bool) -> Dataset:
    """List a split by city and name.

    Masks are labelIds, or labelTrainIds where there are no others. Raises DataError for a split
    that is not there and for an image without a mask.
    """
    files = sorted((root / _IMAGES / split).glob(f"*/*_{_IMAGES}.png"))
    if not files:
        known = sorted(path.name for path in (root / _IMAGES).iterdir() if path.is_dir())
        raise DataError(f"data {root}: no images of split '{split}'; there: {', '.join(known)}")
    ids = [file.stem.removesuffix(f"_{_IMAGES}") for file in files]
    if not masks:
        items = [Item(id, file, None) for id, file in zip(ids, files, strict=True)]
        return Dataset(root.resolve().name, split, tuple(items))
    for kind, labels in _KINDS.items():
        labelled = [
            Item(id, file, root / _MASKS / split / file.parent.name / f"{id}_{_MASKS}_{kind}.png")
            for id, file in zip(ids, files, strict=True)
        ]
        masks_of = (item.mask for item in labelled)
        absent = [mask for mask in masks_of if isinstance(mask, Path) and not mask.is_file()]
        if not absent:
            return Dataset(root.resolve().name, split, tuple(labelled), labels)
    raise DataError(
        f"data {root}: {len(absent)} masks of {split} are absent, the first is {absent[0]}"
    )
