"""Progress for people at a terminal: the stages of a command, below what is to stay there."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Rows
from rich.table import Column
from rich.text import Text

from export.common.progress import Stages

SHOWN = 6
"""Stages that are shown, the one at work last: a sweep has hundreds."""


_NAME = Column(max_width=40, no_wrap=True, overflow="ellipsis")


class LiveView(Stages):
    """A row for each of the last stages: steps, steps a second, time taken and time left.

    Remarks, such as a worker that was lost or a cell that failed, stay above the rows. The rows go
    at the end of the block.
    """

    def __init__(self, console: Console) -> None:
        self._rows = Rows(
            TextColumn("{task.description}", markup=False, table_column=_NAME),
            BarColumn(),
            MofNCompleteColumn(),
            _Speed(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._stages: dict[str, TaskID] = {}
        self._at: str | None = None

    def __enter__(self) -> "LiveView":
        self._rows.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._rows.stop()

    def __call__(self, name: str, done: int, total: int) -> None:
        """Show how far a stage is, the last of those that were told."""
        if name != self._at:
            self._end()
            self._begin(name)
        self._rows.update(self._stages[name], completed=done, total=total or None)

    def note(self, text: str) -> None:
        """Print a line that stays."""
        self._rows.console.print(text, markup=False, highlight=False)

    def _end(self) -> None:
        """Stop the clock of the stage that was at work; one of unknown length is over."""
        if self._at is None:
            return
        row = self._stages[self._at]
        if self._rows.tasks[-1].total is None:
            self._rows.update(row, completed=1, total=1)
        self._rows.stop_task(row)

    def _begin(self, name: str) -> None:
        self._at = name
        if name in self._stages:  # of an earlier network, say
            self._rows.remove_task(self._stages.pop(name))
        self._stages[name] = self._rows.add_task(name, total=None)
        if len(self._stages) > SHOWN:
            self._rows.remove_task(self._stages.pop(next(iter(self._stages))))


class _Speed(ProgressColumn):
    """Steps a second, as they have been lately, or were when all were done."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s")
