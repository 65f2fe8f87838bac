"""A result against the baseline, artifact by artifact."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from export.common.errors import DataError
from validate.gating.baseline.baseline import (
    Acceptance,
    Baseline,
    BaselineEntry,
    Key,
    key_of,
    load_baseline,
)
from validate.gating.baseline.baseline_counts import StoredCounts, read_counts, stored_of
from validate.gating.baseline.environment import environment_warning
from validate.gating.baseline.paired import Lists, judge_same_images
from validate.gating.baseline.unpaired import Side, judge_other_images
from validate.gating.budgets import broken
from validate.gating.counted import Counted
from validate.gating.rules import Rules
from validate.gating.verdict import Outcome, Verdict
from validate.metrics.counts import counts_miou, iou_of_counts
from validate.result.label_set import LabelSet
from validate.result.result import ArtifactResult, Result

CHECK = "baseline"
_LISTED = 3
_CLOSE = 1e-6
_JUDGED = ("miou", "agreement", "fidelity_miou")
"""Figures without which an artifact cannot be held against its entry."""


def judge_baseline(
    counted: Counted, path: Path, rules: Rules, present: Collection[Key]
) -> list[Verdict]:
    """Judge every artifact by its entry; warn once when the environment is another.

    `present` are the keys of all results that are judged together: an artifact that the baseline
    has and none of them cannot be told. Raises DataError for a baseline or its counts that
    cannot be read.
    """
    baseline, result = load_baseline(path), counted.result
    verdicts = [_judge(counted, artifact, baseline, path, rules) for artifact in result.artifacts]
    verdicts += _missing(result, baseline, present, path.name)
    warning = environment_warning(result, baseline, path.name)
    return [*verdicts, warning] if warning else verdicts


def _judge(
    counted: Counted, artifact: ArtifactResult, baseline: Baseline, path: Path, rules: Rules
) -> Verdict:
    result = counted.result
    if failure := broken(artifact, CHECK):
        return failure
    for figure in _JUDGED:
        if said := counted.alteration(artifact.id, figure):
            return _unknown(artifact, f"{said}, no verdict")
    entry = baseline.find(key_of(result, artifact))
    if entry is None:
        return _without_entry(counted, artifact, baseline, path, rules)
    lists = Lists(counted.images, result.class_names)
    gone = [name for name in entry.last.class_iou or {} if name not in lists.classes]
    if gone and artifact.miou is not None:
        return _unknown(
            artifact,
            f"{path.name} has classes that the result has not ({', '.join(gone[:3])}); validate "
            "with the same class names, or accept the new ones with --update-baseline",
        )
    now, before = _stored(counted, artifact.id), _counts_of(entry, path, result.class_names)
    if other := _other_labels(result, entry, before, now, path.name):
        return _unknown(artifact, other)
    if entry.last.reference in (None, result.reference):
        if moved := _moved_reference(artifact, entry, before, now, rules):
            return _unknown(artifact, moved)
        return judge_same_images(artifact, entry, before, now, lists, rules, CHECK)
    verdict = judge_same_images(
        _without_reference(artifact, entry), entry, before, now, lists, rules, CHECK
    )
    if verdict.outcome is Outcome.FAIL:
        return verdict
    return _unknown(
        artifact,
        f"{verdict.reason}; but its reference is {result.reference}, that of {path.name} is "
        f"{entry.last.reference}, so agreement cannot be compared; validate against the same",
    )


def _moved_reference(
    artifact: ArtifactResult,
    entry: BaselineEntry,
    before: StoredCounts | None,
    now: StoredCounts | None,
    rules: Rules,
) -> str | None:
    """Return that the reference answers otherwise than in the baseline, where it is all there is.

    Without labels its classes stand for them: if they change, fidelity says nothing. By how many
    pixels they changed at least is seen in their numbers per image and class.
    """
    if artifact.miou is not None or before is None or now is None:
        return None
    if before.against is None or now.against is None:
        return None
    moved = np.abs(before.against[:, 1] - now.against[:, 1]).sum() / 2
    share = 100 * float(moved) / max(int(now.against[:, 1].sum()), 1)
    noise = entry.last.noise.agreement if entry.last.noise else 0.0
    if share <= max(rules.agreement_tolerance, noise):
        return None
    return (
        f"the reference itself answers otherwise than in the baseline, on {share:.2f} % of pixels "
        "or more, and there are no labels to say which is right; accept it with --update-baseline"
    )


def _without_reference(artifact: ArtifactResult, entry: BaselineEntry) -> ArtifactResult:
    """Return the artifact without what was found against a reference that the entry did not have:
    what labels say still stands."""
    return artifact.model_copy(
        update={"agreement": entry.last.agreement, "fidelity_miou": entry.last.fidelity_miou}
    )


def _without_entry(
    counted: Counted, artifact: ArtifactResult, baseline: Baseline, path: Path, rules: Rules
) -> Verdict:
    """Compare with an entry of other images, if there is one; else say what there is."""
    result = counted.result
    name, protocol, _, id, runtime = key_of(result, artifact)
    others = [
        entry
        for entry in baseline.entries
        if (entry.name, entry.protocol, entry.id, entry.runtime) == (name, protocol, id, runtime)
    ]
    if not others:
        return _unknown(artifact, _no_entry(result, artifact, baseline))
    if artifact.id == result.reference:
        reason = "other images than the baseline's: drops are measured from it, and it has none"
        return Verdict(artifact.id, Outcome.WARN, reason, CHECK)
    entry = max(others, key=lambda one: one.last.date or "")
    references = [
        one
        for one in baseline.entries
        if one.key[:3] == entry.key[:3] and one.id == entry.last.reference
    ]
    names = result.class_names
    before = (
        _side(_counts_of(references[0], path, names), _counts_of(entry, path, names))
        if references
        else None
    )
    now = _side(*(_stored(counted, one) for one in (result.reference, id)))
    return judge_other_images(id, now, before, rules, CHECK)


def _stored(counted: Counted, id: str) -> StoredCounts | None:
    evidence = counted.evidence.get(id)
    return None if evidence is None else stored_of(evidence)


def _side(reference: StoredCounts | None, artifact: StoredCounts | None) -> Side | None:
    if reference is None or artifact is None:
        return None
    if reference.labels is None or artifact.labels is None:
        return None
    return Side(reference.labels, artifact.labels)


def _missing(
    result: Result, baseline: Baseline, present: Collection[Key], file: str
) -> list[Verdict]:
    """Return a verdict for every artifact of these images that no result has.

    And a warning that names the entries of other runtimes, networks, protocols and images.
    """
    here = (result.name, result.protocol, result.dataset.ids_sha256)
    ids = {key[3] for key in present if key[:3] == here}
    known = [entry for entry in baseline.entries if not entry.retired]
    gone = dict.fromkeys(e.id for e in known if e.key[:3] == here and e.id not in ids)
    others = dict.fromkeys(
        f"{e.name} {e.protocol} {e.id} by {e.runtime}"
        for e in known
        if e.key not in present and not (e.key[:3] == here and e.id in gone)
    )
    reason = (
        f"{file} has it, the result has not; validate it too, or leave it out of the baseline "
        "with --update-baseline"
    )
    verdicts = [Verdict(id, Outcome.UNKNOWN, reason, CHECK) for id in gone]
    if others:
        listed = ", ".join(list(others)[:_LISTED])
        more = f" and {len(others) - _LISTED} more" if len(others) > _LISTED else ""
        said = f"entries of {file} that no result given is of: {listed}{more}"
        verdicts.append(Verdict("baseline", Outcome.WARN, said, CHECK))
    return verdicts


def _unknown(artifact: ArtifactResult, reason: str) -> Verdict:
    return Verdict(artifact.id, Outcome.UNKNOWN, reason, CHECK)


def _counts_of(entry: BaselineEntry, baseline: Path, classes: Sequence[str]) -> StoredCounts | None:
    """Read an entry's counts, and check that they are those of its figures."""
    last = entry.last
    if last.counts is None:
        return None
    path = baseline.parent / last.counts.file
    stored = read_counts(path, last.counts.sha256)
    for counts, figure in ((stored.labels, last.miou), (stored.against, last.fidelity_miou)):
        miou = None if counts is None else counts_miou(counts)
        if counts is not None and (miou is None) != (figure is None):
            raise DataError(f"baseline counts {path}: say mIoU {miou}, the baseline says {figure}")
        if miou is not None and figure is not None and not np.isclose(miou, figure, 0, 1e-6):
            raise DataError(
                f"baseline counts {path}: add up to mIoU {miou}, not to the {figure} of {baseline}"
            )
    _check_figures(last, stored, classes, path)
    return stored


