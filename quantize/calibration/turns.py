"""Take turns: what several processes want to collect is collected by one; others wait."""

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_TICK = 0.1
_DIGITS = 15
"""Of a key in base 16: more than fit an offset in a file are not."""


@contextmanager
def turns(folder: Path, keys: Iterable[str], waiting: Callable[[], None]) -> Iterator[None]:
    """Let no other process into this block with one of `keys`, digests in base 16.

    Who has to wait calls `waiting` now and then, and is let in also where the other is killed:
    each key is a byte of one file beside `folder`, and its lock ends with the process. Where that
    cannot be written nobody waits.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        number = os.open(folder.with_name(f".{folder.name}-turns"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        yield
        return
    try:
        for key in sorted(set(keys)):  # in one order, so that no two wait for each other
            while not _locked(number, int(key[:_DIGITS], 16)):
                waiting()
                time.sleep(_TICK)
        yield
    finally:
        os.close(number)


def _locked(number: int, byte: int) -> bool:
    try:
        fcntl.lockf(number, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        return True
    return True
