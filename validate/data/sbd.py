"""The Semantic Boundaries Dataset as its authors pack it: img/*.jpg, cls/*.mat and lists.

Known as benchmark_RELEASE/dataset/, or as torchvision's SBDataset leaves it after a download.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.errors import DataError
from validate.data.items import Dataset, Item, refuse_absent, refuse_repeats
from validate.data.voc import read_list

EXTRA = "SBD's .mat labels need scipy: pip install 'segport[sbd]'"


def sbd_root(root: Path) -> Path | None:
    """Return the folder with img/ and cls/ that `root` is or holds, or None."""
    for folder in (root, root / "dataset", root / "benchmark_RELEASE" / "dataset"):
        if (folder / "img").is_dir() and (folder / "cls").is_dir():
            return folder
    return None


def read_sbd(root: Path, split: str, masks: bool) -> Dataset:
    """List the split SPLIT.txt. Raises DataError without it, or where .mat cannot be read."""
    file = root / f"{split.removesuffix('.txt')}.txt"
    if not file.is_file():
        known = ", ".join(sorted(p.stem for p in root.glob("*.txt"))) or "none"
        raise DataError(f"data {root}: no split '{split}'; there: {known}")
    if masks and find_spec("scipy") is None:
        raise DataError(f"data {root}: {EXTRA}")
    items = tuple(
        Item(name, root / "img" / f"{name}.jpg", root / "cls" / f"{name}.mat" if masks else None)
        for name, *_ in read_list(root, file)
    )
    refuse_repeats(root, (item.id for item in items))
    refuse_absent(root, file.name, items)
    return Dataset(root.resolve().name if root.name != "dataset" else "SBD", file.stem, items)


def read_mat(path: Path) -> NDArray[np.uint8]:
    """Return the class of every pixel, uint8 (H, W). Raises DataError for any other .mat."""
    from scipy.io import loadmat  # an extra

    try:
        found: NDArray[np.uint8] = loadmat(path)["GTcls"]["Segmentation"][0, 0]
    except Exception as error:  # scipy raises what the file's bytes provoke
        raise DataError(f"cannot read {path} (not one of SBD's .mat labels)") from error
    return found
