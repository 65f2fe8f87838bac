"""How long work tells how far it is: one signature, and the stages of a command."""

from collections.abc import Callable
from functools import partial

Progress = Callable[[int, int], None]
"""Is told (done, total) of one piece of work; total 0 is unknown."""


def silent(done: int, total: int) -> None:
    """Show nobody how far the work is."""


class Stages:
    """What is going on: each stage has a name and its own Progress. Subclasses show it."""

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
        """Say something that is no stage, in one line that stays."""
        self(text, 0, 0)


SILENT = Stages()
"""Shows nobody what goes on."""
