"""Several judged results as one: exit code, counts, and the verdict in words."""

from collections.abc import Sequence

from validate.gating.judged import Judged
from validate.gating.verdict import Outcome, Verdict, exit_code

WORDS = {0: "pass", 1: "fail", 2: "cannot tell"}
MARKS = {Outcome.PASS: "✅", Outcome.FAIL: "❌", Outcome.UNKNOWN: "❓", Outcome.WARN: "⚠️"}
_BY_CODE = (Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN)


def overall_code(judged: Sequence[Judged]) -> int:
    """Return the gravest exit code: 1 where any result fails, else 2 where any cannot be told."""
    codes = {exit_code(gated.verdicts) for gated in judged} or {2}
    return 1 if 1 in codes else max(codes)


def headline(judged: Sequence[Judged]) -> str:
    """Return the verdict in one line, such as "❌ 2 of 14 checks fail, 1 cannot be told"."""
    outcomes = [
        v.outcome for gated in judged for v in gated.verdicts if v.outcome is not Outcome.WARN
    ]
    mark = MARKS[_BY_CODE[overall_code(judged)]]
    failed, unknown = (outcomes.count(which) for which in (Outcome.FAIL, Outcome.UNKNOWN))
    if not outcomes:
        return f"{mark} nothing was judged"
    if not failed and not unknown:
        return f"{mark} all {len(outcomes)} checks pass"
    said = [f"{failed} of {len(outcomes)} checks fail"] if failed else []
    said += [f"{unknown} cannot be told" if failed else f"{unknown} of {len(outcomes)} checks "
             "cannot be told"] if unknown else []  # fmt: skip
    return f"{mark} {', '.join(said)}"


def needs_attention(verdict: Verdict) -> bool:
    """Return whether a verdict is more than a plain pass."""
    return verdict.outcome is not Outcome.PASS or verdict.inconclusive


def titles(judged: Sequence[Judged]) -> list[str]:
    """Return "NAME PROTOCOL" of each result, with its file where another is called the same."""
    names = [f"{gated.result.name} {gated.result.protocol}" for gated in judged]
    return [
        name if names.count(name) == 1 else f"{name} ({gated.file.as_posix()})"
        for name, gated in zip(names, judged, strict=True)
    ]
