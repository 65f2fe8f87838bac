"""Images and labels, in the order of their list."""

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from export.common.errors import DataError
from export.common.escaping import visible
from export.common.files import is_regular, sha256_of
from export.common.names import is_inside, is_plain
from validate.data.instances import Instances

Mask = Path | Instances
"""Where a label comes from: an image or .mat file, or instances to draw."""


@dataclass(frozen=True)
class Item:
    """One image; `mask` is None where there is no label."""

    id: str
    image: Path
    mask: Mask | None

    @property
    def image_sha256(self) -> str:
        """Hex sha256 of the image file. Raises DataError when it cannot be read."""
        return _sha256(self.id, self.image)

    @property
    def mask_sha256(self) -> str | None:
        """Hex sha256 of the mask file, or of the instances' shapes; None without a label.

        Raises DataError when it cannot be read.
        """
        if isinstance(self.mask, Instances):
            return self.mask.digest
        return None if self.mask is None else _sha256(self.id, self.mask)


def _sha256(id: str, file: Path) -> str:
    try:
        return sha256_of(file)
    except OSError as error:
        raise DataError(f"image {id}: cannot read {file} ({error.strerror})") from error


def ids_digest(ids: Iterable[str]) -> str:
    """Return the hex sha256 of image ids, one per line."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


@dataclass(frozen=True)
class Dataset:
    """Items in list order. `name` and `split` go into results; `labelled` if all have masks.

    `labels` names the label map that its masks need, None where they hold class indices. `seed` is
    that by which the items were drawn, None where they are all there are.
    """

    name: str
    split: str
    items: tuple[Item, ...]
    labels: str | None = None
    seed: int | None = None

    @property
    def labelled(self) -> bool:
        """Whether every item has a mask."""
        return all(item.mask is not None for item in self.items)

    @property
    def ids_sha256(self) -> str:
        """Digest of the image list, order included."""
        return ids_digest(item.id for item in self.items)

    @property
    def labels_sha256(self) -> str | None:
        """Digest of the label set, in list order: of the files, or of the instances' shapes.

        None without labels. Equal ids with other masks are another label set.
        """
        if not self.labelled:
            return None
        return ids_digest(filter(None, (item.mask_sha256 for item in self.items)))

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
        return replace(self, items=tuple(self.items[i] for i in sorted(chosen)), seed=seed)


def refuse_repeats(source: Path, ids: Iterable[str]) -> None:
    """Raise DataError when an image is there twice."""
    repeated = [name for name, times in Counter(ids).items() if times > 1]
    if repeated:
        raise DataError(f"data {source}: image {repeated[0]} is there more than once")


def refuse_unsafe(source: Path, ids: Iterable[str]) -> None:
    """Raise DataError for an id that would lead out of a folder or cannot be shown.

    Ids become names of files that are written, and stand in reports.
    """
    for name in ids:
        if not is_plain(name):
            raise DataError(
                f"data {source}: image '{visible(name)}' has control characters, or what is no "
                "UTF-8, in its name; rename it"
            )
        if not is_inside(name):
            raise DataError(f"data {source}: image '{name}' lies outside of it")


def refuse_absent(source: Path, listed_in: str, items: Iterable[Item]) -> None:
    """Raise DataError when a listed image or mask is not a file."""
    absent = [path for path in _files(items) if not is_regular(path)]
    if absent:
        raise DataError(
            f"data {source}: {len(absent)} files listed in {listed_in} are absent, "
            f"the first is {absent[0]}"
        )


def refuse_irregular(source: Path, items: Iterable[Item]) -> None:
    """Raise DataError for a folder, pipe, device or dangling link among images and masks."""
    for path in _files(items):
        if not is_regular(path):
            raise DataError(f"data {source}: {path} is not a regular file; remove it")


def _files(items: Iterable[Item]) -> Iterator[Path]:
    return (path for item in items for path in (item.image, item.mask) if isinstance(path, Path))
