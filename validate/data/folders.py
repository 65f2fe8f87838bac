"""Plain folders: images and masks of names that belong together, or images alone.

images/*.jpg   masks/*.png             or labels/, annotations/ …; also photo.jpg, photo_mask.png
images/val/    annotations/val/        with splits; ADE20K calls them training and validation
val/           valannot/               CamVid, as SegNet's authors pack it
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path

from export.common.errors import DataError
from validate.data.items import Dataset, Item, refuse_repeats

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
IMAGES = ("images", "image", "imgs", "img")
MASKS = ("masks", "mask", "labels", "label", "annotations", "annotation", "gt", "labelmaps")
"""Names of the two folders."""
_OTHER_NAMES = {"val": ("validation", "valid"), "train": ("training",)}
_ANNOTATED = "annot"


def pairs_root(root: Path) -> Path | None:
    """Return `root` if it has a folder of images and one of masks, by their names."""
    return root if _pair_of(root) else None


def read_pairs(root: Path, split: str, masks: bool, suffix: str | None = None) -> Dataset:
    """List images by name; every one needs a mask and every mask an image.

    A mask is called like its image, or every mask has one ending (or beginning) more; `suffix` is
    that ending where the user named it.
    """
    images, labels = _pair_of(root) or (root, root)
    return Dataset(root.resolve().name, "all", _items(root, images, labels, masks, suffix))


def splits_root(root: Path) -> Path | None:
    """Return `root` if its images and masks lie in folders of splits."""
    return root if root.is_dir() and _splits(root) else None


def read_split(root: Path, split: str, masks: bool, suffix: str | None = None) -> Dataset:
    """List a split as `read_pairs` does. Raises DataError for one that is not there."""
    there = _splits(root)
    match = next((name for name in (split, *_OTHER_NAMES.get(split, ())) if name in there), None)
    if match is None:
        raise DataError(f"data {root}: no split '{split}'; there: {', '.join(sorted(there))}")
    items = _items(root, *there[match], masks, suffix)
    return Dataset(root.resolve().name, match, items)


def images_root(root: Path) -> Path | None:
    """Return the folder of images that `root` is or holds as images/, or None."""
    folder = next((root / name for name in IMAGES if (root / name).is_dir()), root)
    return folder if _has_images(folder) else None


def read_images(root: Path, split: str, masks: bool) -> Dataset:
    """List images by name; there are no labels."""
    items = tuple(Item(stem, path, None) for stem, path in _by_stem(root).items())
    return Dataset(root.resolve().name, "all", items)


def refuse_unseen_labels(images: Path) -> None:
    """Raise DataError where a folder beside the images has files of the same names."""
    stems = _by_stem(images)
    for folder in sorted(path for path in images.parent.iterdir() if path.is_dir()):
        if folder == images or not _has_images(folder):
            continue
        others = [path.stem for path in folder.iterdir() if _is_image(path)]
        if len(stems.keys() & set(others)) * 2 >= len(stems):
            raise DataError(
                f"data {images.parent}: {folder.name}/ holds files of the same names as "
                f"{images.name}/; if they are the labels, call it masks/, if not, give {images}"
            )


def _pair_of(root: Path) -> tuple[Path, Path] | None:
    images, labels = (
        next((root / name for name in names if (root / name).is_dir()), None)
        for names in (IMAGES, MASKS)
    )
    if images is None or labels is None or not (_has_images(images) or _has_images(labels)):
        return None
    return images, labels


def _splits(root: Path) -> dict[str, tuple[Path, Path]]:
    """Return the folders of images and of masks by split."""
    splits = {}
    for path in sorted(p for p in root.iterdir() if p.is_dir()):
        labels = path.with_name(path.name + _ANNOTATED)
        if labels.is_dir() and _has_images(path):
            splits[path.name] = (path, labels)
    for images in (root / name for name in IMAGES):
        for labels in (root / name for name in MASKS):
            if images.is_dir() and labels.is_dir():
                for path in sorted(p for p in images.iterdir() if p.is_dir()):
                    if (labels / path.name).is_dir() and _has_images(path):
                        splits.setdefault(path.name, (path, labels / path.name))
    return splits


def _items(
    root: Path, images: Path, labels: Path, masks: bool, suffix: str | None
) -> tuple[Item, ...]:
    pictures = _by_stem(images)
    if not masks:
        return tuple(Item(stem, path, None) for stem, path in pictures.items())
    by_stem = _by_stem(labels)
    matched = _matched(pictures, by_stem, suffix)
    if matched is None:
        alone = sorted(pictures.keys() ^ {stem.removesuffix(suffix or "") for stem in by_stem})
        raise DataError(
            f"data {root}: {len(alone)} names are not in both {images.relative_to(root)}/ and "
            f"{labels.relative_to(root)}/, the first is {alone[0] if alone else ''}; where masks "
            "have an ending of their own, such as _mask, give --mask-suffix"
        )
    return tuple(Item(stem, pictures[stem], by_stem[mask]) for stem, mask in matched.items())


def _matched(
    images: Iterable[str], masks: Iterable[str], suffix: str | None
) -> dict[str, str] | None:
    """Return the mask of each image, by stem; None where they do not belong together."""
    images, masks = list(images), set(masks)
    if suffix is not None:
        wanted = {stem: stem + suffix for stem in images}
        return wanted if set(wanted.values()) == masks else None
    if set(images) == masks:
        return {stem: stem for stem in images}
    if len(images) == 1 == len(masks):
        (mask,) = masks
        return {images[0]: mask} if mask.startswith(images[0]) else None
    ours, theirs = _ends(images), _ends(masks)
    if any(a != b and any(map(str.isdigit, a + b)) for a, b in zip(ours, theirs, strict=True)):
        return None  # numbers that differ are no mere endings
    by_key = {_key(stem, theirs): stem for stem in masks}
    wanted = {stem: by_key.get(_key(stem, ours), "") for stem in images}
    return wanted if set(wanted.values()) == masks and len(by_key) == len(masks) else None


def _ends(stems: Iterable[str]) -> tuple[str, str]:
    """Return what all stems begin and end with, up to their numbers."""
    stems = list(stems)
    start = _common(stems)
    return start, _common([stem[len(start) :][::-1] for stem in stems])[::-1]


def _common(texts: Sequence[str]) -> str:
    """Return what all texts begin with, without the digits it ends in."""
    shared = takewhile(lambda column: len(set(column)) == 1, zip(*texts, strict=False))
    return "".join(column[0] for column in shared).rstrip("0123456789")


def _key(stem: str, ends: tuple[str, str]) -> str:
    start, end = ends
    return stem[len(start) : len(stem) - len(end)]


def _has_images(folder: Path) -> bool:
    return folder.is_dir() and any(map(_is_image, folder.iterdir()))


def _is_image(path: Path) -> bool:
    # macOS leaves a ._x.png beside x.png on other file systems
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _by_stem(folder: Path) -> Mapping[str, Path]:
    files = sorted(p for p in folder.iterdir() if _is_image(p))
    refuse_repeats(folder, (p.stem for p in files))
    return {p.stem: p for p in files}
