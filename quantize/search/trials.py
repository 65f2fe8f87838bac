"""Candidates of a search: built once, and judged on as many images as decide."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from onnx import ModelProto

from export.artifact.facts import CandidateFacts
from quantize.search.budget import SearchBudget, accepts, better
from quantize.search.decision import ScoreReading, decide
from quantize.target import Target

ENOUGH = 64
"""Images after which what is not clear is judged by its score, until it is settled on all."""

Build = Callable[[Collection[str]], ModelProto]
"""Makes the network that keeps the layers of these names in float."""
Score = Callable[[ModelProto, Callable[[], bool]], Iterator[ScoreReading]]
"""Gives readings on more and more images, the last on all of them, and one at each image while it
is told to stop; who asks for the next one lets it go on."""


@dataclass(frozen=True)
class Candidate:
    """A set of layers in float, the share (0-1) of MACs it leaves in int8, and its score.

    It is `accepted` where the score on all images is within the budget, or its bound on fewer;
    `likely` says it of the score as far as it is known.
    """

    kept_float: frozenset[str]
    int8_macs_share: float
    reading: ScoreReading
    accepted: bool
    likely: bool

    def describe(self, budget: SearchBudget, reduced: str) -> str:
        """Say in a few words what was found; `reduced` is how MACs are that count."""
        reading, share = self.reading, 100 * self.int8_macs_share
        some = reading.images < reading.total
        bound = f" +- {reading.bound:.3f} on {reading.images} images" if some else ""
        return f"{budget.describe(reading.score)}{bound}, {share:.1f} % of MACs {reduced}"


class Trials:
    """Builds candidates, scores each once, and remembers them.

    `share` gives the share of MACs in int8. `over` tells whether a part (0-1) of the time has
    passed. `target` has the words for what is kept and what is not.
    """

    def __init__(
        self,
        build: Build,
        share: Callable[[frozenset[str]], float],
        score: Score,
        budget: SearchBudget,
        report: Callable[[str], None],
        over: Callable[[float], bool],
        target: Target,
    ) -> None:
        self._build, self._share, self._score = build, share, score
        self._report, self._over = report, over
        self.budget, self.target = budget, target
        self._found: dict[frozenset[str], Candidate] = {}
        self._until = 1.0
        self._paused: dict[frozenset[str], Iterator[ScoreReading]] = {}

    @property
    def done(self) -> tuple[Candidate, ...]:
        """All candidates in the order they were first tried."""
        return tuple(self._found.values())

    def try_out(
        self, kept: frozenset[str], *, settle: bool = False, until: float = 1.0
    ) -> Candidate:
        """Score the network with the layers `kept` in float until it is in or out.

        With `settle` on all images unless it is clearly out, else on no more than ENOUGH. When the
        part `until` of the time has passed no more images are run, and it is in only if the bound
        says so.
        """
        known = self._found.get(kept)
        if known and (not settle or known.reading.images == known.reading.total):
            return known
        self._until = until
        readings = self._readings(kept)
        for reading in readings:
            verdict = decide(reading, self.budget)
            likely = accepts(reading.score, self.budget)
            tried = Candidate(kept, self._share(kept), reading, bool(verdict), likely)
            found = tried.describe(self.budget, self.target.reduced)
            self._report(f"{len(kept)} layers {self.target.spared}: {found}")
            if known is None or known.reading.images <= reading.images:
                known = tried
            clear = verdict is not None or reading.images >= ENOUGH
            if (clear and not (settle and verdict is not False)) or self._stopped():
                break
        assert known is not None  # there is an image at least
        if known.likely and known.reading.images < known.reading.total:
            self._paused[kept] = readings
        self._found[kept] = known
        return known

    def _stopped(self) -> bool:
        return self._over(self._until)

    def _readings(self, kept: frozenset[str]) -> Iterator[ScoreReading]:
        """Continue suspended readings, or begin.

        One candidate at most waits, the last that may be settled: each holds a session.
        """
        waiting = self._paused.pop(kept, None)
        self._paused.clear()
        return waiting or self._score(self._build(kept), self._stopped)

    def within(self, *, over: bool) -> list[Candidate]:
        """Return what is within the budget; when time is `over` as far as ENOUGH images tell."""
        return [
            candidate
            for candidate in self.done
            if candidate.accepted
            or (over and candidate.likely and candidate.reading.images >= ENOUGH)
        ]

    def beaten(self, one: Candidate) -> Candidate | None:
        """Return what scores better on as many images with more MACs in int8, None if nothing."""
        return next(
            (
                other
                for other in self.done
                if other.int8_macs_share > one.int8_macs_share
                and other.reading.images == one.reading.images
                and better(other.reading.score, one.reading.score, self.budget)
            ),
            None,
        )

    def frontier(self, everything: frozenset[str]) -> tuple[Candidate, ...]:
        """Return those that no other beats in both score and MACs in int8, most int8 first.

        The last is the fp32 file, which is what keeping `everything` in float makes, where the
        target has float.
        """
        best = self.budget.perfect
        images = self.done[0].reading.total
        fp32 = Candidate(everything, 0.0, ScoreReading(best, 0.0, images, images), True, True)
        points: list[Candidate] = []
        ends = () if self.target.wide_weight else (fp32,)
        for one in sorted((*self.done, *ends), key=lambda c: -c.int8_macs_share):
            if not points or better(one.reading.score, points[-1].reading.score, self.budget):
                points.append(one)
        return tuple(points)


def row(candidate: Candidate, times: Mapping[frozenset[str], float]) -> CandidateFacts:
    """Return what a manifest records of a candidate; `times` are ms by what is kept in float."""
    return {
        "kept_float": len(candidate.kept_float),
        "int8_macs_share": candidate.int8_macs_share,
        "score": candidate.reading.score,
        "images": candidate.reading.images,
        "accepted": candidate.accepted,
        "latency_ms": times.get(candidate.kept_float),
    }
