"""Find how little has to stay in float for an int8 network to keep within a budget.

A candidate is the file that would be shipped, made by the same function, with other layers left in
float; there is no second graph that has to be like it.

What leaves int8 becomes float32 and not int8 weights with 16-bit activations: onnxruntime's
CPU provider has no such kernels. Between uint16 or int16 Q/DQ pairs it leaves the Conv in
float, as 1.31's optimized graph shows, so that they would only add conversions to it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from onnx import ModelProto

from export.artifact import ImageRef, Sample
from export.errors import QuantizeError
from quantize.plan import Plan
from quantize.search.budget import Budget, better
from quantize.search.evaluator import Build, Evaluator
from quantize.search.order import Shares, float_sets, orders, shares
from quantize.search.ranker import Block, rank, units
from quantize.search.trials import Candidate, Score, Trials, row

RANKING_IMAGES = 2
LEAST_INT8 = 0.1
"""With a smaller share of the MACs in int8 there is little left to gain over fp16."""
IN_BETWEEN = (0.25, 0.5, 0.75)
"""Where on the first path the frontier is filled in, when nothing meets the budget."""
REFINEMENTS = 4
"""How many of the largest layers in float are tried in int8 again."""
FIRST_TIME = 0.2
"""Share of the time limit after which all int8 is no longer waited for to be clearly in or out."""
RANKING_TIME = 0.4
"""Share of the time limit after which no more blocks are measured."""
CHOOSING_TIME = 0.7
"""Share of the time limit after which what was found is settled, or the frontier filled in."""

Latency = Callable[[Sequence[ModelProto]], Sequence[float]]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Search:
    """What a search needs from outside: the budget, and who judges a candidate.

    `score` gives a model's readings in the unit of the budget; `images` are those it looked at,
    asked for afterwards. `latency` measures models in turns, ms. `minutes` limits the time, None
    does not. `say` is told in words what goes on.
    """

    budget: Budget
    score: Score
    images: Callable[[], Sequence[ImageRef]]
    latency: Latency | None = None
    minutes: float | None = None
    say: Say = lambda text: None


@dataclass(frozen=True)
class SearchResult:
    """The chosen candidate, all that were scored, the frontier, and what the order came from.

    `latency_ms` has "fp32", "int8" (nothing in float) and "chosen", measured in turns, or is
    None. `images` are those the ranking used.
    """

    chosen: Candidate
    candidates: tuple[Candidate, ...]
    frontier: tuple[Candidate, ...]
    ranking: tuple[Block, ...]
    latency_ms: dict[str, float] | None
    images: tuple[ImageRef, ...]
    verdict: str

    def facts(self) -> dict[str, Any]:
        """Return what a manifest records."""
        return {
            "verdict": self.verdict,
            "candidates": [row(candidate) for candidate in self.candidates],
            "frontier": [row(candidate) for candidate in self.frontier],
            "ranking": [
                {"layers": block.name} | vars(block.alone) for block in self.ranking if block.alone
            ],
            "latency_ms": self.latency_ms,
        }


def search(
    plan: Plan, fp32: ModelProto, build: Build, samples: Sequence[Sample], wanted: Search
) -> SearchResult:
    """Return the candidate with the most int8 found whose score is within the budget.

    `build` makes the network that keeps some layers of `plan` in float. `samples` are calibration
    images, of which a few, evenly spread, rank. All int8 is scored; then
    for one order after the other in which layers become float, the far end, and if that is within
    budget a bisection, and the result with one of its largest layers back in int8. What is chosen
    is scored on all images, unless time is over. Raises QuantizeError with the frontier when the
    budget cannot be met with LEAST_INT8 of the MACs in int8, or not in the time.
    """
    clock = _Clock(wanted)
    everything = frozenset(plan.layers)
    counted = shares(plan.model, samples[0].image.shape)

    def share(kept: frozenset[str]) -> float:
        return sum(counted.macs.get(layer, 0.0) for layer in plan.layers if layer not in kept)

    trials = Trials(build, share, wanted.score, wanted.budget, clock.say, clock.over)
    blocks: list[Block] = []
    used: list[Sample] = []
    chosen: Candidate | None = trials.try_out(frozenset(), until=FIRST_TIME)
    if chosen and chosen.accepted:
        chosen = trials.try_out(frozenset(), settle=not clock.over())
    if not (chosen and chosen.accepted):
        count = min(len(samples), RANKING_IMAGES)
        used = [samples[len(samples) * index // count] for index in range(count)]
        evaluator = Evaluator(fp32, used)
        blocks = rank(
            units(plan.layers, counted.macs),
            lambda layers: evaluator.measure(build(everything.difference(layers))),
            clock.say,
            lambda: clock.over(RANKING_TIME),
        )
        most = share(frozenset()) - LEAST_INT8
        paths = [float_sets(order, counted, most) for order in orders(blocks, counted, LEAST_INT8)]
        chosen = _best(paths, trials, counted, clock)
    frontier = trials.frontier(everything)
    if chosen is None:
        raise _failure(trials, frontier, clock)
    return SearchResult(
        chosen=chosen,
        candidates=trials.done,
        frontier=frontier,
        ranking=tuple(blocks),
        latency_ms=_measured(fp32, build, chosen, wanted.latency),
        images=tuple(ImageRef(id=sample.id, sha256=sample.sha256) for sample in used),
        verdict=_verdict(plan, chosen, trials),
    )


class _Clock:
    """Knows when time is over, and adds what is left of it to what is said."""

    def __init__(self, wanted: Search) -> None:
        self._say = wanted.say
        self._start = time.monotonic()
        self._limit = None if wanted.minutes is None else 60 * wanted.minutes

    def over(self, part: float = 1.0) -> bool:
        """Whether `part` of the limit has passed."""
        return self._limit is not None and time.monotonic() - self._start >= part * self._limit

    def say(self, text: str) -> None:
        """Pass a text on."""
        if self._limit is not None:
            left = max(0.0, self._limit - (time.monotonic() - self._start))
            text = f"{text} ({left:.0f} s left)"
        self._say(f"search: {text}")


def _best(
    paths: Sequence[Sequence[frozenset[str]]], trials: Trials, counted: Shares, clock: _Clock
) -> Candidate | None:
    """Return what is within budget on one of the `paths`, which are tried in turn.

    When time is over that is the candidate with most int8 of those found within budget so far.
    When there is none, sets in between are scored all the same: they show what to ask for instead.
    """
    for sets in paths:
        if clock.over(CHOOSING_TIME):
            break
        position = _bisect(sets, trials, clock)
        settled = None if position is None else _settled(sets[position:], trials, clock)
        if settled is not None:
            return _refined(settled, trials, counted, clock)
    for part in IN_BETWEEN:
        if not clock.over():
            trials.try_out(paths[0][int(part * (len(paths[0]) - 1))])
    accepted = [candidate for candidate in trials.done if candidate.accepted]
    return max(accepted, key=lambda one: one.int8_macs_share, default=None)


def _bisect(sets: Sequence[frozenset[str]], trials: Trials, clock: _Clock) -> int | None:
    """Return the position of the first of the growing `sets` found within budget, else None."""
    rejected, accepted = 0, len(sets) - 1
    if not accepted or not trials.try_out(sets[accepted]).accepted:
        return None
    while accepted - rejected > 1 and not clock.over(CHOOSING_TIME):
        middle = (rejected + accepted) // 2
        if trials.try_out(sets[middle]).accepted:
            accepted = middle
        else:
            rejected = middle
    return accepted


def _settled(sets: Sequence[frozenset[str]], trials: Trials, clock: _Clock) -> Candidate | None:
    """Return the first of the growing `sets` that is within budget on all images."""
    for kept in sets:
        if clock.over():
            return None
        found = trials.try_out(kept, settle=True)
        if found.accepted:
            return found
    return None


def _refined(best: Candidate, trials: Trials, counted: Shares, clock: _Clock) -> Candidate:
    """Return `best` with those of its layers with most MACs in int8 that can be."""
    costly = [layer for layer in sorted(best.kept_float) if counted.macs.get(layer)]
    costly.sort(key=lambda layer: -counted.macs[layer])
    for layer in costly[:REFINEMENTS]:
        fewer = best.kept_float - {layer}
        if not clock.over() and trials.try_out(fewer).accepted and not clock.over():
            found = trials.try_out(fewer, settle=True)
            best = found if found.accepted else best
    return best


def _verdict(plan: Plan, chosen: Candidate, trials: Trials) -> str:
    """Say in one line what was found."""
    kept, budget, reading = chosen.kept_float, trials.budget, chosen.reading
    some = reading.images < reading.total
    on = f" on {reading.images} of {reading.total} images (time is over)" if some else ""
    text = f"{budget.describe(reading.score)}{on} is within {budget.limit:g} with "
    if not kept:
        return f"{text}all {len(plan.layers)} layers in int8"
    return (
        f"{text}{len(kept)} of {len(plan.layers)} layers in float and "
        f"{100 * chosen.int8_macs_share:.1f} % of MACs in int8; all in int8: "
        f"{budget.describe(trials.done[0].reading.score)}"
    )


def _failure(trials: Trials, frontier: Sequence[Candidate], clock: _Clock) -> QuantizeError:
    """Say what came nearest to the budget."""
    budget = trials.budget
    best = trials.done[0]
    for one in trials.done[1:]:
        best = one if better(one.reading.score, best.reading.score, budget) else best
    points = ", ".join(
        f"{one.reading.score:.2f} ({100 * one.int8_macs_share:.0f} %)" for one in frontier
    )
    why, advice = f"with {100 * LEAST_INT8:.0f} % of MACs in int8", "allow more"
    if clock.over():
        why, advice = "in the time given", "allow more, give more --search-minutes"
    return QuantizeError(
        f"--{budget.kind.replace('_', '-')} {budget.limit:g} cannot be met {why}: "
        f"the best is {best.describe(budget)}; frontier, score (MACs in int8): {points}; "
        f"{advice} or use --precision fp16"
    )


def _measured(
    fp32: ModelProto, build: Build, chosen: Candidate, latency: Latency | None
) -> dict[str, float] | None:
    if latency is None:
        return None
    models = (fp32, build(frozenset()), build(chosen.kept_float))
    return dict(zip(("fp32", "int8", "chosen"), latency(models), strict=True))
