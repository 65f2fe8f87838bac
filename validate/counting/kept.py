"""Rows of finished shards in the output folder, so that the same command goes on from there.

A shard's file holds what `validate.result.evidence` describes and is named KEY-DIGEST.npz: the key
of what was counted, and the start of the digest of the counts. A file that says something else
than its name is no count and is made again.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from export.common.errors import ArtifactError, DataError
from export.common.files import scratch_folder
from validate.counting.shards import Shard
from validate.result.evidence import Evidence, read_evidence, write_evidence

FOLDER = "rows"
_DIGITS = 16
Counts = Mapping[str, Evidence]
"""What was counted in a shard, by artifact id."""


@dataclass(frozen=True)
class Packed:
    """A shard's counts as the bytes of its file, and their digest.

    Workers pack: compressing what 256 of them count would be more than one driver can do.
    """

    data: bytes
    digest: str

    @classmethod
    def of(cls, counts: Counts, images: Sequence[str]) -> "Packed":
        """Pack what was counted of `images`."""
        file = BytesIO()
        digest = write_evidence(counts, images, file)
        return cls(file.getvalue(), digest)


class KeptRows:
    """The shards of one job that are finished; `folder` is that of the result."""

    def __init__(self, folder: Path, job: str) -> None:
        self._folder = folder / FOLDER
        self._job = job
        self._keys: dict[int, str] = {}
        self._there: dict[str, Path] = {}
        for path in sorted(self._folder.glob("*-*.npz")):
            self._there.setdefault(path.name.partition("-")[0], path)

    def _key(self, shard: Shard) -> str:
        """Return the shard's key as it was when it was first asked for: before it was counted."""
        if shard.index not in self._keys:
            self._keys[shard.index] = shard.key(self._job)
        return self._keys[shard.index]

    def counts(self, shard: Shard) -> Counts | None:
        """Return what was counted, None for a shard that is not there or damaged."""
        path = self._there.get(self._key(shard))
        if path is None:
            return None
        try:
            found = read_evidence(path)
        except DataError:
            found = None
        ids = [item.id for item in shard.items]
        if found and path.stem.endswith(f"-{found.sha256[:_DIGITS]}") and found.images == ids:
            return found.by_id
        path.unlink(missing_ok=True)
        return None

    def has(self, shard: Shard) -> bool:
        """Whether a file for the shard is there and whole."""
        return self.counts(shard) is not None

    def keep(self, shard: Shard, packed: Packed) -> None:
        """Write a shard's counts, whole or not at all; ArtifactError where there is no room."""
        key = self._key(shard)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with scratch_folder(self._folder) as scratch:
                partial = scratch / "rows.npz"
                partial.write_bytes(packed.data)
                path = self._folder / f"{key}-{packed.digest[:_DIGITS]}.npz"
                partial.replace(path)
        except OSError as error:
            raise ArtifactError(
                f"cannot keep counts in {self._folder}: {error.strerror or error}; what is there "
                "stays: make room, and the same command goes on"
            ) from error
        self._there[key] = path


def remove_rows(folder: Path) -> None:
    """Forget the rows in the folder of a result, which is there now."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
