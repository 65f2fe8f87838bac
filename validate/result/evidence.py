"""What was counted, image by image: the evidence that every figure of a result stands on.

A result's confusion.npz holds, for each artifact id, up to four arrays of n images in the
result's order, and once the ids of the images:

    ID             int64 (n, classes, classes): rows = label, columns = prediction
    against/ID     int64 (n, classes, classes): rows = the reference's class, all pixels
    near/ID        int64 (n, 2): pixels near a border, and those of them that agree
    nonfinite/ID   bool (n,): whether the logits held inf or NaN
    images         str (n,)

The first is absent without labels; results of versions before 0.2 have nothing else.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from export.common.errors import DataError
from validate.result.npz import read_npz

IMAGES = "images"
_KINDS = {"against": 3, "near": 2, "nonfinite": 1}
"""Arrays beside the confusion matrices: the prefix of their names, and how many axes each has."""
_MOST = 1 << 48
"""Pixels of a count; sums of more would not be exact, and no image has as many."""

Matrices = NDArray[np.int64]


@dataclass(frozen=True)
class Evidence:
    """The arrays of one artifact, as above; None for what a file does not hold."""

    labels: Matrices | None = None
    against: Matrices | None = None
    near: NDArray[np.int64] | None = None
    nonfinite: NDArray[np.bool_] | None = None

    @property
    def complete(self) -> bool:
        """Whether it holds all that does not need labels."""
        return all(part is not None for part in (self.against, self.near, self.nonfinite))


@dataclass(frozen=True)
class EvidenceFile:
    """All of a confusion.npz: evidence by artifact id, image ids (None in older files), digest."""

    by_id: Mapping[str, Evidence]
    images: Sequence[str] | None
    sha256: str


def write_evidence(by_id: Mapping[str, Evidence], images: Sequence[str], file: IO[bytes]) -> str:
    """Write a confusion.npz; return the digest of its content."""
    arrays: Any = _arrays(by_id, images)
    np.savez_compressed(file, **arrays)
    return digest(arrays)


def read_evidence(path: Path) -> EvidenceFile:
    """Read a confusion.npz; raise DataError for one that is missing, damaged or no counts."""
    arrays = read_npz(path, "confusion matrices")
    names = arrays.get(IMAGES)
    for name, array in arrays.items():
        _check(path, name, array)
    ids = dict.fromkeys(
        name.partition("/")[2] if _kind(name) else name for name in arrays if name != IMAGES
    )
    by_id = {
        id: Evidence(_integers(arrays.get(id)), *(_found(arrays, kind, id) for kind in _KINDS))
        for id in ids
    }
    return EvidenceFile(by_id, None if names is None else names.tolist(), digest(arrays))


def digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the hex sha256 of what arrays hold, however a file stores them."""
    hashed = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        if array.dtype.kind in "iu":  # the same counts in fewer bytes are the same counts
            array = array.astype("<i8", copy=False)
        hashed.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        hashed.update(np.ascontiguousarray(array).data)
    return hashed.hexdigest()


def _arrays(by_id: Mapping[str, Evidence], images: Sequence[str]) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    for id, evidence in by_id.items():
        for part in fields(evidence):
            array = getattr(evidence, part.name)
            if array is not None:
                arrays[id if part.name == "labels" else f"{part.name}/{id}"] = array
    return arrays | {IMAGES: np.array(images, dtype=np.str_)}


def _kind(name: str) -> str | None:
    prefix, separator, _ = name.partition("/")
    return prefix if separator and prefix in _KINDS else None


def _check(path: Path, name: str, array: NDArray[Any]) -> None:
    """Raise DataError for an array that is not what its name says."""
    if name == IMAGES:
        fits = array.ndim == 1 and array.dtype.kind == "U"
    elif (kind := _kind(name)) == "nonfinite":
        fits = array.ndim == 1 and array.dtype.kind == "b"
    else:
        square = kind == "near" or (array.ndim == 3 and array.shape[1] == array.shape[2])
        axes = _KINDS[kind] if kind else 3
        whole = array.dtype.kind in "iu" and array.min(initial=0) >= 0
        whole = whole and array.max(initial=0) < _MOST
        fits = array.ndim == axes and square and whole
    if not fits:
        raise DataError(
            f"{path}: {name} holds no {'confusion matrices' if _kind(name) is None else 'counts'}"
        )


def _found(arrays: Mapping[str, NDArray[Any]], kind: str, id: str) -> NDArray[Any] | None:
    array = arrays.get(f"{kind}/{id}")
    return array if kind == "nonfinite" else _integers(array)


def _integers(array: NDArray[Any] | None) -> NDArray[np.int64] | None:
    return None if array is None else array.astype(np.int64)
