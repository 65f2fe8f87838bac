"""Give memory back to the system between stages."""

import ctypes
import gc
from contextlib import suppress


def give_back() -> None:
    """Return freed memory to the system; does nothing where the C library is not glibc.

    glibc keeps it between what is still in use: after an export and after each calibration of a
    MobileNet 0.2 to 0.3 GB, which the next stage's peak would come on top of.
    """
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
