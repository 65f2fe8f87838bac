"""What a reader wants first: each artifact's loss in a sentence, and the gate's verdict."""

from collections.abc import Sequence
from dataclasses import dataclass

from validate.gating.verdict import Verdict
from validate.result.cells import interval, number, ratio
from validate.result.result import ArtifactResult, Result

NO_GATE = (
    "No gate was asked: this report measures and judges nothing. `segport gate result.json "
    "--max-drop int8=0.5` or a recipe's [gate] does."
)
_GRAVEST_FIRST = ("fail", "cannot tell", "warn", "pass")


@dataclass(frozen=True)
class Line:
    """One artifact: the gate's gravest outcome ("" without a gate), a sentence, its reasons.

    `inconclusive`: an interval straddled its limit, so that something else decided.
    """

    id: str
    outcome: str
    inconclusive: bool
    sentence: str
    reasons: list[str]


def verdict_lines(result: Result, judgements: Sequence[Verdict]) -> list[Line]:
    """Return a line per artifact but the reference, and one per budget that fits none of them."""
    judged = [a for a in result.artifacts if a.id != result.reference] or result.artifacts
    base = result.artifact("fp32") or result.artifact(result.reference)
    sentences = {a.id: _sentence(a, base, result.reference) for a in judged}
    others = dict.fromkeys(
        judgement.id for judgement in judgements if judgement.id not in sentences
    )
    return [_line(id, sentences.get(id, ""), judgements) for id in (*sentences, *others)]


def _line(id: str, sentence: str, judgements: Sequence[Verdict]) -> Line:
    own = [judgement for judgement in judgements if judgement.id == id]
    outcomes = {str(verdict.outcome) for verdict in own}
    outcome = next((name for name in _GRAVEST_FIRST if name in outcomes), "")
    inconclusive = any(verdict.inconclusive for verdict in own)
    return Line(
        id,
        outcome,
        inconclusive,
        sentence,
        [f"{verdict.outcome}: {verdict.reason}" for verdict in own],
    )


def _sentence(artifact: ArtifactResult, base: ArtifactResult | None, reference: str) -> str:
    parts = []
    if artifact.nonfinite_images:
        parts.append(f"broken: inf or NaN in the logits of {artifact.nonfinite_images} images")
    if artifact.drop is not None:
        parts.append(_loss(artifact.drop, artifact.drop_ci95))
    if artifact.id != reference:
        parts.append(f"agrees with {reference} on {number(artifact.agreement, 2)} % of pixels")
    parts += _costs(artifact, base)
    return "; ".join(parts) + "."


def _loss(drop: float, ends: tuple[float, float] | None) -> str:
    done = "gained" if round(drop, 2) < 0 else "lost"
    text = f"{done} {number(abs(drop), 2)} points of mIoU"
    if ends is None:
        return text
    unsure = ", so other images may show no loss" if ends[0] <= 0 < ends[1] and drop > 0 else ""
    return f"{text} (95 % interval of the drop: {interval(ends, 2)}{unsure})"


def _costs(artifact: ArtifactResult, base: ArtifactResult | None) -> list[str]:
    if base is None or artifact.id == base.id:
        size, spread = artifact.size_bytes, artifact.latency_ms
        parts = [f"{number(size / 1e6, 2)} MB"] if size else []
        return parts + ([f"{number(spread.median, 1)} ms"] if spread else [])
    size_ratio = ratio(artifact.size_bytes, base.size_bytes)
    times = [one.latency_ms.median if one.latency_ms else None for one in (artifact, base)]
    ratios = [(size_ratio, "size"), (ratio(*times), "time")]
    said = [f"{value} times the {what}" for value, what in ratios if value != "-"]
    return [f"{' and '.join(said)} of {base.id}"] if said else []
