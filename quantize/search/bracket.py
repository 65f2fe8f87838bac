"""Find the first of sets that lose less and less that is within the budget."""

from collections.abc import Mapping, Sequence

from quantize.search.budget import SearchBudget
from quantize.search.clock import Clock
from quantize.search.order import Foreseen
from quantize.search.trials import Candidate, Trials

CLOSE = 0.01
"""Share of the work between a set that is out and one that is in, which is not searched further."""
CHOOSING_TIME = 0.75
"""Share of the time limit after which what was found is settled."""
GUESSES = 2
"""Of three candidates so many are where the loss foreseen, scaled by what was scored, says; the
third is halfway, so that a wrong scale does not make it one step after the other."""


def find(sets: Sequence[Foreseen], trials: Trials, clock: Clock) -> Candidate | None:
    """Return the candidate with least work in float that is within budget on all images, or None.

    The first of `sets`, with nothing in float, was tried and is out. When time is over None.
    """
    tried: dict[int, Candidate] = {0: trials.done[0]}
    while not clock.over():
        out = max(index for index, candidate in tried.items() if not candidate.likely or index == 0)
        within = min(
            (i for i, candidate in tried.items() if candidate.likely and i > out), default=len(sets)
        )
        if within < len(sets) and (_near(sets, out, within) or clock.over(CHOOSING_TIME)):
            tried[within] = trials.try_out(sets[within].kept_float, settle=True)
            if tried[within].accepted:
                return tried[within]
            continue
        if within - out < 2 or clock.over(CHOOSING_TIME):
            return None
        at = (out + within) // 2
        if len(tried) % (GUESSES + 1):
            at = _guess(sets, tried, out, within, trials.budget)
        tried[at] = trials.try_out(sets[at].kept_float)
        if (worse := trials.beaten(tried[at])) is not None:
            clock.say(
                f"{len(tried[at].kept_float)} layers {trials.target.spared} score worse than "
                f"{len(worse.kept_float)}: passed over"
            )
    return None


def _near(sets: Sequence[Foreseen], out: int, within: int) -> bool:
    return within - out < 2 or sets[within].work - sets[out].work <= CLOSE


def _guess(
    sets: Sequence[Foreseen],
    tried: Mapping[int, Candidate],
    out: int,
    within: int,
    budget: SearchBudget,
) -> int:
    """Return the first set between the two whose loss will do, on a line through what was scored.

    Nothing in float that loses anything would be the origin of that line.
    """
    loss, lost = sets[out].loss, budget.lost(tried[out].reading.score)
    end, least = (0.0, 0.0) if within == len(sets) else _scored(sets, tried, within, budget)
    allowed = budget.lost(budget.limit)
    wanted = end + (loss - end) * (allowed - least) / (lost - least) if lost > least else end
    between = range(out + 1, within)
    return next((index for index in between if sets[index].loss <= wanted), between[-1])


def _scored(
    sets: Sequence[Foreseen], tried: Mapping[int, Candidate], at: int, budget: SearchBudget
) -> tuple[float, float]:
    return sets[at].loss, budget.lost(tried[at].reading.score)
