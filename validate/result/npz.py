"""Untrusted npz files: read whole, or refused in one line."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.common.errors import DataError, first_line
from export.common.files import is_regular
from export.common.memory import refuse_beyond

_COPIES = 2
"""Arrays are copied at least once."""


def read_npz(path: Path, what: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of an npz file by name, none of them of objects.

    `what` names the content in errors. Raises DataError for a file that is missing, damaged,
    or would not fit into memory.
    """
    if not is_regular(path):
        raise DataError(f"{path}: no such file, or not a regular one")
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        refuse_beyond(_COPIES * size, what)
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    # zipfile, zlib and numpy raise what a changed byte leads them to: zlib.error, RuntimeError for
    # "encrypted", NotImplementedError, AttributeError, SyntaxError, MemoryError, struct.error ...
    except Exception as error:
        raise DataError(f"{path}: cannot be read as {what} ({first_line(error)})") from error
