"""Verdicts as GitHub Actions shows them: annotations, and a table on the run's page."""

from collections.abc import Sequence

from validate.cells import markdown_table
from validate.gating.verdict import Outcome, Verdict
from validate.result import Result

_LEVELS = {Outcome.FAIL: "error", Outcome.UNKNOWN: "error", Outcome.WARN: "warning"}
_MARKS = {Outcome.PASS: "✅", Outcome.FAIL: "❌", Outcome.UNKNOWN: "❓", Outcome.WARN: "⚠️"}


def annotations(result: Result, verdicts: Sequence[Verdict]) -> list[str]:
    """Return a workflow command for every verdict that needs a look.

    An error for what fails or cannot be told, a warning for another environment and for what
    passed although its interval was inconclusive.
    """
    lines = []
    for verdict in verdicts:
        level = _LEVELS.get(verdict.outcome, "warning" if verdict.inconclusive else None)
        if level is not None:
            title = f"segport: {result.name} {result.protocol} {verdict.id} {verdict.check}"
            lines.append(f"::{level} title={_property(title)}::{_data(verdict.reason)}")
    return lines


def step_summary(result: Result, verdicts: Sequence[Verdict]) -> str:
    """Return a Markdown section with one table row per verdict."""
    rows = [
        [f"{_MARKS[v.outcome]} {v.outcome}", v.id, v.check, v.reason.replace("\n", " ")]
        for v in verdicts
    ]
    table = markdown_table(rows, ["", "artifact", "check", "why"])
    data = result.dataset
    heading = f"### segport gate: {result.name}, {result.protocol}"
    about = f"{data.images} images of {data.name}:{data.split}, reference {result.reference}"
    return f"{heading}\n\n{about}\n\n{table}\n\n"


def _data(text: str) -> str:
    """Escape a workflow command's message, as actions/toolkit's escapeData does."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Escape a workflow command's property, as actions/toolkit's escapeProperty does."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
