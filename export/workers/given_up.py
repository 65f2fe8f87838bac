"""Workers that end: now and then another takes over, time and again it is an error."""

from dataclasses import dataclass

from export.common.errors import DataError, RuntimeUnavailableError
from export.workers.engines import ATTEMPTS, Note


@dataclass(frozen=True)
class Loss:
    """What a worker was at, such as "image 12", None before its first task, and how it ended."""

    place: str | None
    reason: str

    def __str__(self) -> str:
        return "before its first task" if self.place is None else f"at {self.place}"


class GivenUpError(DataError):
    """A task that ended too many workers; `place` is what it calls itself (`Task.at`)."""

    def __init__(self, message: str, place: str = "") -> None:
        super().__init__(message)
        self.place = place  # an attribute goes with a pickled error, a second argument would not


def refuse_repeated(loss: Loss, times: int, note: Note) -> None:
    """Say that another worker takes over; raise where `times` of them ended at the same work."""
    if times < ATTEMPTS:
        note(f"a worker ended {loss} ({loss.reason}); another takes over")
        return
    kept = "what was done is kept, and the same command goes on"
    if loss.place is None:
        raise RuntimeUnavailableError(
            f"{times} workers ended {loss} ({loss.reason}); perhaps memory ran out, try fewer "
            f"--workers; {kept}"
        )
    raise GivenUpError(
        f"{loss.place}: {times} workers ended at it ({loss.reason}); leave it out, or "
        f"give workers what it needs; {kept}",
        loss.place,
    )
