import math
from collections.abc import Callable

import pytest

from export.common.errors import UsageError
from quantize.search.budget import Budget, accepts, better

NAN, INF = math.nan, math.inf
DROP = Budget("max_drop", 0.3)
AGREEMENT = Budget("min_agreement", 99.0)


@pytest.mark.parametrize(
    ("budget", "score", "expected"),
    [
        (DROP, 0.3, True),  # the limit itself is within
        (DROP, math.nextafter(0.3, 1), False),
        (DROP, math.nextafter(0.3, 0), True),
        (DROP, 0.0, True),
        (DROP, -1.2, True),  # better than fp32
        (DROP, 5.0, False),
        (DROP, INF, False),
        (DROP, -INF, True),
        (DROP, NAN, False),
        (AGREEMENT, 99.0, True),
        (AGREEMENT, math.nextafter(99.0, 100), True),
        (AGREEMENT, math.nextafter(99.0, 0), False),
        (AGREEMENT, 100.0, True),
        (AGREEMENT, 0.0, False),
        (AGREEMENT, INF, True),
        (AGREEMENT, -INF, False),
        (AGREEMENT, NAN, False),
        (Budget("max_drop", 0.0), 0.0, True),
        (Budget("max_drop", 0.0), 1e-9, False),
        (Budget("max_drop", 100.0), 100.0, True),
        (Budget("min_agreement", 0.0), 0.0, True),
        (Budget("min_agreement", 100.0), 100.0, True),
        (Budget("min_agreement", 100.0), 99.9999, False),
    ],
)
def test_accepts(budget: Budget, score: float, expected: bool) -> None:
    assert accepts(score, budget) is expected


@pytest.mark.parametrize(
    ("budget", "one", "other", "expected"),
    [
        (DROP, 0.4, 0.5, True),
        (DROP, 0.5, 0.4, False),
        (DROP, 0.4, 0.4, False),
        (DROP, 0.4, NAN, True),
        (DROP, NAN, 0.4, False),
        (DROP, NAN, NAN, False),
        (AGREEMENT, 98.0, 97.0, True),
        (AGREEMENT, 97.0, 98.0, False),
        (AGREEMENT, 97.0, 97.0, False),
        (AGREEMENT, 97.0, NAN, True),
        (AGREEMENT, NAN, 97.0, False),
    ],
)
def test_better(budget: Budget, one: float, other: float, expected: bool) -> None:
    assert better(one, other, budget) is expected


@pytest.mark.parametrize("limit", [-0.1, 100.1, NAN, INF])
@pytest.mark.parametrize(
    ("make", "option"),
    [
        (lambda limit: Budget("max_drop", limit), "--max-drop"),
        (lambda limit: Budget("min_agreement", limit), "--min-agreement"),
    ],
)
def test_a_limit_no_score_can_have_is_refused(
    make: Callable[[float], Budget], option: str, limit: float
) -> None:
    with pytest.raises(UsageError, match=f"{option} .*: give a number from 0 to 100"):
        make(limit)


def test_scores_are_named_with_their_unit() -> None:
    assert DROP.describe(0.25) == "mIoU drop 0.250"
    assert AGREEMENT.describe(98.5) == "agreement 98.500 %"
