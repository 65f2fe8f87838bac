"""The Semantic Boundaries Dataset as its authors pack it: img/*.jpg, cls/*.mat and lists.

Known as benchmark_RELEASE/dataset/, or as torchvision's SBDataset leaves it after a download.
"""

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.common.errors import DataError, first_line
from export.common.files import read_file
from validate.data.items import Dataset, Item, refuse_absent, refuse_repeats
from validate.data.matlab import read_field
from validate.data.voc import read_list

EXTRA = "torchvision's download of SBD needs scipy: pip install 'segport[sbd]'"


def sbd_root(root: Path) -> Path | None:
    """Return the folder with img/ and cls/ that `root` is or holds, or None."""
    for folder in (root, root / "dataset", root / "benchmark_RELEASE" / "dataset"):
        if (folder / "img").is_dir() and (folder / "cls").is_dir():
            return folder
    return None


def read_sbd(root: Path, split: str, masks: bool) -> Dataset:
    """List the split SPLIT.txt. Raises DataError without it."""
    file = root / f"{split.removesuffix('.txt')}.txt"
    if not file.is_file():
        known = ", ".join(sorted(p.stem for p in root.glob("*.txt"))) or "none"
        raise DataError(f"data {root}: no split '{split}'; there: {known}")
    items = tuple(
        Item(name, root / "img" / f"{name}.jpg", root / "cls" / f"{name}.mat" if masks else None)
        for name, *_ in read_list(root, file)
    )
    refuse_repeats(root, (item.id for item in items))
    refuse_absent(root, file.name, items)
    return Dataset(root.resolve().name if root.name != "dataset" else "SBD", file.stem, items)


def read_mat(path: Path) -> NDArray[np.uint8]:
    """Return the class of every pixel, uint8 (H, W). Raises DataError for any other .mat."""
    try:
        return read_field(read_file(path), "GTcls", "Segmentation")
    except (DataError, ValueError, KeyError, IndexError, struct.error, zlib.error) as error:
        raise DataError(
            f"cannot read {path} (not one of SBD's .mat labels: {first_line(error)})"
        ) from error
