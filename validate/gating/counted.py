"""A result whose figures were counted again: what the gate judges instead of what is written."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from export.common.errors import DataError
from validate.data.items import ids_digest
from validate.gating.kinds import FACTS
from validate.gating.rules import Rules
from validate.gating.verdict import Outcome, Verdict
from validate.judging.figures import figures, images_of_classes
from validate.metrics.confidence import LEVEL
from validate.result.evidence import Evidence, EvidenceFile, read_evidence
from validate.result.result import CONFUSION_FILE, ArtifactResult, Figures, Result
from validate.result.sealing import broken_seals

CHECK = "evidence"
_CLOSE = 1e-6
_MOST_RESAMPLES = 100_000
_OF_LABELS = ("miou", "pixel_accuracy", "class_iou", "invented_classes", "drop")
"""What results before version 0.2 hold counts of, and computed as it is done now."""


@dataclass(frozen=True)
class Counted:
    """A result and what is known of it.

    `result` has the figures that were counted, and the stated ones where nothing was counted.
    `images` are the ids that the counts are of. `altered` tells, by artifact id and figure,
    what the file states and what was counted; `verdicts` say so, and everything else that keeps
    the result from being believed.
    """

    result: Result
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    images: Sequence[str] = ()
    altered: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()

    def alteration(self, id: str, figure: str) -> str | None:
        """Return how a figure differs from its counts, None where it does not."""
        return self.altered.get(id, {}).get(figure)


def count(result: Result, folder: Path | None, rules: Rules) -> Counted:
    """Find the figures of a result again from the confusion.npz in `folder`.

    Raises DataError for counts that are damaged or of another shape than the result says.
    """
    path = folder / CONFUSION_FILE if folder else None
    if path is None or not path.exists():
        where = f"no {CONFUSION_FILE} beside it" if folder else "no folder was given"
        doubt = _unverified(f"unverified: {where}", "--trust judges it anyway", rules)
        verdicts = (doubt, *_seals(result), *_overlap(result, rules))
        return Counted(result, altered=_broken(result), verdicts=verdicts)
    file = read_evidence(path)
    _check_shapes(result, file, path)
    known = {a.id: file.by_id[a.id] for a in result.artifacts if a.id in file.by_id}
    figures = _figures(result, known, file)
    altered = {
        a.id: differences(a, figures[a.id], known[a.id].complete)
        for a in result.artifacts
        if a.id in figures
    }
    verdicts = (
        *_gaps(result, known, rules),
        *_other_counts(result, file, known),
        *(_altered(id, CONFUSION_FILE, said) for id, said in altered.items() if said),
        *_seals(result),
        *_overlap(result, rules),
    )
    if rules.level != LEVEL:
        figures = _figures(result, known, file, rules.level)
    artifacts = [_with(a, figures.get(a.id), known.get(a.id)) for a in result.artifacts]
    whole = result.model_copy(update={"artifacts": artifacts})
    broken = _broken(result)
    ids = {*altered, *broken}
    said = {id: {**altered.get(id, {}), **broken.get(id, {})} for id in ids}
    return Counted(whole, known, file.images or (), said, verdicts)


def differences(stated: Figures, counted: Figures, complete: bool) -> dict[str, str]:
    """Return the figures whose values are not those that were counted, and both values.

    Floats may differ by 1e-6. Without `complete` evidence only what labels tell is compared.
    """
    names = _names(complete)
    before, after = stated.model_dump(), counted.model_dump()
    return {name: said for name in names if (said := _difference(name, before[name], after[name]))}


def _difference(name: str, stated: Any, counted: Any) -> str | None:
    """Return "class_iou.cat 41.06, counted 0.0" for the first place where two values differ."""
    if isinstance(stated, Mapping) and isinstance(counted, Mapping):
        keys = list(dict.fromkeys(chain(stated, counted)))
        pairs = [(f"{name}.{key}", stated.get(key), counted.get(key)) for key in keys]
    elif isinstance(stated, list | tuple) and isinstance(counted, list | tuple):
        if len(stated) != len(counted):
            return f"{name} has {len(stated)} entries, counted {len(counted)}"
        pairs = [(f"{name}.{i}", *pair) for i, pair in enumerate(zip(stated, counted, strict=True))]
    elif isinstance(stated, float | int) and isinstance(counted, float | int):
        return None if abs(stated - counted) <= _CLOSE else f"{name} {stated}, counted {counted}"
    else:
        return None if stated == counted else f"{name} {stated}, counted {counted}"
    return next((said for pair in pairs if (said := _difference(*pair))), None)


def _names(complete: bool) -> Iterable[str]:
    return Figures.model_fields if complete else _OF_LABELS


def _figures(
    result: Result, known: Mapping[str, Evidence], file: EvidenceFile, level: float = LEVEL
) -> dict[str, Figures]:
    """Count again, with the bootstrap that the result says it used."""
    if result.reference not in known:
        return {}
    images = file.images or [str(index) for index in range(result.dataset.images)]
    used = result.bootstrap
    chosen: dict[str, int] = {}
    if used and 0 < used.resamples <= _MOST_RESAMPLES and used.seed >= 0:
        chosen = {"resamples": used.resamples, "seed": used.seed}
    return figures(
        {id: _whole(evidence) for id, evidence in known.items()},
        result.reference,
        result.class_names,
        images,
        level=level,
        **chosen,
    )


def _whole(evidence: Evidence) -> Evidence:
    """Fill what an older file does not hold with the labels' counts; it is not compared then."""
    if evidence.complete or evidence.labels is None:
        return evidence
    return Evidence(evidence.labels, evidence.labels, np.zeros((len(evidence.labels), 2), np.int64))


