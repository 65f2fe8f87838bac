"""How to judge: every setting of the gate in one frozen object.

Where the defaults come from (`benchmarks/gate.py` measures it again): the same int8 file,
run without graph optimizations on the same images, changes mIoU by 0.064 points and one class by
1.03 on the demo's 40 scenes, by 0.005 and 0.99 on 200 images of VOC; 1, 2 and 4 threads give the
same pixels; another CPU moved mIoU by 0.002. So 0.2 points of mIoU and 2 points of a class are
two to three times the largest noise seen, and far below what anybody would ship in silence.
"""

from dataclasses import dataclass

from export.common.errors import UsageError
from validate.metrics.confidence import LEVEL

ON_INCONCLUSIVE = {
    "pass": "what straddles a limit passes",
    "fail": "what straddles a limit fails",
}
TOLERANCE = 0.2
CLASS_TOLERANCE = 2.0
AGREEMENT_TOLERANCE = 0.2
DRIFT = 2
"""How often its tolerance a figure may fall behind in small accepted steps."""


@dataclass(frozen=True)
class Rules:
    """Tolerances are points, 0 or more: how far below the baseline passes.

    `tolerance` is for mIoU (fidelity mIoU without labels), `class_tolerance` for every class's
    IoU, `agreement_tolerance` for agreement with the reference, `max_drift` for what mIoU lost
    in accepted steps since the anchor (None: twice the tolerance). `confidence`, percent, asks
    of budgets that the end of this interval is inside too. `on_inconclusive` "pass" or "fail"
    decides where a 95 % interval straddles its limit; None judges budgets by the point estimate
    and leaves a comparison across images open. `trust` judges figures that no counts bear out,
    `allow_overlap` results whose images influenced the files.
    """

    tolerance: float = TOLERANCE
    class_tolerance: float = CLASS_TOLERANCE
    agreement_tolerance: float = AGREEMENT_TOLERANCE
    max_drift: float | None = None
    confidence: float | None = None
    on_inconclusive: str | None = None
    trust: bool = False
    allow_overlap: bool = False

    @property
    def level(self) -> float:
        """Percent that a budget's interval covers."""
        return LEVEL if self.confidence is None else self.confidence

    @property
    def when_inconclusive(self) -> str | None:
        """What decides a budget whose interval straddles its limit."""
        return "fail" if self.confidence is not None else self.on_inconclusive

    def __post_init__(self) -> None:
        """Raise UsageError for a setting that makes no sense."""
        for name in ("tolerance", "class_tolerance", "agreement_tolerance", "max_drift"):
            points = getattr(self, name)
            if points is not None and not 0 <= points < float("inf"):
                option = name.replace("_", "-")
                raise UsageError(f"--{option} {points}: give points, 0 or more")
        if self.confidence is not None and not 50 <= self.confidence < 100:
            raise UsageError(f"--confidence {self.confidence:g}: give percent from 50 to below 100")
        if self.on_inconclusive not in (None, *ON_INCONCLUSIVE):
            raise UsageError(f"--on-inconclusive {self.on_inconclusive}: give pass or fail")
        if self.confidence is not None and self.on_inconclusive is not None:
            raise UsageError("--confidence and --on-inconclusive: give one of them")


DEFAULTS = Rules()
