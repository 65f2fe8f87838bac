"""Accept or reject a candidate on as few images as it takes."""

from dataclasses import dataclass

from quantize.search.budget import SearchBudget, accepts

STANDARD_ERRORS = 4.0
"""How far from the limit a part of the images decides: 99.9 % two-sided of Student's t with the
15 degrees of freedom of the first look, and far more at the later ones."""
FIRST_LOOK = 16
"""Images before anything is decided; each further look has twice as many."""


@dataclass(frozen=True)
class ScoreReading:
    """A score on the first `images` of `total`; `error` is its standard error, 0 on all of them.

    The error is that of a sample drawn without replacement from these `total` images.
    """

    score: float
    error: float
    images: int
    total: int

    @property
    def bound(self) -> float:
        """How far the score on all images may be from this one."""
        return STANDARD_ERRORS * self.error


def looks(total: int) -> list[int]:
    """Return after how many images to look at a score: 16, 32, 64 ... and all."""
    counts = []
    count = FIRST_LOOK
    while count < total:
        counts.append(count)
        count *= 2
    return [*counts, total]


def decide(reading: ScoreReading, budget: SearchBudget) -> bool | None:
    """Return whether the candidate is within the budget; None where more images must tell.

    On all images the score itself decides, before that only an interval that lies on one side
    of the limit, and nothing before the first look. NaN is never within.
    """
    low = accepts(reading.score - reading.bound, budget)
    high = accepts(reading.score + reading.bound, budget)
    if reading.images == reading.total or reading.score != reading.score:
        return accepts(reading.score, budget)
    return low if low == high and reading.images >= FIRST_LOOK else None
