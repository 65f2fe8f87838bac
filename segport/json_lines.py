"""Progress for other programs: one JSON document in each line of standard error.

    {"time": 1764286245.3, "stage": "validate", "done": 512, "total": 1000,
     "per_second": 41.2, "left": 11.8}
    {"time": 1764286245.9, "note": "a worker ended at image 12 (killed by signal 9); ..."}

A stage says something when it begins, when it is over, and at most once a second in between.
`total`, `per_second` and `left` (seconds) are null as long as they are unknown.
"""

import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from export.common.progress import Stages

INTERVAL = 1.0
"""Seconds between two lines of a stage."""


class JsonLines(Stages):
    """Writes lines as stages report; from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._stage: str | None = None
        self._begun = (0.0, 0)
        self._spoke = 0.0

    def __call__(self, name: str, done: int, total: int) -> None:
        """Report that `done` of `total` steps of a stage are over."""
        with self._lock:
            now = self._clock()
            new = name != self._stage
            if new or not done:
                self._stage, self._begun = name, (now, done)
            if new or done == total or now - self._spoke >= INTERVAL:
                self._spoke = now
                self._write(
                    stage=name, done=done, total=total or None, **self._speed(now, done, total)
                )

    def note(self, text: str) -> None:
        """Write a remark."""
        with self._lock:
            self._write(note=text)

    def _speed(self, now: float, done: int, total: int) -> dict[str, float | None]:
        start, first = self._begun
        if done <= first or now <= start:
            return {"per_second": None, "left": None}
        speed = (done - first) / (now - start)
        left = round((total - done) / speed, 1) if total else None
        return {"per_second": round(speed, 2), "left": left}

    def _write(self, **facts: Any) -> None:
        print(json.dumps({"time": round(time.time(), 3)} | facts), file=sys.stderr, flush=True)
