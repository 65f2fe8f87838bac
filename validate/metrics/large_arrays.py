"""Arrays with a row for each of many images: filled block by block, and in files where large."""

import os
import tempfile
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from export.common.errors import ArtifactError

BLOCK = 1 << 14
"""Rows at a time."""
_IN_MEMORY = 32 << 20
"""Bytes up to which an array needs no file."""


def scratch_array(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array to be filled; a large one lies in a file that has no name and ends with it.

    Raises ArtifactError where the folder of temporary files has no room for it.
    """
    size = prod(shape) * np.dtype(dtype).itemsize
    if size <= _IN_MEMORY:
        return np.empty(shape, dtype)
    try:
        with tempfile.TemporaryFile() as file:
            # a page for which the disk has no room when it is written would end the process
            os.posix_fallocate(file.fileno(), 0, size)
            return np.asarray(np.memmap(file, dtype, "r+", shape=shape))
    except OSError as error:
        raise no_room(error.strerror or str(error)) from error


def by_rows(function: Callable[..., NDArray[Any]], *arrays: NDArray[Any]) -> NDArray[Any]:
    """Return `function(*arrays)`, which looks at every row by itself, block by block of rows."""
    rows = len(arrays[0])
    found = function(*(array[:BLOCK] for array in arrays))
    if rows <= BLOCK:
        return found
    filled = scratch_array((rows, *found.shape[1:]), found.dtype)
    filled[:BLOCK] = found
    for start in range(BLOCK, rows, BLOCK):
        part = slice(start, start + BLOCK)
        filled[part] = function(*(array[part] for array in arrays))
    return filled


def no_room(reason: str) -> ArtifactError:
    """Return the error of temporary files that cannot be written."""
    return ArtifactError(
        f"cannot write temporary files to {tempfile.tempdir or 'any folder'}: {reason}; TMPDIR "
        "chooses another folder"
    )
