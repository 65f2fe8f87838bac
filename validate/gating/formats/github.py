"""Verdicts as GitHub Actions shows them: annotations, and a table on the run's page."""

from collections.abc import Sequence

from export.common.escaping import markdown, shortened, workflow_data, workflow_property
from validate.gating.formats.sections import Section, fitted, table_section
from validate.gating.judged import Judged
from validate.gating.overall import MARKS
from validate.gating.verdict import Outcome
from validate.result.cells import Cell

_LEVELS = {Outcome.FAIL: "error", Outcome.UNKNOWN: "error", Outcome.WARN: "warning"}
_ROOM = 250_000
"""GitHub takes 1 MiB of summary in a step; a character may take 4 bytes."""
_LONGEST = 1000
"""Characters of one text."""


def annotations(judged: Sequence[Judged]) -> list[str]:
    """Return a workflow command for every verdict that needs a look, with its evidence.

    An error for what fails or cannot be told, a warning for another environment and for what
    passed although its interval was inconclusive.
    """
    lines = []
    for gated in judged:
        for verdict in gated.verdicts:
            level = _LEVELS.get(verdict.outcome, "warning" if verdict.inconclusive else None)
            if level is not None:
                names = (gated.result.name, gated.result.protocol, verdict.id, verdict.check)
                title = workflow_property(f"segport: {' '.join(names)}")
                message = workflow_data("\n".join([verdict.reason, *verdict.evidence]))
                lines.append(f"::{level} title={title}::{message}")
    return lines


def step_summary(judged: Sequence[Judged]) -> str:
    """Return a Markdown section per result, with one table row per verdict."""
    return fitted("", list(map(_section, judged)), _ROOM).lstrip("\n") + "\n"


def _section(one: Judged) -> Section:
    data = one.result.dataset
    heading = f"### segport gate: {_text(one.result.name)}, {_text(one.result.protocol)}"
    where = _text(f"{data.name}:{data.split}")
    about = f"{data.images} images of {where}, reference {_text(one.result.reference)}"
    rows: list[list[Cell]] = [
        [f"{MARKS[v.outcome]} {v.outcome}", *map(_short, (v.id, v.check, v.reason))]
        for v in one.verdicts
    ]
    head = ["", "artifact", "check", "why"]
    return table_section(rows, head, f"{heading}\n\n{about}\n\n")


def _short(text: str) -> str:
    return shortened(text, _LONGEST)


def _text(text: str) -> str:
    return markdown(_short(text))
