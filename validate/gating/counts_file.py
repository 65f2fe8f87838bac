"""Per-image pixel counts in files: a result's confusion.npz, and a baseline's smaller ones."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import DataError, first_line
from export.files import sha256_of
from validate.counts import Counts, counts_of

_ARRAY = "counts"


def read_confusions(path: Path) -> dict[str, Counts]:
    """Read a result's confusion.npz as counts by artifact id; raise DataError when damaged."""
    found = _read(path, "confusion matrices")
    for name, array in found.items():
        if array.shape[1] != array.shape[2]:
            raise DataError(f"{path}: {name} holds no confusion matrices")
    return {name: counts_of(array) for name, array in found.items()}


def read_counts(path: Path, sha256: str) -> Counts:
    """Read what `pack_counts` packed; raise DataError when it is absent, other or damaged."""
    if not path.is_file():
        raise DataError(f"baseline counts {path}: no such file; commit it with the baseline")
    if sha256_of(path) != sha256:
        raise DataError(f"baseline counts {path}: not the file that the baseline was written with")
    return _read(path, "counts")[_ARRAY]


def pack_counts(counts: Counts) -> bytes:
    """Return the content of a file that `read_counts` reads; equal counts give equal bytes."""
    file = io.BytesIO()
    arrays: Any = {_ARRAY: counts.astype(np.uint32)}
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def _read(path: Path, what: str) -> dict[str, NDArray[np.int64]]:
    """Read an npz of integer arrays with three axes."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: dict[str, NDArray[Any]] = dict(file)
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read as {what} ({first_line(error)})") from error
    for name, array in arrays.items():
        if array.ndim != 3 or array.dtype.kind not in "iu":
            raise DataError(f"{path}: {name} holds no {what}")
    return {name: array.astype(np.int64) for name, array in arrays.items()}
