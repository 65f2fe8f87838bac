"""What can be budgeted: one entry per kind, from which command line and recipe take theirs.

Imports nothing heavy: the command line reads this table to know its options.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from export.common.errors import unknown
from validate.gating.judgement import Reading
from validate.gating.units import PERCENT, POINTS, RATIO, SHARE, SIZE, Unit

if TYPE_CHECKING:
    from validate.result.result import ArtifactResult, Result

FACTS = "facts"
"""Stands for everything that is stated and not counted, such as size and latency."""
BASE = "fp32"
"""The artifact that ratios refer to."""
NO_LABELS = "no drop: the images have no labels; give --min-agreement or --min-fidelity"


@dataclass(frozen=True)
class BudgetSubject:
    """What is read: one artifact of a result, and the class that a budget names."""

    result: "Result"
    artifact: "ArtifactResult"
    class_name: str | None = None


Answer = Reading | str
"""What was read, or why nothing could be."""


@dataclass(frozen=True)
class Kind:
    """One kind of budget.

    `noun` names the value in a verdict, `figure` the field of a result that it is read from,
    FACTS for what no counts bear out. The limit is an upper one (`at_most`) or a lower one.
    `against_reference` marks values that compare with the reference, so that it has none
    itself. `per_class` budgets are written [ID:]CLASS=X, others ID=X.
    """

    noun: str
    figure: str
    read: Callable[[BudgetSubject], Answer]
    unit: Unit
    help: str
    at_most: bool = True
    against_reference: bool = True
    per_class: bool = False

    @property
    def words(self) -> tuple[str, str]:
        """How a value inside and one outside are put."""
        return ("is within", "exceeds") if self.at_most else ("reaches", "falls short of")


def _drop(subject: BudgetSubject) -> Answer:
    artifact = subject.artifact
    return NO_LABELS if artifact.drop is None else Reading(artifact.drop, artifact.drop_ci95)


def _class_drop(subject: BudgetSubject) -> Answer:
    artifact, name = subject.artifact, subject.class_name or ""
    if not artifact.class_iou:
        return NO_LABELS
    if name not in artifact.class_iou:
        return unknown("class", name, artifact.class_iou)
    if (drop := artifact.class_drop.get(name)) is not None:
        return Reading(drop.drop, drop.ci95)
    # results of earlier versions have no class_drop
    reference = subject.result.artifact(subject.result.reference)
    before = reference.class_iou.get(name) if reference else None
    after = artifact.class_iou[name]
    if before is None or after is None or name in artifact.invented_classes:
        return f"no '{name}' drop: the class is in no label"
    return Reading(before - after)


def _agreement(subject: BudgetSubject) -> Answer:
    return Reading(subject.artifact.agreement)


def _fidelity(subject: BudgetSubject) -> Answer:
    fidelity = subject.artifact.fidelity_miou
    return "no fidelity mIoU in the result" if fidelity is None else Reading(fidelity)


def _size(subject: BudgetSubject) -> Answer:
    size = subject.artifact.size_bytes
    return "no size: it is not a file" if size is None else Reading(size)


def _size_ratio(subject: BudgetSubject) -> Answer:
    base = subject.result.artifact(BASE)
    size, whole = subject.artifact.size_bytes, base.size_bytes if base else None
    if whole is None:
        return f"no size ratio: {BASE} is not in the result"
    return "no size ratio: it is not a file" if size is None else Reading(size / whole)


def _latency_ratio(subject: BudgetSubject) -> Answer:
    base = subject.result.artifact(BASE)
    if base is None or base.latency_ms is None:
        return f"no latency ratio: {BASE} was not timed in the result"
    if subject.artifact.latency_ms is None:
        return "no latency ratio: it was not timed"
    return Reading(subject.artifact.latency_ms.median / base.latency_ms.median)


def _int8_macs(subject: BudgetSubject) -> Answer:
    artifact = subject.artifact
    if artifact.int8_macs_share is None:
        return f"no share of MACs in int8: {artifact.int8_note or 'it is no int8 file'}"
    return Reading(artifact.int8_macs_share)


KINDS: dict[str, Kind] = {
    "max_drop": Kind("drop", "drop", _drop, POINTS, "points of mIoU it may lose"),
    "max_class_drop": Kind(
        "drop", "class_drop", _class_drop, POINTS, "points of IoU that a class may lose",
        per_class=True,
    ),
    "min_agreement": Kind(
        "agreement", "agreement", _agreement, PERCENT, "percent of pixels as its reference has "
        "them; no labels needed", at_most=False,
    ),
    "min_fidelity": Kind(
        "fidelity mIoU", "fidelity_miou", _fidelity, PERCENT, "mIoU with the reference's classes "
        "as labels; no labels needed", at_most=False,
    ),
    "max_size": Kind(
        "size", FACTS, _size, SIZE, "size of the file, such as 6MB", against_reference=False
    ),
    "max_size_ratio": Kind(
        "size ratio to fp32", FACTS, _size_ratio, RATIO, "size of the file to fp32's"
    ),
    "max_latency_ratio": Kind(
        "latency ratio to fp32", FACTS, _latency_ratio, RATIO, "median time of the session to "
        "fp32's",
    ),
    "min_int8_macs": Kind(
        "share of MACs in int8", FACTS, _int8_macs, SHARE, "share of MACs verified to run in "
        "int8, such as 0.97", at_most=False,
    ),
}  # fmt: skip
"""By name in Python and in recipes; on the command line with dashes."""


def option(name: str) -> str:
    """Return a kind's option, such as --max-drop."""
    return f"--{name.replace('_', '-')}"
