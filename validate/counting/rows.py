"""Per-image counts, spooled to a file so that memory does not grow with the images."""

import tempfile
import weakref
from io import FileIO

import numpy as np
from numpy.typing import NDArray

from validate.metrics.large_arrays import no_room


class Rows:
    """Arrays of int64 and one shape, one for each image.

    Their file has no name, so that it is gone with the process however that ends. ArtifactError
    is raised where the folder of temporary files has no room for it.
    """

    def __init__(self) -> None:
        self._shape: tuple[int, ...] = ()
        self._count = 0
        self._file: FileIO | None = None

    def append(self, row: NDArray[np.int64]) -> None:
        """Add the array of one image."""
        assert self._count == 0 or row.shape == self._shape
        self._shape = row.shape
        data = np.ascontiguousarray(row, np.int64)
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115, as old as this
                weakref.finalize(self, self._file.close)
            written = self._file.write(data.data)
        except OSError as error:
            raise no_room(error.strerror or str(error)) from error
        if written != data.nbytes:  # what was left of the disk is less than a row
            raise no_room("No space left on device")
        self._count += 1

    def array(self) -> NDArray[np.int64] | None:
        """Return all of them, (images, *shape), read where they are looked at; None of none."""
        if self._file is None:
            return None
        return np.memmap(self._file, np.int64, "r", shape=(self._count, *self._shape))
