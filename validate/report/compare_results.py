"""Two results of the same images, artifact by artifact."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.common.errors import ComparisonError
from validate.metrics.bootstrap import Interval
from validate.metrics.intervals import Intervals, PerImage
from validate.result.confusion_file import load_confusions
from validate.result.label_set import LabelSet
from validate.result.result import ArtifactResult, Result, load_result

Pair = tuple[float | None, float | None]
"""A figure of the first result and of the second."""


@dataclass(frozen=True)
class Compared:
    """One artifact in both results. mIoU and agreement in percent; `change` = second - first in
    points, more than 0 where the second is better; the ratios are second / first."""

    id: str
    miou: Pair
    change: float | None
    change_ci95: Interval | None
    agreement: Pair
    size_bytes: Pair
    size_ratio: float | None
    latency_ms: Pair
    latency_ratio: float | None


@dataclass(frozen=True)
class Comparison:
    """What both results have; `alone` lists the artifacts that only one of them has."""

    names: tuple[str, str]
    protocol: str
    dataset: str
    images: int
    artifacts: list[Compared]
    alone: tuple[list[str], list[str]]
    notes: list[str]


def compare_results(first_file: Path, second_file: Path) -> Comparison:
    """Compare two result.json, of one network or of two, on the images both saw.

    Raises ComparisonError when protocol, image list, label set or classes differ or no artifact
    is in both, DataError for a file (or the confusion.npz beside it) that is no result. Where
    a result of an earlier version does not say which masks it had, the pixels of each class in
    each image tell.
    """
    first, second = load_result(first_file), load_result(second_file)
    for what, (differ, said) in _MUST_AGREE.items():
        if differ(first, second):
            raise ComparisonError(
                f"cannot compare, {what} differs: {first_file} has {said(first)}; {second_file} "
                f"has {said(second)}"
            )
    ids = [a.id for a in first.artifacts if second.artifact(a.id)]
    if not ids:
        raise ComparisonError(
            f"no artifact is in both: {first_file} has {_ids(first)}, {second_file} has "
            f"{_ids(second)}"
        )
    ours, theirs = load_confusions(first, first_file), load_confusions(second, second_file)
    if any(not _same_labels(ours[id], theirs[id]) for id in ids if id in ours):
        if first.shape != second.shape:
            raise ComparisonError(
                f"cannot compare, labels are of other sizes: {first_file} has {_size(first)}; "
                f"{second_file} has {_size(second)}; validate both with --protocol full"
            )
        raise ComparisonError(
            f"{first_file} and {second_file}: the same images have other labels; validate both "
            "on the same masks"
        )
    return Comparison(
        names=(first.name, second.name),
        protocol=first.protocol,
        dataset=f"{first.dataset.name}:{first.dataset.split}",
        images=first.dataset.images,
        artifacts=[_compared(id, first, second, ours, theirs) for id in ids],
        alone=(
            [a.id for a in first.artifacts if a.id not in ids],
            [a.id for a in second.artifacts if a.id not in ids],
        ),
        notes=_notes(first, second),
    )


def _image_list(result: Result) -> str:
    facts = result.dataset
    return f"{facts.images} images of {facts.name}:{facts.split} (ids {facts.ids_sha256[:12]})"


def _other_classes(first: Result, second: Result) -> bool:
    names = first.class_names, second.class_names
    return all(names) and names[0] != names[1]  # an unlabelled result of old does not name them


def _class_list(result: Result) -> str:
    return f"{len(result.class_names)} ({', '.join(result.class_names)})"


def _size(result: Result) -> str:
    return "x".join(map(str, result.shape[1:]))


def _label_set(result: Result) -> LabelSet:
    return LabelSet.of(result.dataset)


_MUST_AGREE: dict[str, tuple[Callable[[Result, Result], bool], Callable[[Result], str]]] = {
    "protocol": (lambda a, b: a.protocol != b.protocol, lambda result: result.protocol),
    "image list": (lambda a, b: a.dataset.ids_sha256 != b.dataset.ids_sha256, _image_list),
    "label set": (
        lambda a, b: _label_set(a).differs(_label_set(b)),
        lambda result: str(_label_set(result)),
    ),
    "classes": (_other_classes, _class_list),
}
"""What makes results comparable, by its name in errors: when two differ, and how one is said."""


def _compared(
    id: str,
    first: Result,
    second: Result,
    ours: dict[str, PerImage],
    theirs: dict[str, PerImage],
) -> Compared:
    one, other = first.artifact(id), second.artifact(id)
    assert one is not None and other is not None  # ids are of both
    change = interval = None
    if one.miou is not None and other.miou is not None:
        change = other.miou - one.miou
        interval = Intervals({"first": ours[id], "second": theirs[id]}).drop("second", "first")
    sizes, times = (one.size_bytes, other.size_bytes), (_milliseconds(one), _milliseconds(other))
    return Compared(
        id=id,
        miou=(one.miou, other.miou),
        change=change,
        change_ci95=interval,
        agreement=(one.agreement, other.agreement),
        size_bytes=sizes,
        size_ratio=_ratio(sizes),
        latency_ms=times,
        latency_ratio=_ratio(times),
    )


def _milliseconds(artifact: ArtifactResult) -> float | None:
    return artifact.latency_ms.median if artifact.latency_ms else None


def _ratio(pair: Pair) -> float | None:
    return pair[1] / pair[0] if pair[0] and pair[1] else None


def _same_labels(one: PerImage, other: PerImage) -> bool:
    return np.array_equal(one.sum(2), other.sum(2))


def _ids(result: Result) -> str:
    return ", ".join(a.id for a in result.artifacts) or "none"


def _notes(first: Result, second: Result) -> list[str]:
    notes = []
    if first.reference != second.reference or first.name != second.name:
        notes.append(
            f"agreement is with another reference in each: {first.name} {first.reference}, "
            f"{second.name} {second.reference}"
        )
    machines = [_machine(result.environment) for result in (first, second)]
    if machines[0] != machines[1]:
        notes.append(f"times are of different machines: {machines[0]}; {machines[1]}")
    if first.overlap_allowed or second.overlap_allowed:
        notes.append("calibration and validation images overlap, so the numbers flatter")
    return notes


def _machine(environment: dict[str, Any]) -> str:
    return f"{environment.get('cpu')}, {environment.get('threads')} threads"
