"""What a chart shows, in a sentence that follows from its numbers."""

from collections.abc import Sequence

from validate.report.page.confusion import ConfusionChange
from validate.result.cells import interval, number
from validate.result.result import ArtifactResult, Result

_NOTICED = 1.0
"""Points of IoU from which on a class counts as one that lost."""


def drop_reading(result: Result) -> str:
    """Return who lost most, and whether other images could say otherwise."""
    worst = max(result.artifacts, key=lambda a: -float("inf") if a.drop is None else a.drop)
    if not worst.drop or round(worst.drop, 2) <= 0:
        return f"No artifact lost mIoU against {result.reference}."
    text = f"{worst.id} lost most: {number(worst.drop, 2)} points of mIoU"
    if worst.drop_ci95 is None:
        return f"{text}; how much that would vary with the images is not known."
    low, _ = worst.drop_ci95
    ends = interval(worst.drop_ci95, 2)
    if low > 0:
        return f"{text}; its interval, {ends}, lies above 0: other images would show a loss, too."
    return f"{text}; its interval, {ends}, includes 0: other images may show none."


def class_reading(result: Result, classes: Sequence[str]) -> str:
    """Return the class that lost most, and how many lost a point or more."""
    reference = result.artifact(result.reference)
    lost = [
        (before - after, name, artifact, before, after)
        for artifact in result.artifacts
        if reference is not None and artifact.id != reference.id
        for name in classes
        for before, after in [(_iou(reference, name), _iou(artifact, name))]
        if before is not None and after is not None
    ]
    if not lost:
        return f"{len(classes)} classes have labels; there is no artifact to compare."
    most, name, artifact, before, after = max(lost, key=lambda one: one[0])
    if round(most, 2) <= 0:
        return "No class lost IoU in any artifact."
    many = len({name for points, name, *_ in lost if points >= _NOTICED})
    return (
        f"{name} lost most: {number(before, 2)} to {number(after, 2)} % in {artifact.id}; "
        f"{many} of {len(classes)} classes lost {_NOTICED:g} point or more in some artifact."
    )


def confusion_reading(changes: Sequence[ConfusionChange]) -> str:
    """Return the largest of the changes, which come largest first."""
    most = changes[0]
    points = number(abs(most.artifact - most.reference), 2)
    more = "more" if most.artifact > most.reference else "fewer"
    ends = f"{number(most.reference, 2)} to {number(most.artifact, 2)} %"
    if most.label == most.predicted:
        return (
            f"Largest change: {points} points {more} of {most.label}'s pixels are right ({ends})."
        )
    return (
        f"Largest change: of {most.label}'s pixels {points} points {more} are taken for "
        f"{most.predicted} ({ends})."
    )


def _iou(artifact: ArtifactResult, name: str) -> float | None:
    return artifact.class_iou.get(name)
