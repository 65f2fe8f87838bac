"""Pass, regression, or cannot tell: what the gate says, and the exit code that follows."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What the gate says of one artifact and budget."""

    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "cannot tell"
    WARN = "warn"
    """Worth knowing, and never a reason to fail."""


@dataclass(frozen=True)
class Verdict:
    """One line of the gate: which artifact (or budget), what, and why.

    `check` names what was judged, such as "max-drop" or "baseline". `value`, `limit` and the
    95 % `interval` are in the check's unit, None where there is no number. `inconclusive`
    says that the interval straddled the limit, so that something else decided. `evidence` are
    sentences that help to understand the verdict and decide nothing, most telling first.
    """

    id: str
    outcome: Outcome
    reason: str
    check: str = ""
    value: float | None = None
    limit: float | None = None
    interval: tuple[float, float] | None = None
    inconclusive: bool = False
    evidence: tuple[str, ...] = ()


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """Return 1 if any artifact regressed, else 2 if any cannot be told or none was judged, else 0.

    A found regression outweighs what cannot be told.
    """
    outcomes = {verdict.outcome for verdict in verdicts}
    if Outcome.FAIL in outcomes:
        return 1
    return 0 if outcomes - {Outcome.WARN} == {Outcome.PASS} else 2