def _check_figures(
    last: Acceptance, stored: StoredCounts, classes: Sequence[str], path: Path
) -> None:
    """Raise DataError where counts give other agreement or class IoU than the entry states."""
    if stored.against is not None:
        hits, pixels, _ = stored.against.sum((0, 2))
        percent = 100 * int(hits) / max(int(pixels), 1)
        if not np.isclose(percent, last.agreement, 0, 1e-6):
            raise DataError(
                f"baseline counts {path}: give agreement {percent}, not {last.agreement}"
            )
    if stored.labels is None or stored.labels.shape[2] != len(classes):
        return
    if last.class_iou is None:  # of a version that did not keep it
        return
    ious = dict(zip(classes, iou_of_counts(stored.labels.sum(0)), strict=True))
    for name, iou in ious.items():
        stated = last.class_iou.get(name)
        if iou is not None and (stated is None or abs(stated - iou) > _CLOSE):
            raise DataError(f"baseline counts {path}: give {name} IoU {iou}, not {stated}")


def _other_labels(
    result: Result,
    entry: BaselineEntry,
    before: StoredCounts | None,
    now: StoredCounts | None,
    file: str,
) -> str | None:
    """Return how the labels differ from those of the entry, None where nothing says so.

    An entry of an earlier version does not say which masks it had: then the pixels of each
    class in each image tell, where both sides have them.
    """
    ours, theirs = LabelSet.of(result.dataset), entry.last.label_set
    if not ours.differs(theirs):
        if _same_labels(before, now):
            return None
        if ours == theirs and ours.sha256:
            size = "x".join(map(str, result.shape[1:]))
            return (
                f"the masks are those of {file}, but not their pixels: the result has them at "
                f"{size}, the baseline at another size; renew the entry with --update-baseline"
            )
    return (
        f"not the labels of the baseline, though image ids are the same: the result has {ours}, "
        f"{file} has {theirs}; validate on the same masks, or renew the entry with "
        "--update-baseline"
    )


def _same_labels(before: StoredCounts | None, now: StoredCounts | None) -> bool:
    """Whether labels have the same pixels of each class in each image, as far as that is known."""
    if before is None or now is None or before.labels is None or now.labels is None:
        return True
    return before.labels.shape == now.labels.shape and np.array_equal(
        before.labels[:, 1], now.labels[:, 1]
    )


def _no_entry(result: Result, artifact: ArtifactResult, baseline: Baseline) -> str:
    others = sorted(
        f"{entry.protocol} on images {entry.ids_sha256[:12]} by {entry.runtime}"
        for entry in baseline.entries
        if (entry.name, entry.id) == (result.name, artifact.id)
    )
    there = f"; there: {', '.join(others)}" if others else ""
    wanted = f"{result.protocol} on images {result.dataset.ids_sha256[:12]} by {artifact.runtime}"
    return f"no entry in the baseline for {result.name}, {wanted}{there}"
