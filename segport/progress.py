"""Progress for people, on standard error."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Step = Callable[[int, int], None]


class Stages:
    """One bar for a whole command; each stage names itself and moves it.

    Without a terminal there is no bar: each stage prints one line when it begins.
    """

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None) if progress else None
        self._stage = ""

    def stage(self, name: str) -> Step:
        """Begin a stage; return the function that reports (done, total)."""
        self(name, 0, 0)
        return lambda done, total: self(name, done, total)

    def __call__(self, name: str, done: int, total: int) -> None:
        """Report that `done` of `total` steps of stage `name` are over; total 0 is unknown."""
        began = name != self._stage
        self._stage = name
        if self._progress is None or self._task is None:
            if began:
                print(f"{time.strftime('%H:%M:%S')} {name}", file=sys.stderr, flush=True)
            return
        self._progress.update(self._task, description=name, completed=done, total=total or None)


@contextmanager
def stages() -> Iterator[Stages]:
    """Show progress while the block runs; the bar is gone afterwards."""
    if not sys.stderr.isatty():
        yield Stages(None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Stages(progress)
