"""Images and labels, in the order of their list."""

import hashlib
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from export.errors import DataError
from export.files import sha256_of
from validate.data.instances import Instances

Mask = Path | Instances
"""Where a label comes from: an image or .mat file, or instances to draw."""


@dataclass(frozen=True)
class Item:
    """One image; `mask` is None where there is no label."""

    id: str
    image: Path
    mask: Mask | None


def ids_digest(ids: Iterable[str]) -> str:
    """Return the hex sha256 of image ids, one per line."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


@dataclass(frozen=True)
class Dataset:
    """Items in list order. `name` and `split` go into results; `labelled` if all have masks.

    `labels` names the label map that its masks need, None where they hold class indices.
    """

    name: str
    split: str
    items: tuple[Item, ...]
    labels: str | None = None

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
        return ids_digest(
            item.mask.digest if isinstance(item.mask, Instances) else sha256_of(item.mask)
            for item in self.items
            if item.mask is not None
        )

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


def refuse_repeats(source: Path, ids: Iterable[str]) -> None:
    """Raise DataError when an image is there twice."""
    repeated = [name for name, times in Counter(ids).items() if times > 1]
    if repeated:
        raise DataError(f"data {source}: image {repeated[0]} is there more than once")


def refuse_absent(source: Path, listed_in: str, items: Iterable[Item]) -> None:
    """Raise DataError when a listed image or mask is no file."""
    files = (path for item in items for path in (item.image, item.mask) if isinstance(path, Path))
    absent = [path for path in files if not path.is_file()]
    if absent:
        raise DataError(
            f"data {source}: {len(absent)} files listed in {listed_in} are absent, "
            f"the first is {absent[0]}"
        )
