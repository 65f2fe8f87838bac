"""Pascal VOC: JPEGImages/, SegmentationClass/, and lists in ImageSets/Segmentation/.

Every year's folder has this layout. SBD's labels are commonly kept in the same folder: as
SegmentationClassAug/, with a list `trainaug.txt` (or `train_aug.txt`) whose lines are ids or
pairs such as `/JPEGImages/x.jpg /SegmentationClassAug/x.png`.
"""

import re
from pathlib import Path

from export.common.errors import DataError
from export.common.escaping import visible
from export.common.files import file_text
from export.common.names import is_inside
from validate.data.items import Dataset, Item, refuse_absent, refuse_repeats

LISTS = Path("ImageSets", "Segmentation")
IMAGES, MASKS, AUGMENTED = "JPEGImages", "SegmentationClass", "SegmentationClassAug"
YEAR = re.compile(r"VOC20\d\d$")


def voc_root(root: Path) -> Path | None:
    """Return the VOC20xx folder that `root` is or holds, or None.

    Raises DataError when it holds several.
    """
    if (root / IMAGES).is_dir() or (root / "ImageSets").is_dir():
        return root
    if not YEAR.search(root.name) and (root / "VOCdevkit").is_dir():
        root = root / "VOCdevkit"
    years = sorted(p for p in root.iterdir() if p.is_dir() and YEAR.search(p.name))
    if len(years) > 1:
        raise DataError(f"data {root}: holds {', '.join(p.name for p in years)}; name one of them")
    return years[0] if years else None


def read_voc(root: Path, split: str, masks: bool) -> Dataset:
    """List a split: a name in ImageSets/Segmentation, or a list file of one's own (.txt).

    Without a folder of masks, as in VOC's test sets, images are unlabelled.
    """
    file = _list_file(root, split)
    lines = read_list(root, file)
    labels = _labels(root, file, lines) if masks else None
    items = tuple(_item(root, line, labels, masks) for line in lines)
    refuse_repeats(root, (item.id for item in items))
    refuse_absent(root, file.name, items)
    return Dataset(root.resolve().name, file.stem, items)


def _labels(root: Path, file: Path, lines: list[list[str]]) -> Path | None:
    """Return the folder of masks that a list of ids means, None where the root has no masks."""
    augmented = "aug" in file.stem.lower()
    labels = root / (AUGMENTED if augmented else MASKS)
    if labels.is_dir():
        return labels
    if augmented and (root / MASKS).is_dir() and any("/" not in line[0] for line in lines):
        raise DataError(
            f"data {root}: {file.name} needs SBD's labels in {AUGMENTED}/, which is not there; "
            "put them there, or give a split that VOC's own labels have"
        )
    return None


def _item(root: Path, line: list[str], labels: Path | None, masks: bool) -> Item:
    if "/" in line[0]:  # a pair
        pair = [part.lstrip("/") for part in (line[0], line[-1])]
        if not all(map(is_inside, pair)):
            raise DataError(f"data {root}: '{visible(' '.join(line))}' leads out of it")
        image, mask = (root / part for part in pair)
        return Item(image.stem, image, mask if masks else None)
    image = root / IMAGES / f"{line[0]}.jpg"
    return Item(line[0], image, labels and labels / f"{line[0]}.png")


def _list_file(root: Path, split: str) -> Path:
    if split.endswith(".txt"):
        files = [path for path in (root / split, Path(split)) if path.is_file()]
        if not files:
            raise DataError(f"data {root}: no list {split}, neither in it nor from here")
        return files[0]
    lists = root / LISTS
    if not lists.is_dir():
        raise DataError(f"data {root}: has no {LISTS}, so no split can be read")
    file = lists / f"{split}.txt"
    if not file.is_file():
        known = ", ".join(sorted(p.stem for p in lists.glob("*.txt"))) or "none"
        raise DataError(f"data {root}: no split '{split}' in {LISTS}; there: {known}")
    return file


def read_list(root: Path, file: Path) -> list[list[str]]:
    """Return the words of every line that has any. Raises DataError for an empty list."""
    try:
        lines = file_text(file).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"data {root}: cannot read {file.name} ({error})") from error
    words = [line.split() for line in lines if line.strip()]
    if not words:
        raise DataError(f"data {root}: no images in {file.name}, the list is empty")
    return words
