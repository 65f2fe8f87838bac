"""The time limit of a search."""

import time
from collections.abc import Callable

Say = Callable[[str], None]

MINUTES = 4.0
"""For a search, unless the user says otherwise."""


class Clock:
    """Knows when time is over, and adds what is left of it to what is said.

    `minutes` is None for no limit.
    """

    def __init__(self, say: Say, minutes: float | None) -> None:
        self._say = say
        self._start = time.monotonic()
        self._limit = None if minutes is None else 60 * minutes

    def over(self, part: float = 1.0) -> bool:
        """Whether `part` of the limit has passed."""
        return self._limit is not None and time.monotonic() - self._start >= part * self._limit

    def say(self, text: str) -> None:
        """Pass a text on."""
        if self._limit is not None:
            left = max(0.0, self._limit - (time.monotonic() - self._start))
            text = f"{text} ({left:.0f} s left)"
        self._say(f"search: {text}")
