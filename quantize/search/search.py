"""Find how little has to stay in float for an int8 network to keep within a budget.

What leaves int8 becomes float32 and not int8 weights with 16-bit activations: onnxruntime's
CPU provider has no such kernels. Between uint16 or int16 Q/DQ pairs it leaves the Conv in
float, as 1.31's optimized graph shows, so that they would only add conversions to it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from onnx import ModelProto

from export.artifact import ImageRef, Sample
from export.errors import QuantizeError
from quantize.plan import Plan, build
from quantize.search.budget import Budget, accepts, better
from quantize.search.evaluator import Effect, Evaluator
from quantize.search.order import float_sets, shares
from quantize.search.ranker import Ranked, rank
from quantize.search.switchable import switchable

RANKING_IMAGES = 4
LEAST_INT8 = 0.1
"""With a smaller share of the MACs in int8 there is little left to gain over fp16."""
REFINEMENTS = 4
"""How many of the largest layers in float are tried in int8 again."""

Score = Callable[[ModelProto], float]
Latency = Callable[[Sequence[ModelProto]], Sequence[float]]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Candidate:
    """A set of layers in float, the share (0-1) of MACs it leaves in int8, and its score."""

    kept_float: frozenset[str]
    int8_macs_share: float
    score: float
    accepted: bool


@dataclass(frozen=True)
class SearchResult:
    """The chosen candidate, all that were scored in that order, and what the order came from.

    `latency_ms` has "fp32", "int8" (nothing in float) and "chosen", measured in turns, or is
    None. `images` are those the ranking used.
    """

    chosen: Candidate
    candidates: tuple[Candidate, ...]
    ranking: tuple[Ranked, ...]
    latency_ms: dict[str, float] | None
    images: tuple[ImageRef, ...]
    verdict: str

    def predicted_ms(self, candidate: Candidate) -> float | None:
        """Interpolate a candidate's latency between fp32 and all int8 by its MACs, or None."""
        if self.latency_ms is None:
            return None
        fp32, int8 = self.latency_ms["fp32"], self.latency_ms["int8"]
        return fp32 - (fp32 - int8) * candidate.int8_macs_share / self.candidates[0].int8_macs_share

    def facts(self) -> dict[str, Any]:
        """Return what a manifest records."""
        return {
            "verdict": self.verdict,
            "candidates": [
                {
                    "kept_float": len(candidate.kept_float),
                    "int8_macs_share": candidate.int8_macs_share,
                    "score": candidate.score,
                    "accepted": candidate.accepted,
                    "predicted_ms": self.predicted_ms(candidate),
                }
                for candidate in self.candidates
            ],
            "ranking": [
                {
                    "unit": unit.name,
                    "alone": _numbers(unit.alone),
                    "without": _numbers(unit.without) if unit.without else None,
                }
                for unit in self.ranking
            ],
            "latency_ms": self.latency_ms,
        }


