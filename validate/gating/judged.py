"""One result and what the gate said of it: what every written form of the verdicts is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from validate.gating.verdict import Verdict
from validate.result.result import Result


@dataclass(frozen=True)
class Judged:
    """A result file as the user named it, its content, and its verdicts in printed order."""

    file: Path
    result: Result
    verdicts: Sequence[Verdict]
