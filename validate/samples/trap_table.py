"""The table of traps in labels; `validate.samples.traps` looks for them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from export.common.tables import Lazy, known

if TYPE_CHECKING:
    from validate.samples.traps import Labels


def _unseen(labels: "Labels") -> None:
    """Say nothing of all labels together: what is wrong shows where one of them is read."""


@dataclass(frozen=True)
class Trap:
    """`problem(labels)` says what is wrong with all labels of a data set, or None."""

    help: str
    problem: "Callable[[Labels], str | None]" = _unseen


MASK_SIZE = "mask-size"
TRAPS: dict[str, Trap] = {
    "white-is-void": Trap("0 and 255 only, 255 is void", Lazy("validate.samples.traps:white")),
    "absent-class": Trap(
        "a class is nowhere while much is void", Lazy("validate.samples.traps:absent")
    ),
    "one-class": Trap("all masks hold one class", Lazy("validate.samples.traps:single")),
    MASK_SIZE: Trap("masks of another size than their image are resized to it"),
}
"""By the name that a user accepts them by."""


def check_accepted(names: Iterable[str]) -> None:
    """Raise UsageError for an unknown trap."""
    for name in names:
        known("name to accept", name, TRAPS)
