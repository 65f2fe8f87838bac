"""What GitHub Actions is told."""

import re
from collections.abc import Sequence
from pathlib import Path

from tests.markdown import table
from tests.validate.results import result_of
from validate.gating.formats.github import annotations, step_summary
from validate.gating.judged import Judged
from validate.gating.verdict import Outcome, Verdict


def _judged(verdicts: Sequence[Verdict]) -> list[Judged]:
    return [Judged(Path("result.json"), result_of(), verdicts)]


def _unescaped(line: str) -> tuple[str, str, str]:
    """Level, title and message as the runner reads a command (actions/runner ActionCommand)."""
    found = re.fullmatch(r"::(\w+) title=([^,:]*)::(.*)", line)
    assert found, line
    texts = []
    for text in found.groups():
        for code, character in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ",")):
            text = text.replace(code, character)
        texts.append(text.replace("%25", "%"))
    return texts[0], texts[1], texts[2]


def test_only_what_needs_a_look_is_annotated() -> None:
    verdicts = [
        Verdict("fp16", Outcome.PASS, "fine", "max-drop"),
        Verdict("int8", Outcome.FAIL, "too much", "max-drop"),
        Verdict("int4", Outcome.UNKNOWN, "not in the result", "max-drop"),
        Verdict("fp32", Outcome.PASS, "judged by the point", "baseline", inconclusive=True),
        Verdict("environment", Outcome.WARN, "threads 2 -> 1", "environment"),
    ]
    lines = [_unescaped(line) for line in annotations(_judged(verdicts))]
    assert [(level, message) for level, _, message in lines] == [
        ("error", "too much"),
        ("error", "not in the result"),
        ("warning", "judged by the point"),
        ("warning", "threads 2 -> 1"),
    ]
    assert lines[0][1] == "segport: net squash int8 max-drop"


def test_no_text_can_start_a_command_of_its_own() -> None:
    reason = "95 % interval\n::error::forged, 100%0A\r: end"
    odd = Verdict("a,b::c%3A", Outcome.FAIL, reason, "max-drop")
    (line,) = annotations(_judged([odd]))
    assert "\n" not in line and "\r" not in line
    assert "%250A" in line and "%253A" in line  # a percent sign of the text stays one
    level, title, message = _unescaped(line)
    assert (level, title) == ("error", "segport: net squash a,b::c%3A max-drop")
    assert message == reason


def test_the_summary_is_a_table_of_all_verdicts() -> None:
    verdicts = [
        Verdict("fp16", Outcome.PASS, "drop is within 0.1", "max-drop"),
        Verdict("int8", Outcome.FAIL, "a|b\nc", "baseline"),
    ]
    text = step_summary(_judged(verdicts))
    assert text.startswith("### segport gate: net, squash\n\n200 images of VOC2012:val")
    rows = table("## x\n" + text.replace("a\\|b", "a/b"), "x")
    assert [list(row.values()) for row in rows] == [
        ["✅ pass", "fp16", "max-drop", "drop is within 0.1"],
        ["❌ fail", "int8", "baseline", "a/b\\\\nc"],
    ]
    assert text.endswith("\n\n")  # the next step's text starts a paragraph of its own