def _with(
    artifact: ArtifactResult, counted: Figures | None, evidence: Evidence | None
) -> ArtifactResult:
    """Replace stated figures by counted ones."""
    if counted is None or evidence is None:
        return artifact
    update = {name: getattr(counted, name) for name in _names(evidence.complete)}
    return artifact.model_copy(update=update)


def _check_shapes(result: Result, file: EvidenceFile, path: Path) -> None:
    images, classes = result.dataset.images, len(result.class_names)
    for artifact in result.artifacts:
        one = file.by_id.get(artifact.id, Evidence())
        for array, shape in (
            (one.labels, (images, classes, classes)),
            (one.against, (images, classes, classes)),
            (one.near, (images, 2)),
            (one.nonfinite, (images,)),
        ):
            if array is not None and array.shape != shape:
                raise DataError(
                    f"{path}: counts of {artifact.id} are {array.shape}, the result means {shape}"
                )
    reference = file.by_id.get(result.reference)
    if (
        reference
        and reference.labels is None
        and any(evidence.labels is not None for evidence in file.by_id.values())
    ):
        raise DataError(f"{path}: no labels were counted for the reference, {result.reference}")
    if file.images is not None and len(file.images) != images:
        raise DataError(f"{path}: names {len(file.images)} images, the result has {images}")


def _gaps(result: Result, known: Mapping[str, Evidence], rules: Rules) -> Iterator[Verdict]:
    """Yield what the counts do not bear out because they are not there."""
    labelled = any(a.miou is not None for a in result.artifacts)
    missing = [
        a.id
        for a in result.artifacts
        if a.id not in known or (labelled and known[a.id].labels is None)
    ]
    if result.reference not in known:
        missing = missing or [result.reference]
    if missing:
        reason = f"unverified: {CONFUSION_FILE} has no counts of {', '.join(missing)}"
        yield _unverified(reason, "--trust judges them anyway", rules)
    elif any(not evidence.complete for evidence in known.values()):
        reason = "agreement and fidelity are unverified: the result is of an earlier version"
        yield _unverified(reason, "validate again, or --trust", rules)


def _other_counts(
    result: Result, file: EvidenceFile, known: Mapping[str, Evidence]
) -> Iterator[Verdict]:
    """Yield what shows that the counts are not those the result was written with."""
    problems = []
    if result.counts_sha256 is not None and result.counts_sha256 != file.sha256:
        problems.append("they are not those the result was written with (counts_sha256)")
    seals = (result.counts_sha256, result.facts_sha256, *(a.facts_sha256 for a in result.artifacts))
    if any(evidence.complete for evidence in known.values()) and (
        None in seals or file.images is None
    ):
        problems.append("result.json or its counts lack the checksums they were written with")
    if file.images is not None and ids_digest(file.images) != result.dataset.ids_sha256:
        problems.append("their images are not those of dataset.ids_sha256")
    labels = [evidence.labels.sum(2) for evidence in known.values() if evidence.labels is not None]
    if any(not np.array_equal(label, labels[0]) for label in labels):
        problems.append("artifacts saw different labels")
    counted = images_of_classes(known, result.class_names)
    if counted and result.class_images and counted != result.class_images:
        problems.append(_difference("class_images", result.class_images, counted) or "")
    if problems:
        yield Verdict("counts", Outcome.UNKNOWN, f"{CONFUSION_FILE}: {'; '.join(problems)}", CHECK)


def _seals(result: Result) -> Iterator[Verdict]:
    for id in broken_seals(result):
        what = f"what result.json says of {id} beside its figures" if id else "result.json"
        reason = f"{what} was changed after it was written (facts_sha256); validate again"
        yield Verdict(id or "result", Outcome.UNKNOWN, reason, CHECK)


def _overlap(result: Result, rules: Rules) -> Iterator[Verdict]:
    if not result.overlap_allowed:
        return
    reason = "images that influenced the files are among those they were judged on"
    if rules.allow_overlap:
        yield Verdict("result", Outcome.WARN, reason, "overlap")
    else:
        hint = "judge on others, or --allow-overlap"
        yield Verdict("result", Outcome.UNKNOWN, f"{reason}; {hint}", "overlap")


def _broken(result: Result) -> dict[str, dict[str, str]]:
    text = "was changed in result.json after it was written"
    return {id: {FACTS: text} for id in broken_seals(result) if id}


def _unverified(reason: str, hint: str, rules: Rules) -> Verdict:
    if rules.trust:
        return Verdict("result", Outcome.WARN, f"{reason}; trusted", CHECK)
    return Verdict("result", Outcome.UNKNOWN, f"{reason}; {hint}", CHECK)


def _altered(id: str, file: str, said: Mapping[str, str]) -> Verdict:
    first, *others = said.values()
    more = f"; and {', '.join(list(said)[1:])}" if others else ""
    reason = f"result.json was changed: {first} in {file}{more}; validate again"
    return Verdict(id, Outcome.UNKNOWN, reason, CHECK)
