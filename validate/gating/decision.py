"""The gate's decision on a change against the baseline.

**The same images.** mIoU, a class's IoU and agreement of given images are no samples of
anything: computed twice from the same file, images and labels they are equal, but for what the
runtime rounds differently. So a change is a fact about these images, and the only excuse for one
is that numerical noise. The noise of the file was measured (`validate.judging.noise`) or is not
known; allowed is the larger of it and the tolerance. How the change spreads over images says what
other images might show. It is information, never an excuse: an interval over 40 images that holds 0
does not bring back a class that is gone from them.

Each figure is judged by itself, because each hides what another shows: mIoU averages a class away,
and on few images hangs on classes that live in one or two of them; agreement needs no labels and
sees every pixel that moved. Small steps add up: a figure is also held against the best that was
accepted since the anchor.

**Other images.** Then the two sides are independent samples. What is compared is the drop
(reference - artifact on the same images), since the images' difficulty cancels out in it. With
standard errors s1, s2 of the two drops their difference d has the standard error
s = sqrt(s1^2 + s2^2), and d -+ 1.96 s is its 95 % interval. It is a regression when the drop grew
by more than the tolerance and the interval excludes "no growth": of unchanged artifacts at most
2.5 % are called one. It passes when even the far end of the interval is within the tolerance.
Everything between cannot be told from these images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from validate.gating.verdict import Outcome

ROUNDING = 1e-9


@dataclass(frozen=True)
class Change:
    """One figure now - before, in points, negative where it is worse; `allowed` is 0 or more."""

    what: str
    value: float
    allowed: float

    @property
    def lost(self) -> bool:
        """Whether more is gone than allowed."""
        return self.value < -self.allowed - ROUNDING


def decide(
    changes: Sequence[Change],
    interval: tuple[float, float] | None = None,
    *,
    same_images: bool,
    on_inconclusive: str | None = None,
) -> Outcome:
    """Return whether changes against the baseline are a regression. Pure; see the module.

    On the same images every change must be within what is allowed. On others `interval` is that
    of the first change, which alone is judged; `on_inconclusive` decides where it tells nothing.
    """
    if same_images:
        return Outcome.FAIL if any(change.lost for change in changes) else Outcome.PASS
    change = changes[0]
    if interval is not None:
        low, high = interval
        if change.lost and high < 0:
            return Outcome.FAIL
        if low >= -change.allowed - ROUNDING:
            return Outcome.PASS
    if on_inconclusive is not None:
        return Outcome.PASS if on_inconclusive == "pass" else Outcome.FAIL
    return Outcome.UNKNOWN