def search(
    plan: Plan,
    samples: Sequence[Sample],
    score: Score,
    budget: Budget,
    *,
    latency: Latency | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> SearchResult:
    """Return the candidate with the most int8 found whose score is within `budget`.

    `samples` are calibration images, of which a few, evenly spread, rank. `score` judges a
    model in the unit of the budget, best on other images and not on few: of several noisy
    scores a search picks a lucky one. At most 2 + log2(steps) + REFINEMENTS models are scored:
    all int8, the other end, a bisection between them, and the result with one of its largest
    layers back in int8. `latency` gives the milliseconds of several models measured in turns.
    Raises QuantizeError when the budget cannot be met with LEAST_INT8 of the MACs in int8.
    """
    trials = _Trials(plan, samples[0].image.shape, score, budget)
    progress("score", 0, 0)
    chosen = trials.score(frozenset())
    ranking: tuple[Ranked, ...] = ()
    images: tuple[ImageRef, ...] = ()
    if not chosen.accepted:
        count = min(len(samples), RANKING_IMAGES)
        used = [samples[len(samples) * index // count] for index in range(count)]
        images = tuple(ImageRef(id=sample.id, sha256=sample.sha256) for sample in used)
        model, units = switchable(plan)
        evaluator = Evaluator(model, len(units), used)
        ranking = rank(units, evaluator.measure, lambda d, t: progress("rank tensors", d, t))
        sets = float_sets(ranking, trials.shares, trials.share(frozenset()) - LEAST_INT8)
        chosen = _refine(_bisect(sets, trials, progress), trials)
    return SearchResult(
        chosen=chosen,
        candidates=tuple(trials.done),
        ranking=ranking,
        latency_ms=_measured(plan, chosen, latency),
        images=images,
        verdict=trials.verdict(chosen),
    )


class _Trials:
    """Builds candidates, scores them once each, and remembers them."""

    def __init__(self, plan: Plan, shape: tuple[int, ...], score: Score, budget: Budget) -> None:
        self._plan = plan
        self._score = score
        self.budget = budget
        self.shares = shares(plan.model, shape)
        self.done: list[Candidate] = []

    def share(self, kept: frozenset[str]) -> float:
        """Return the share of MACs in int8."""
        return sum(
            self.shares.macs.get(layer, 0.0) for layer in self._plan.layers if layer not in kept
        )

    def score(self, kept: frozenset[str]) -> Candidate:
        """Score the network with the layers `kept` in float."""
        found = self._score(build(self._plan, kept))
        accepted = accepts(found, self.budget)
        self.done.append(Candidate(kept, self.share(kept), found, accepted))
        return self.done[-1]

    def verdict(self, chosen: Candidate) -> str:
        """Say in one line what was found."""
        kept, budget = chosen.kept_float, self.budget
        text = f"{budget.describe(chosen.score)} is within {budget.limit:g} with "
        if not kept:
            return f"{text}all {len(self._plan.layers)} layers in int8"
        return (
            f"{text}{len(kept)} of {len(self._plan.layers)} layers in float and "
            f"{100 * chosen.int8_macs_share:.1f} % of MACs in int8; all in int8: "
            f"{budget.describe(self.done[0].score)}"
        )

    def failure(self) -> QuantizeError:
        """Say what came nearest to the budget."""
        best = self.done[0]
        for candidate in self.done[1:]:
            best = candidate if better(candidate.score, best.score, self.budget) else best
        return QuantizeError(
            f"--{self.budget.kind.replace('_', '-')} {self.budget.limit:g} cannot be met with "
            f"{100 * LEAST_INT8:.0f} % of MACs in int8: the best is "
            f"{self.budget.describe(best.score)} with {100 * best.int8_macs_share:.1f} %; "
            "allow more or use --precision fp16"
        )


def _bisect(sets: Sequence[frozenset[str]], trials: _Trials, progress: Progress) -> Candidate:
    """Return the first of the growing `sets` that is within budget; the empty one is not."""
    rejected, accepted = 0, len(sets) - 1
    steps = accepted.bit_length()
    best = trials.score(sets[-1]) if accepted else None
    if best is None or not best.accepted:
        raise trials.failure()
    while accepted - rejected > 1:
        progress("search", steps - (accepted - rejected).bit_length(), steps)
        middle = (rejected + accepted) // 2
        candidate = trials.score(sets[middle])
        if candidate.accepted:
            best, accepted = candidate, middle
        else:
            rejected = middle
    return best


def _refine(best: Candidate, trials: _Trials) -> Candidate:
    """Take the layers with most MACs back into int8, one by one, where the budget allows."""
    costly = [layer for layer in sorted(best.kept_float) if trials.shares.macs.get(layer)]
    costly.sort(key=lambda layer: -trials.shares.macs[layer])
    for layer in costly[:REFINEMENTS]:
        candidate = trials.score(best.kept_float - {layer})
        best = candidate if candidate.accepted else best
    return best


def _numbers(effect: Effect) -> dict[str, float | None]:
    """JSON has no infinity: null stands for the SQNR of equal logits."""
    sqnr = effect.sqnr if isfinite(effect.sqnr) else None
    return {"disagreement": effect.disagreement, "sqnr": sqnr}


def _measured(plan: Plan, chosen: Candidate, latency: Latency | None) -> dict[str, float] | None:
    if latency is None:
        return None
    models = (plan.model, build(plan), build(plan, chosen.kept_float))
    return dict(zip(("fp32", "int8", "chosen"), latency(models), strict=True))
