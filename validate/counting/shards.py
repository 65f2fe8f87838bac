"""The image list in pieces: what a worker is given at a time, and what an interruption loses."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from export.common.errors import DataError
from export.common.files import state_of
from validate.data.instances import Instances
from validate.data.items import Item, Mask

FEWEST, MOST = 16, 256
"""Images of a piece: few, so that little is lost, but no more than about 1,000 files are kept."""


@dataclass(frozen=True)
class Shard:
    """Consecutive items of the list, the first of them at `start`."""

    index: int
    start: int
    items: tuple[Item, ...]

    def at(self, done: int) -> str:
        """Name the image that comes after `done` others."""
        return f"image {self.items[min(done, len(self.items) - 1)].id}"

    def key(self, job: str) -> str:
        """Return 32 hex digits that change when its images, their masks, or the job's digest do.

        Files are told by path, size and time, at a URL by their version. Raises DataError for one
        that is gone.
        """
        facts = [
            [item.id, _state(item, item.image), _state(item, item.mask)] for item in self.items
        ]
        return hashlib.sha256(f"{job}\n{json.dumps(facts)}".encode()).hexdigest()[:32]


def cut(items: Sequence[Item]) -> list[Shard]:
    """Cut a list into shards of a size that depends on its length alone."""
    size = min(MOST, max(FEWEST, len(items) // 1000))
    starts = range(0, len(items), size)
    return [Shard(n, at, tuple(items[at : at + size])) for n, at in enumerate(starts)]


def _state(item: Item, file: Mask | None) -> list[object]:
    if file is None:
        return []
    if isinstance(file, Instances):
        return [file.digest]
    try:
        return state_of(file)
    except OSError as error:
        raise DataError(f"image {item.id}: cannot read {file} ({error.strerror})") from error
