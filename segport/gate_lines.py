"""What is printed of the gate's verdicts, its plan and its self-test."""

from typing import TYPE_CHECKING

from tabulate import tabulate

from export.common.escaping import terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from validate.gating.judged import Judged
    from validate.gating.proof.plan import ImagePlan
    from validate.gating.proof.self_test import Trial
    from validate.gating.verdict import Verdict


def verdict_lines(verdicts: "Sequence[Verdict]") -> str:
    """Return one line per verdict."""
    return "\n".join(terminal(f"{v.outcome.upper()}  {v.id}: {v.reason}") for v in verdicts)


def gate_lines(judged: "Sequence[Judged]") -> str:
    """Return a line per verdict, and what helps to understand those that do not pass.

    Several results get a table, one row per verdict.
    """
    if len(judged) == 1:
        return "\n".join(line for v in _judgements(judged[0]) for line in _verdict_block(v))
    rows = [
        [
            terminal(text)
            for text in (
                v.outcome.upper(),
                gated.result.name,
                gated.result.protocol,
                v.id,
                v.check,
                v.reason,
            )
        ]
        for gated in judged
        for v in _judgements(gated)
    ]
    return tabulate(rows, ["", "network", "protocol", "artifact", "check", "why"])


def _judgements(judged: "Judged") -> "list[Verdict]":
    return [verdict for verdict in judged.verdicts if verdict.outcome != "warn"]


def _verdict_block(verdict: "Verdict") -> "list[str]":
    said = () if verdict.outcome == "pass" else verdict.evidence
    return [verdict_lines([verdict]), *(f"      {terminal(sentence)}" for sentence in said)]


def plan_lines(plans: "Sequence[ImagePlan]", points: float) -> str:
    """Return how small a drop the images show, and how many a verdict on `points` needs."""
    rows = [
        [
            terminal(p.name),
            p.protocol,
            terminal(p.id),
            p.images,
            p.detectable,
            p.needed,
            p.needed_unpaired,
        ]
        for p in plans
    ]
    headers = [
        "network", "protocol", "artifact", "images", "detectable drop",
        f"images for {points:g}", "on other images, each side",
    ]  # fmt: skip
    table = tabulate(rows, headers, floatfmt=".2f", missingval="-")
    return f"{table}\nwith 80 % power at 95 % confidence, on images like these"


def self_test_lines(trials: "Sequence[Trial]") -> str:
    """Return what was planted and what became of it."""
    rows = [
        [*map(terminal, (t.name, t.id)), t.plant, t.lost, t.allowed,
         "FAIL" if t.caught else "pass", "SLIPPED" if t.slipped else ""]
        for t in trials
    ]  # fmt: skip
    beyond = [t for t in trials if t.lost > t.allowed]
    slipped = sum(t.slipped for t in trials)
    table = tabulate(rows, ["network", "artifact", "planted", "lost", "allowed", "gate", ""],
                     floatfmt=".3f")  # fmt: skip
    verdict = f"{len(beyond) - slipped} of {len(beyond)} losses beyond the tolerance are caught"
    return f"{table}\n{verdict}"
