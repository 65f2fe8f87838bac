"""Workers that end: now and then another takes over, time and again it is an error."""

from dataclasses import dataclass

from export.common.errors import DataError, RuntimeUnavailableError
from validate.counting.engines import ATTEMPTS, Note


@dataclass(frozen=True)
class Loss:
    """The image that a worker was at, None before its first, and how it ended."""

    image: str | None
    reason: str

    def __str__(self) -> str:
        return "before its first image" if self.image is None else f"at image {self.image}"


def refuse_repeated(loss: Loss, times: int, note: Note) -> None:
    """Say that another worker takes over; raise where `times` of them ended at the same work."""
    if times < ATTEMPTS:
        note(f"a worker ended {loss} ({loss.reason}); another takes over")
        return
    kept = "what was counted is kept, and the same command goes on"
    if loss.image is None:
        raise RuntimeUnavailableError(
            f"{times} workers ended {loss} ({loss.reason}); perhaps memory ran out, try fewer "
            f"--workers; {kept}"
        )
    raise DataError(
        f"image {loss.image}: {times} workers ended at it ({loss.reason}); leave the image out, or "
        f"give workers what it needs; {kept}"
    )
