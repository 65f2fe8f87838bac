"""Plain folders: images/ and masks/ of equal stems, or images alone."""

from pathlib import Path

from export.errors import DataError
from validate.data.items import Dataset, Item, refuse_repeats

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


def pairs_root(root: Path) -> Path | None:
    """Return `root` if it has images/ and masks/."""
    return root if (root / "images").is_dir() and (root / "masks").is_dir() else None


def read_pairs(root: Path, split: str, masks: bool) -> Dataset:
    """List images by name; every one needs a mask and every mask an image."""
    images, labels = _by_stem(root / "images"), _by_stem(root / "masks")
    if masks and (alone := sorted(images.keys() ^ labels.keys())):
        raise DataError(
            f"data {root}: {len(alone)} names are not in both images/ and masks/, "
            f"the first is {alone[0]}"
        )
    items = tuple(Item(s, path, labels[s] if masks else None) for s, path in images.items())
    return Dataset(root.resolve().name, "all", items)


def images_root(root: Path) -> Path | None:
    """Return the folder of images that `root` is or holds as images/, or None."""
    folder = root / "images" if (root / "images").is_dir() else root
    return folder if any(map(_is_image, folder.iterdir())) else None


def read_images(root: Path, split: str, masks: bool) -> Dataset:
    """List images by name; there are no labels."""
    items = tuple(Item(stem, path, None) for stem, path in _by_stem(root).items())
    return Dataset(root.resolve().name, "all", items)


def _is_image(path: Path) -> bool:
    # macOS leaves a ._x.png beside x.png on other file systems
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _by_stem(folder: Path) -> dict[str, Path]:
    files = sorted(p for p in folder.iterdir() if _is_image(p))
    refuse_repeats(folder, (p.stem for p in files))
    return {p.stem: p for p in files}
