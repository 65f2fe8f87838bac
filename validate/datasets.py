"""Where images and their masks lie on disk."""

import hashlib
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from export.errors import DataError

_IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
_YEAR = re.compile(r"VOC20\d\d$")


@dataclass(frozen=True)
class Item:
    """One image; `mask` is None where there is no label."""

    id: str
    image: Path
    mask: Path | None


def ids_digest(ids: Iterable[str]) -> str:
    """Return the hex sha256 of image ids, one per line."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


@dataclass(frozen=True)
class Dataset:
    """Items in list order. `name` and `split` go into results; `labelled` if all have masks."""

    name: str
    split: str
    items: tuple[Item, ...]

    @property
    def labelled(self) -> bool:
        """Whether every item has a mask."""
        return all(item.mask is not None for item in self.items)

    @property
    def ids_sha256(self) -> str:
        """Digest of the image list, order included."""
        return ids_digest(item.id for item in self.items)

    def first(self, count: int | None) -> "Dataset":
        """Return the first `count` items as a data set of their own; all of them for None."""
        if count is not None and count < 1:
            raise DataError(f"limit {count}: give a positive number of images")
        return self if count is None else replace(self, items=self.items[:count])

    def sorted(self) -> "Dataset":
        """Return the same items by id, so that a list in another order is the same list."""
        return replace(self, items=tuple(sorted(self.items, key=lambda item: item.id)))

    def sample(self, count: int, seed: int) -> "Dataset":
        """Return `count` items drawn without repetition by `seed`, in list order.

        All of them when there are fewer. Raises DataError when that would be none.
        """
        if count < 1 or not self.items:
            raise DataError(
                f"calibration: {min(count, len(self.items))} images from {self.name}:{self.split}; "
                "at least 1 is needed"
            )
        chosen = random.Random(seed).sample(range(len(self.items)), min(count, len(self.items)))
        return replace(self, items=tuple(self.items[i] for i in sorted(chosen)))


def open_dataset(source: str, default_split: str, *, masks: bool = True) -> Dataset:
    """Open `source`: VOC_ROOT[:SPLIT], a folder with images/ and masks/, or one of images.

    `default_split` applies where VOC_ROOT names none. With `masks` False labels are neither
    needed nor looked up. Raises DataError when the folder does not hold what it should.
    """
    root, split = _parse(source)
    if not root.is_dir():
        raise DataError(f"data {source}: no such folder")
    for layout in LAYOUTS.values():
        if (home := layout.recognise(root)) is not None:
            if split is not None and not layout.has_splits:
                raise DataError(f"data {source}: {root} has no splits, leave out ':{split}'")
            found = layout.read(home, split or default_split, masks)
            if not found.items:
                raise DataError(f"data {source}: no images in {home}")
            return found
    raise DataError(
        f"data {source}: not a VOC root (JPEGImages/, SegmentationClass/, "
        "ImageSets/Segmentation/), not a folder with images/ and masks/, and no images in it"
    )


def _parse(source: str) -> tuple[Path, str | None]:
    path, separator, split = source.rpartition(":")
    if separator and path and not Path(source).exists():
        return Path(path), split
    return Path(source), None


def _voc_root(root: Path) -> Path | None:
    if (root / "JPEGImages").is_dir() or (root / "ImageSets").is_dir():
        return root
    if not _YEAR.search(root.name) and (root / "VOCdevkit").is_dir():
        root = root / "VOCdevkit"
    years = sorted(p for p in root.iterdir() if p.is_dir() and _YEAR.search(p.name))
    if len(years) > 1:
        raise DataError(f"data {root}: holds {', '.join(p.name for p in years)}; name one of them")
    return years[0] if years else None


def _read_voc(root: Path, split: str, masks: bool) -> Dataset:
    lists = root / "ImageSets" / "Segmentation"
    if not lists.is_dir():
        raise DataError(f"data {root}: has no ImageSets/Segmentation, so no split can be read")
    file = lists / f"{split}.txt"
    if not file.is_file():
        known = ", ".join(sorted(p.stem for p in lists.glob("*.txt"))) or "none"
        raise DataError(
            f"data {root}: no split '{split}' in ImageSets/Segmentation; there: {known}"
        )
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"data {root}: cannot read {file.name} ({error})") from error
    ids = [line.split()[0] for line in lines if line.strip()]
    items = tuple(
        Item(
            name,
            root / "JPEGImages" / f"{name}.jpg",
            root / "SegmentationClass" / f"{name}.png" if masks else None,
        )
        for name in ids
    )
    absent = [
        path for item in items for path in (item.image, item.mask) if path and not path.is_file()
    ]
    if absent:
        raise DataError(
            f"data {root}: {len(absent)} files listed in {split}.txt are absent, "
            f"the first is {absent[0]}"
        )
    _refuse_repeats(root, ids)
    return Dataset(root.resolve().name, split, items)


def _pairs_root(root: Path) -> Path | None:
    return root if (root / "images").is_dir() and (root / "masks").is_dir() else None


def _read_pairs(root: Path, split: str, masks: bool) -> Dataset:
    images, labels = _by_stem(root / "images"), _by_stem(root / "masks")
    if masks and (alone := sorted(images.keys() ^ labels.keys())):
        raise DataError(
            f"data {root}: {len(alone)} names are not in both images/ and masks/, "
            f"the first is {alone[0]}"
        )
    items = tuple(Item(s, path, labels[s] if masks else None) for s, path in images.items())
    return Dataset(root.resolve().name, "all", items)


def _images_root(root: Path) -> Path | None:
    folder = root / "images" if (root / "images").is_dir() else root
    return folder if any(p.suffix.lower() in _IMAGE_SUFFIXES for p in folder.iterdir()) else None


def _read_images(root: Path, split: str, masks: bool) -> Dataset:
    items = tuple(Item(stem, path, None) for stem, path in _by_stem(root).items())
    return Dataset(root.resolve().name, "all", items)


def _by_stem(folder: Path) -> dict[str, Path]:
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in _IMAGE_SUFFIXES)
    _refuse_repeats(folder, [p.stem for p in files])
    return {p.stem: p for p in files}


def _refuse_repeats(root: Path, ids: list[str]) -> None:
    if len(set(ids)) != len(ids):
        first = next(name for name in ids if ids.count(name) > 1)
        raise DataError(f"data {root}: image {first} is there more than once")


@dataclass(frozen=True)
class Layout:
    """`recognise` returns the folder to read, or None; `read(root, split, masks)` lists it."""

    recognise: Callable[[Path], Path | None]
    read: Callable[[Path, str, bool], Dataset]
    has_splits: bool = False


LAYOUTS: dict[str, Layout] = {
    "voc": Layout(_voc_root, _read_voc, has_splits=True),
    "pairs": Layout(_pairs_root, _read_pairs),
    "images": Layout(_images_root, _read_images),
}
