"""How much a quantized network may lose, and whether a score is within it."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import ge, le
from typing import Literal

from export.common.errors import UsageError

Kind = Literal["max_drop", "min_agreement"]


@dataclass(frozen=True)
class _Rule:
    """`within(score, limit)` tells whether a score will do; `text` says it for people.

    `perfect` is the score of fp32.
    """

    within: Callable[[float, float], bool]
    perfect: float
    low: float
    high: float
    text: str


_RULES: dict[Kind, _Rule] = {
    "max_drop": _Rule(le, 0.0, 0.0, 100.0, "mIoU drop {:.3f}"),
    "min_agreement": _Rule(ge, 100.0, 0.0, 100.0, "agreement {:.3f} %"),
}


@dataclass(frozen=True)
class Budget:
    """`max_drop`: points of mIoU below fp32; `min_agreement`: percent of pixels as in fp32."""

    kind: Kind
    limit: float

    def __post_init__(self) -> None:
        rule = _RULES[self.kind]
        if not rule.low <= self.limit <= rule.high:
            option = self.kind.replace("_", "-")
            raise UsageError(f"--{option} {self.limit:g}: give a number from 0 to 100")

    @property
    def perfect(self) -> float:
        """The score of fp32 itself."""
        return _RULES[self.kind].perfect

    def lost(self, score: float) -> float:
        """Return how far a score is from fp32's, above 0 where it is worse."""
        rule = _RULES[self.kind]
        return score - rule.perfect if rule.within is le else rule.perfect - score

    def describe(self, score: float) -> str:
        """Return a score with its name and unit."""
        return _RULES[self.kind].text.format(score)


def accepts(score: float, budget: Budget) -> bool:
    """Whether `score` is within the budget; the limit itself is, NaN never is."""
    return bool(_RULES[budget.kind].within(score, budget.limit))


def better(one: float, other: float, budget: Budget) -> bool:
    """Whether `one` is strictly the better score; any number is better than NaN."""
    return not _RULES[budget.kind].within(other, one) and one == one
