"""Find how little has to stay in float for an int8 network to keep within a budget.

A candidate is the file that would be shipped, made by the same function, with other layers left in
float; there is no second graph that has to be like it. What each error of int8 does is measured
alone on a few images (`sensitivity`), from which follows what each set of layers in float would
lose (`order`); few candidates are then built and judged.

On a target whose activations have 16 bits, layers that lose too much get 16-bit weights instead of
float, which its hardware may not have; read "in float" so. Elsewhere there is no such step between
int8 and float32: onnxruntime's CPU provider has no kernels for 16-bit activations, between uint16
or int16 Q/DQ pairs it leaves the Conv in float, as 1.31's optimized graph shows, so that they would
only add conversions to it. The fixed-function accelerators of `npu` have 8 bits only.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf

from onnx import ModelProto

from export.artifact.facts import SearchFacts
from export.artifact.manifest import ImageRef
from export.artifact.sample import Sample
from export.common.errors import QuantizeError
from quantize.graph.plan import Plan, really_float
from quantize.search.bracket import find
from quantize.search.budget import SearchBudget, better
from quantize.search.clock import Clock, Say
from quantize.search.order import Foreseen, foreseen, shares
from quantize.search.sensitivity import Sensitivity, measure
from quantize.search.sources import units
from quantize.search.trials import Build, Candidate, Score, Trials, row

RANKING_IMAGES = 2
LEAST_INT8 = 0.1
"""With a smaller share of the MACs in int8 there is little left to gain over fp16."""
IN_BETWEEN = (0.25, 0.5, 0.75)
"""Where between all int8 and the least the frontier is filled in, when nothing meets the budget."""
FIRST_TIME = 0.15
"""Share of the time limit after which all int8 is no longer waited for to be clearly in or out."""
SECOND_TIME = 0.6
"""Until when it may be looked at again, if it was likely to be in: nothing has more int8."""
RANKING_TIME = 0.2
"""Share of the time limit for measuring what each error does."""
TIMED = 4
"""Candidates within budget that are timed, beside fp32 and all int8."""
GAIN = 0.98
"""What is faster than the candidate with most int8 takes at most so much of its time."""

Latency = Callable[[Sequence[ModelProto]], Sequence[float]]
Times = Mapping[frozenset[str], float]


@dataclass(frozen=True)
class Search:
    """What a search needs from outside: the budget, and who judges a candidate.

    `score` gives a model's readings in the unit of the budget; `images` are those it looked at,
    asked for afterwards. `latency` measures models interleaved, ms; None where the target is not
    this machine. `minutes` limits the time, None does not. `say` is told in words what goes on.
    """

    budget: SearchBudget
    score: Score
    images: Callable[[], Sequence[ImageRef]]
    latency: Latency | None = None
    minutes: float | None = None
    say: Say = lambda text: None


@dataclass(frozen=True)
class SearchResult:
    """What was asked and chosen, all that was scored, the frontier, and what the order came from.

    `times` are milliseconds of candidates by what they keep in float, and of fp32, which keeps
    everything; measured interleaved, empty where they could not be. `images` are those the ranking
    used.
    """

    budget: SearchBudget
    chosen: Candidate
    candidates: tuple[Candidate, ...]
    frontier: tuple[Candidate, ...]
    sensitivity: Sensitivity | None
    images: tuple[ImageRef, ...]
    verdict: str
    times: Times = field(default_factory=dict)

    def facts(self) -> SearchFacts:
        """Return what a manifest records."""
        return {
            "verdict": self.verdict,
            "budget": {"kind": self.budget.kind, "limit": self.budget.limit},
            "candidates": [row(candidate, self.times) for candidate in self.candidates],
            "frontier": [row(one, self.times) for one in self.frontier],
            "chosen": row(self.chosen, self.times),
            "ranking": self.sensitivity.rows() if self.sensitivity else [],
        }


def search(
    plan: Plan, fp32: ModelProto, build: Build, samples: Sequence[Sample], wanted: Search
) -> SearchResult:
    """Return the fastest candidate found within the budget, or that with most int8.

    `build` makes the network that keeps some layers of `plan` in float, `fp32` if it keeps all.
    `samples` are calibration images, of which a few, evenly spread, rank. All int8 is scored
    first. If it is out, errors are ranked, and the sets that no other is foreseen to beat are
    searched for the first that is in. That is scored on all images, unless time is over. Of
    candidates that are in the fastest is chosen where `wanted.latency` can tell. Raises
    QuantizeError with the frontier when the budget cannot be met with LEAST_INT8 of the MACs in
    int8, or not in the time.
    """
    clock = Clock(wanted.say, wanted.minutes)
    everything = frozenset(plan.layers)
    counted = shares(plan.model, samples[0].image.shape)

    def share(kept: frozenset[str]) -> float:
        return sum(counted.macs.get(layer, 0.0) for layer in plan.layers if layer not in kept)

    target = plan.target
    trials = Trials(build, share, wanted.score, wanted.budget, clock.say, clock.over, target)
    sensitivity: Sensitivity | None = None
    used: list[Sample] = []
    chosen = _all_int8(trials, clock)
    if chosen is None:
        used = _spread(samples)
        seconds = inf if wanted.minutes is None else 60 * wanted.minutes * RANKING_TIME
        sensitivity = measure(plan, units(plan.layers, counted.macs), used, seconds, clock.say)
        least = 0.0 if target.wide_weight else LEAST_INT8
        sets = foreseen(sensitivity, counted, least, partial(really_float, plan))
        chosen = _mixed(sets, trials, clock)
    if chosen is None:
        raise _failure(trials, trials.frontier(everything), clock)
    times = _times(fp32, build, everything, chosen, trials, wanted.latency, clock)
    chosen = _fastest(chosen, trials, times, clock)
    return SearchResult(
        budget=wanted.budget,
        chosen=chosen,
        candidates=trials.done,
        frontier=trials.frontier(everything),
        sensitivity=sensitivity,
        images=tuple(ImageRef(id=sample.id, sha256=sample.sha256) for sample in used),
        verdict=_verdict(plan, chosen, trials),
        times=times,
    )


def _all_int8(trials: Trials, clock: Clock) -> Candidate | None:
    """Return the candidate without anything in float if that is within budget."""
    candidate = trials.try_out(frozenset(), until=FIRST_TIME)
    if candidate.accepted:
        candidate = trials.try_out(frozenset(), settle=not clock.over())
    return candidate if candidate.accepted else None


def _spread(samples: Sequence[Sample]) -> list[Sample]:
    count = min(len(samples), RANKING_IMAGES)
    return [samples[len(samples) * index // count] for index in range(count)]


def _mixed(sets: Sequence[Foreseen], trials: Trials, clock: Clock) -> Candidate | None:
    """Return the candidate of `sets` with most int8 that is within budget, None if none is.

    Sets in between are scored even then: they show what to ask for instead.
    """
    if trials.done[0].likely:  # its first look ended before anything was clear
        until = 1.0 if len(sets) == 1 else SECOND_TIME
        candidate = trials.try_out(frozenset(), settle=True, until=until)
        if candidate.accepted or len(sets) == 1:
            return candidate if candidate.accepted else None
    if (found := find(sets, trials, clock)) is not None:
        return found
    for part in IN_BETWEEN:
        if not clock.over():
            trials.try_out(sets[int(part * (len(sets) - 1))].kept_float)
    within = trials.within(over=clock.over())
    return max(within, key=lambda one: one.int8_macs_share, default=None)


def _times(
    fp32: ModelProto,
    build: Build,
    everything: frozenset[str],
    chosen: Candidate,
    trials: Trials,
    latency: Latency | None,
    clock: Clock,
) -> Times:
    """Time fp32, all int8 and the chosen; where time is left, others within budget too."""
    if latency is None:
        return {}
    within = sorted(
        (candidate for candidate in trials.done if candidate.accepted),
        key=lambda c: -c.int8_macs_share,
    )
    others = [] if clock.over() else within[:TIMED]
    kept = list(dict.fromkeys([frozenset[str](), *(one.kept_float for one in (chosen, *others))]))
    clock.say(f"timing {len(kept)} candidates and fp32, interleaved")
    measured = latency([fp32, *(build(names) for names in kept)])
    return dict(zip([everything, *kept], measured, strict=True))


def _fastest(chosen: Candidate, trials: Trials, times: Times, clock: Clock) -> Candidate:
    """Return what is within budget in clearly less time than `chosen`, or that itself."""
    for kept in sorted(times, key=lambda kept: times[kept]):
        if kept == chosen.kept_float or times[kept] > GAIN * times[chosen.kept_float]:
            break
        known = next((candidate for candidate in trials.done if candidate.kept_float == kept), None)
        if known and known.accepted and not clock.over():
            settled = trials.try_out(kept, settle=True)
            if settled.accepted:
                return settled
    return chosen


def _verdict(plan: Plan, chosen: Candidate, trials: Trials) -> str:
    """Say in one line what was found."""
    kept, budget, reading = chosen.kept_float, trials.budget, chosen.reading
    some = reading.images < reading.total
    on = f" on {reading.images} of {reading.total} images (time is over)" if some else ""
    text = f"{budget.describe(reading.score)}{on} is within {budget.limit:g} with "
    if not kept:
        return f"{text}all {len(plan.layers)} layers {plan.target.reduced}"
    worse = sum(trials.beaten(candidate) is not None for candidate in trials.done)
    first = trials.done[0].reading
    few = f" on {first.images} images" if first.images < first.total else ""
    spared, reduced = plan.target.spared, plan.target.reduced
    passed = f"; {worse} with more {spared} scored worse and were passed over" if worse else ""
    return (
        f"{text}{len(kept)} of {len(plan.layers)} layers {spared} and "
        f"{100 * chosen.int8_macs_share:.1f} % of MACs {reduced}; all {reduced}: "
        f"{budget.describe(first.score)}{few}{passed}"
    )


def _failure(trials: Trials, frontier: Sequence[Candidate], clock: Clock) -> QuantizeError:
    """Say what came nearest to the budget."""
    budget = trials.budget
    best = trials.done[0]
    for candidate in trials.done[1:]:
        best = candidate if better(candidate.reading.score, best.reading.score, budget) else best
    points = ", ".join(
        f"{candidate.reading.score:.2f} ({100 * candidate.int8_macs_share:.0f} %)"
        for candidate in frontier
    )
    why, advice = f"with {100 * LEAST_INT8:.0f} % of MACs in int8", "allow more"
    if trials.target.wide_weight:
        why = f"even {trials.target.spared} only"
    first = trials.done[0]
    if clock.over() or (first.likely and first.reading.images < first.reading.total):
        why, advice = "in the time given", "allow more, give more --search-minutes"
    return QuantizeError(
        f"--{budget.kind.replace('_', '-')} {budget.limit:g} cannot be met {why}: "
        f"the best is {best.describe(budget, trials.target.reduced)}; "
        f"frontier, score (MACs {trials.target.reduced}): {points}; "
        f"{advice} or use --precision fp16"
    )
