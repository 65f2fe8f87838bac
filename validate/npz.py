"""npz files from anywhere: read whole, or refused in one line."""

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import DataError, first_line

_SHARE_OF_MEMORY = 0.5
"""Of what is free now: arrays are copied at least once."""


def read_npz(path: Path, what: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of an npz file by name, none of them of objects.

    `what` names the content in errors. Raises DataError for a file that is missing, damaged,
    or would not fit into memory.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _SHARE_OF_MEMORY * _free_memory():
            raise DataError(
                f"{path}: would unpack to {size / 1e9:.1f} GB, more than there is room for"
            )
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    # zipfile, zlib and numpy raise what a changed byte leads them to: zlib.error, RuntimeError for
    # "encrypted", NotImplementedError, AttributeError, SyntaxError, MemoryError, struct.error ...
    except Exception as error:
        raise DataError(f"{path}: cannot be read as {what} ({first_line(error)})") from error


def _free_memory() -> float:
    """Return bytes; a machine that does not say has plenty."""
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return float("inf")
