"""Progress of long work: one signature, and the stages of a command."""

from collections.abc import Callable
from functools import partial

Progress = Callable[[int, int], None]
"""Is told (done, total) of one piece of work; total 0 is unknown."""


def silent(done: int, total: int) -> None:
    """Show nothing."""


class Stages:
    """Stages of a command: each has a name and its own Progress. Subclasses show them."""

    def stage(self, name: str) -> Progress:
        """Begin a stage; return what is told how far it is."""
        self(name, 0, 0)
        return self.later(name)

    def later(self, name: str) -> Progress:
        """Return what is told how far a stage is that begins when it is first told."""
        return partial(self, name)

    def __call__(self, name: str, done: int, total: int) -> None:
        """Report that `done` of `total` steps of stage `name` are over; total 0 is unknown."""

    def note(self, text: str) -> None:
        """Print a remark that is not a stage, in one line that stays."""
        self(text, 0, 0)


SILENT = Stages()
"""Shows nothing."""
