"""The small files of per-image pixel counts that lie beside a baseline."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.common.errors import DataError
from export.common.files import sha256_of
from validate.metrics.counts import Counts, counts_of
from validate.result.evidence import Evidence
from validate.result.npz import read_npz

_LABELS = "counts"
_AGAINST = "against"


@dataclass(frozen=True)
class StoredCounts:
    """Counts (`validate.metrics.counts`) of labels, and with the reference's classes in their
    place.

    None without labels, and in baselines of earlier versions.
    """

    labels: Counts | None
    against: Counts | None


def stored_of(evidence: Evidence) -> StoredCounts:
    """Return what a baseline keeps of an artifact's evidence."""
    return StoredCounts(
        *(None if one is None else counts_of(one) for one in (evidence.labels, evidence.against))
    )


def pack_counts(evidence: Evidence) -> bytes:
    """Return the content of a file that `read_counts` reads; equal counts give equal bytes."""
    stored, file = stored_of(evidence), io.BytesIO()
    counts = {_LABELS: stored.labels, _AGAINST: stored.against}
    arrays: Any = {name: one.astype(np.uint32) for name, one in counts.items() if one is not None}
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def read_counts(path: Path, sha256: str) -> StoredCounts:
    """Read what `pack_counts` packed; raise DataError when it is absent, other or damaged."""
    if not path.is_file():
        raise DataError(f"baseline counts {path}: no such file; commit it with the baseline")
    if sha256_of(path) != sha256:
        raise DataError(f"baseline counts {path}: not the file that the baseline was written with")
    arrays = read_npz(path, "counts")
    for name, array in arrays.items():
        if array.ndim != 3 or array.shape[1] != 3 or array.dtype.kind not in "iu":
            raise DataError(f"baseline counts {path}: {name} holds no counts")
    counts = (arrays.get(_LABELS), arrays.get(_AGAINST))
    return StoredCounts(*(None if one is None else one.astype(np.int64) for one in counts))
