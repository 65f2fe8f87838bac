"""Progress for people, on standard error."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from threading import Event
from typing import Any

from rich.console import Console

from export.common.progress import Stages
from segport.json_lines import JsonLines
from segport.live import LiveView

_SILENT, _FOR_PROGRAMS = Event(), Event()


def be_quiet(quiet: bool) -> None:
    """Show no progress from now on, or show it again: `segport -q`."""
    (_SILENT.set if quiet else _SILENT.clear)()


def be_read_by_programs(lines: bool) -> None:
    """Show progress as JSON from now on, or for people again: `segport --json-lines`."""
    (_FOR_PROGRAMS.set if lines else _FOR_PROGRAMS.clear)()


QUIET_SECONDS = 2.0
"""Without a terminal, the longest silence of a stage that is still at work."""
_WORTH_SAYING = 10.0
"""Seconds that remain, below which nobody plans by them."""


class _Lines(Stages):
    """One line per stage, which grows while the stage takes its time."""

    def __init__(self) -> None:
        self._stage: str | None = None
        self._counter = ""
        self._begun = (0.0, 0)
        self._spoke = time.monotonic()
        self._lock = threading.Lock()

    def __call__(self, name: str, done: int, total: int) -> None:
        with self._lock:
            now = time.monotonic()
            if name != self._stage or not self._begun[1] or not done:
                self._begun = (now, done)  # the first bears the opening of files and sessions
            self._counter = f" {done}/{total}{self._left(now, done, total)}" if total else " ."
            if name != self._stage:
                start = "" if self._stage is None else "\n"
                self._stage = name
                self._write(f"{start}{time.strftime('%H:%M:%S')} {name}")

    def remind(self) -> None:
        """Show a sign of life if nothing was shown for a while."""
        with self._lock:
            silent = time.monotonic() - self._spoke
            if self._stage is not None and silent >= QUIET_SECONDS:
                self._write(self._counter)

    def close(self) -> None:
        """End the line that is open."""
        with self._lock:
            if self._stage is not None:
                self._write("\n")

    def _left(self, now: float, done: int, total: int) -> str:
        """Return ", M:SS left" at the speed that the stage had up to now."""
        start, first = self._begun
        if done <= first:
            return ""
        seconds = round((now - start) / (done - first) * (total - done))
        return f", {seconds // 60}:{seconds % 60:02d} left" if seconds >= _WORTH_SAYING else ""

    def _write(self, text: str) -> None:
        print(text, end="", file=sys.stderr, flush=True)
        self._spoke = time.monotonic()


class _NotebookBar(Stages):
    """One bar for a whole call, which goes when the call is over; notes stay."""

    def __init__(self) -> None:
        self._display: Any = None

    def __call__(self, name: str, done: int, total: int) -> None:
        """Show stage, bar and count."""
        value = f'value="{done}" max="{total}"' if total else ""
        count = f" {done}/{total}" if total else ""
        self._show(f"<progress {value}></progress> {escape(name)}{count}")

    def note(self, text: str) -> None:
        """Print a line."""
        print(text, file=sys.stderr)

    def close(self) -> None:
        """Take the bar away."""
        if self._display is not None:
            self._show("")

    def _show(self, html: str) -> None:
        from IPython.display import HTML, display

        if self._display is None:
            self._display = display(HTML(html), display_id=True)
        else:
            self._display.update(HTML(html))


def _in_notebook() -> bool:
    """Return whether a notebook's kernel runs this process; IPython is not imported to find out."""
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    return type(shell).__name__ == "ZMQInteractiveShell"


@contextmanager
def stages(*, shown: bool = True) -> Iterator[Stages]:
    """Show progress while the block runs: rows that vanish, or lines where none can be shown."""
    if not shown or _SILENT.is_set():
        yield Stages()
        return
    if _FOR_PROGRAMS.is_set():
        yield JsonLines()
        return
    if _in_notebook():
        bar = _NotebookBar()
        try:
            yield bar
        finally:
            bar.close()
        return
    if not sys.stderr.isatty():
        with _lines() as lines:
            yield lines
        return
    with LiveView(Console(stderr=True)) as view:
        yield view


@contextmanager
def _lines() -> Iterator[_Lines]:
    lines, over = _Lines(), threading.Event()

    def remind() -> None:
        while not over.wait(QUIET_SECONDS / 4):
            lines.remind()

    # libraries that take seconds to import or compile do not report; a thread does
    thread = threading.Thread(target=remind, daemon=True)
    thread.start()
    try:
        yield lines
    finally:
        over.set()
        thread.join()
        lines.close()
