"""SIGINT and SIGTERM as exceptions, so that unfinished files are removed on the way out."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_POSTPONED = 0.05
"""Seconds after which a signal that came while something was imported comes again."""
_IMPORTS = "<frozen importlib._bootstrap>"


class Terminated(BaseException):
    """SIGTERM."""


@contextmanager
def exceptions() -> Iterator[None]:
    """Make signals exceptions while the block runs; only the main thread may ask for that.

    One that is ignored, as SIGINT is in the background of a shell, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    heard = [number for number, handler in before.items() if handler != signal.SIG_IGN]
    for number in heard:
        signal.signal(number, _raise)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])


def ignore() -> None:
    """Let signals no longer disturb an end that is under way."""
    with suppress(ValueError):  # not the main thread
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def _raise(number: int, frame: FrameType | None) -> None:
    # a native module that is being initialised may abort the process on any exception
    if _importing(frame):
        again = threading.Timer(_POSTPONED, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()
    else:
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTS:
            return True
        frame = frame.f_back
    return False
