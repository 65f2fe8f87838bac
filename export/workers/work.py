"""What is done by workers: all of it is pickled, and may go to another machine."""

from contextlib import AbstractContextManager
from typing import Any, Protocol

from export.common.progress import Progress


class Task(Protocol):
    """A piece of work. `index` is its place among all."""

    @property
    def index(self) -> int: ...

    def at(self, done: int) -> str:
        """Name what a worker is at when `done` steps are over, such as "image 12"."""


class Work(Protocol):
    """What is done with every task."""

    def opened(self) -> AbstractContextManager[Any]:
        """Give what a worker opens once and keeps, such as sessions."""

    def do(self, opened: Any, task: Any, progress: Progress) -> Any:
        """Do one task with what `opened` gave; tell progress after every step."""
