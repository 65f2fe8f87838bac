"""A result against the baseline, artifact by artifact."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from export.errors import DataError
from validate.counts import counts_miou
from validate.gating.baseline import Baseline, BaselineEntry, Key, key_of, load_baseline
from validate.gating.baseline_counts import StoredCounts, read_counts, stored_of
from validate.gating.budgets import broken
from validate.gating.counted import Counted
from validate.gating.environment import environment_warning
from validate.gating.paired import judge_same_images
from validate.gating.rules import Rules
from validate.gating.unpaired import Side, judge_other_images
from validate.gating.verdict import Outcome, Verdict
from validate.label_set import LabelSet
from validate.result import ArtifactResult, Result

CHECK = "baseline"
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
    now, before = _stored(counted, artifact.id), _counts_of(entry, path)
    if other := _other_labels(result, entry, before, now, path.name):
        return _unknown(artifact, other)
    if entry.last.reference in (None, result.reference):
        return judge_same_images(artifact, entry, before, now, counted.images, rules, CHECK)
    verdict = judge_same_images(
        _without_reference(artifact, entry), entry, before, now, counted.images, rules, CHECK
    )
    if verdict.outcome is Outcome.FAIL:
        return verdict
    return _unknown(
        artifact,
        f"{verdict.reason}; but its reference is {result.reference}, that of {path.name} is "
        f"{entry.last.reference}, so agreement cannot be compared; validate against the same",
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
    if not others or artifact.id == result.reference:
        return _unknown(artifact, _no_entry(result, artifact, baseline))
    entry = max(others, key=lambda one: one.last.date or "")
    references = [
        one
        for one in baseline.entries
        if one.key[:3] == entry.key[:3] and one.id == entry.last.reference
    ]
    before = _side(_counts_of(references[0], path), _counts_of(entry, path)) if references else None
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
    """Return a verdict for every artifact of these images that no result has."""
    here = (result.name, result.protocol, result.dataset.ids_sha256)
    ids = {key[3] for key in present if key[:3] == here}
    gone = dict.fromkeys(e.id for e in baseline.entries if e.key[:3] == here and e.id not in ids)
    reason = (
        f"{file} has it, the result has not; validate it too, or leave it out of the baseline "
        "with --update-baseline"
    )
    return [Verdict(id, Outcome.UNKNOWN, reason, CHECK) for id in gone]


def _unknown(artifact: ArtifactResult, reason: str) -> Verdict:
    return Verdict(artifact.id, Outcome.UNKNOWN, reason, CHECK)


def _counts_of(entry: BaselineEntry, baseline: Path) -> StoredCounts | None:
    """Read an entry's counts, and check that they are those of its figures."""
    last = entry.last
    if last.counts is None:
        return None
    path = baseline.parent / last.counts.file
    stored = read_counts(path, last.counts.sha256)
    for counts, figure in ((stored.labels, last.miou), (stored.against, last.fidelity_miou)):
        found = None if counts is None else counts_miou(counts)
        if counts is not None and (found is None) != (figure is None):
            raise DataError(f"baseline counts {path}: say mIoU {found}, the baseline says {figure}")
        if found is not None and figure is not None and not np.isclose(found, figure, 0, 1e-6):
            raise DataError(
                f"baseline counts {path}: add up to mIoU {found}, not to the {figure} of {baseline}"
            )
    return stored


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
