"""Verdicts as a comment on a pull request: what a reviewer has to know, and nothing else."""

from collections.abc import Iterable, Sequence

from export.common.escaping import Markdown, markdown, markdown_code, shortened
from validate.gating.formats.sections import Section, fitted, table_section
from validate.gating.judged import Judged
from validate.gating.overall import MARKS, headline, needs_attention, titles
from validate.gating.verdict import Outcome, Verdict
from validate.result.cells import Cell, number

MARK = "<!-- segport gate -->"
"""First line of the comment, by which the next run finds it."""
ROOM = 65_000
"""GitHub takes 65,536 characters."""
_NAME, _REASON = 100, 500
"""Characters of one name and of one sentence."""
_IMAGES = 5


def comment(judged: Sequence[Judged], command: str = "") -> str:
    """Return GitHub-flavoured Markdown: verdict, what is not a plain pass, why, worst images.

    Checks that pass are folded away. `command` is shown for whoever wants to see the same. At
    most ROOM characters, and no text of a result formats, links or mentions anything.
    """
    rows = [
        row
        for name, gated in zip(titles(judged), judged, strict=True)
        for row in _rows(name, gated)
    ]
    looked = [cells for verdict, cells in rows if needs_attention(verdict)]
    passed = [cells for verdict, cells in rows if not needs_attention(verdict)]
    folded = f"<details><summary>{len(passed)} checks pass</summary>\n\n"
    sections = [
        table_section(looked, _HEAD),
        Section(lines=list(_evidence(judged))),
        Section("Images on which failing artifacts agree least with their reference:\n\n",
                list(_worst(judged))),
        Section("To see the same:\n\n", [markdown_code(shortened(command, 2000))] * bool(command)),
        table_section(passed, _HEAD, folded, "\n</details>\n"),
    ]  # fmt: skip
    return fitted(f"{MARK}\n**segport gate: {headline(judged)}**\n", sections, ROOM)


_HEAD = ("", "result", "artifact", "check", "why")


def _rows(name: str, one: Judged) -> Iterable[tuple[Verdict, list[Cell]]]:
    for verdict in one.verdicts:
        outcome = "inconclusive" if verdict.inconclusive else str(verdict.outcome)
        yield (
            verdict,
            [
                f"{MARKS[verdict.outcome]} {outcome}",
                shortened(name, _NAME),
                _code(verdict.id),
                shortened(verdict.check, _NAME),
                shortened(verdict.reason, _REASON),
            ],
        )


def _evidence(judged: Sequence[Judged]) -> Iterable[str]:
    for gated in judged:
        for verdict in gated.verdicts:
            if verdict.outcome is Outcome.FAIL:
                for sentence in verdict.evidence:
                    said = f"{shortened(verdict.check, _NAME)}: {shortened(sentence, _REASON)}"
                    yield f"- {_code(verdict.id)} {markdown(said)}"


def _worst(judged: Sequence[Judged]) -> Iterable[str]:
    for gated in judged:
        failing = dict.fromkeys(v.id for v in gated.verdicts if v.outcome is Outcome.FAIL)
        for artifact in filter(None, map(gated.result.artifact, failing)):
            if images := artifact.worst_images[:_IMAGES]:
                said = ", ".join(f"{_code(i.id)} ({number(i.agreement, 2)} %)" for i in images)
                yield f"- {_code(artifact.id)}: {said}"


def _code(name: str) -> Markdown:
    return markdown_code(shortened(name, _NAME))
