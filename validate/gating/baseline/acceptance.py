"""Accept results into a baseline."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from export.common.errors import DataError, UsageError
from export.common.files import new_files
from validate.gating.baseline.baseline import (
    Acceptance,
    Baseline,
    BaselineEntry,
    CountsFile,
    files_of,
    key_of,
    load_baseline,
    written,
)
from validate.gating.baseline.baseline_counts import pack_counts
from validate.gating.counted import Counted
from validate.gating.verdict import Outcome
from validate.result.evidence import Evidence
from validate.result.result import ArtifactResult, Result


@dataclass(frozen=True)
class Update:
    """The entries of a baseline after an update: how many, and the ids by what became of them."""

    entries: int
    accepted: list[str]
    unchanged: list[str]
    retired: list[str]


def update_baseline(
    results: Sequence[Counted],
    path: Path,
    reason: str,
    *,
    new_anchor: bool = False,
    date: str | None = None,
) -> Update:
    """Accept all artifacts of `results`; entries of the same images that no result has retire.

    An artifact that reached what was accepted before, to the pixel, adds nothing to the history.
    Counts go into files of their own, in a folder beside the baseline. `date` is today's in UTC
    by default. Raises UsageError without a reason, DataError for a result that its counts do not
    bear out and for a baseline that cannot be read.
    """
    if not reason.strip():
        raise UsageError("--update-baseline needs --reason: why is what changed acceptable?")
    for counted in results:
        _refuse_doubtful(counted)
    old = load_baseline(path) if path.exists() else Baseline()
    today = date or datetime.now(UTC).date().isoformat()
    kept = {entry.key: entry for entry in old.entries}
    scopes = {key_of(result.result, a)[:3] for result in results for a in result.result.artifacts}
    present = {key_of(result.result, a)[:4] for result in results for a in result.result.artifacts}
    retired = [
        key
        for key, entry in kept.items()
        if key[:3] in scopes and key[:4] not in present and not entry.retired
    ]
    for key in retired:
        kept[key] = kept[key].model_copy(update={"retired": True})
    accepted: list[str] = []
    unchanged: list[str] = []
    stored: dict[Path, bytes] = {}
    for counted in results:
        for artifact in counted.result.artifacts:
            key = key_of(counted.result, artifact)
            evidence = counted.evidence.get(artifact.id)
            counts = _stored(evidence, path, counted.result, artifact)
            new = _acceptance(counted.result, artifact, today, reason, counts and counts[0])
            before = kept.get(key)
            if before and not before.retired and not new_anchor and _same(before.last, new):
                unchanged.append(artifact.id)
                continue
            kept[key] = _entry(before, new, counted.result, artifact, anchor=new_anchor)
            accepted.append(artifact.id)
            stored |= {path.parent / counts[0].file: counts[1]} if counts else {}
    baseline = Baseline(entries=list(kept.values()))
    _write({path: written(baseline), **stored})
    for file in files_of(old.entries) - files_of(baseline.entries):
        (path.parent / file).unlink(missing_ok=True)
    return Update(len(kept), accepted, unchanged, [key[3] for key in retired])


def _refuse_doubtful(counted: Counted) -> None:
    doubts = [v for v in counted.verdicts if v.outcome is Outcome.UNKNOWN]
    if doubts:
        raise DataError(f"not accepted: {doubts[0].id}: {doubts[0].reason}")


def _entry(
    before: BaselineEntry | None,
    new: Acceptance,
    result: Result,
    artifact: ArtifactResult,
    *,
    anchor: bool,
) -> BaselineEntry:
    """Return the entry with one more acceptance; only the last one keeps its counts."""
    history = (
        [acceptance.model_copy(update={"counts": None}) for acceptance in before.accepted]
        if before
        else []
    )
    last = new.model_copy(update={"anchor": anchor or not history})
    last = last.sealed(history[-1].seal if history else None)
    name, protocol, ids_sha256, id, runtime = key_of(result, artifact)
    return BaselineEntry(
        name=name,
        protocol=protocol,
        ids_sha256=ids_sha256,
        id=id,
        runtime=runtime,
        accepted=[*history, last],
    )


def _acceptance(
    result: Result, artifact: ArtifactResult, date: str, reason: str, counts: CountsFile | None
) -> Acceptance:
    return Acceptance(
        date=date,
        reason=reason,
        reference=result.reference,
        labels_sha256=result.dataset.labels_sha256,
        sha256=artifact.sha256,
        miou=artifact.miou,
        drop=artifact.drop,
        agreement=artifact.agreement,
        fidelity_miou=artifact.fidelity_miou,
        class_iou={name: iou for name, iou in artifact.class_iou.items() if iou is not None},
        provider=artifact.provider,
        environment=result.environment,
        noise=artifact.noise,
        counts=counts,
    )


def _same(before: Acceptance, new: Acceptance) -> bool:
    """Whether nothing that is judged differs; a file without counts is never sure of that."""
    names = {"counts", "reference", "labels_sha256", "noise"}
    return before.counts is not None and before.model_dump(include=names) == new.model_dump(
        include=names
    )


def _stored(
    evidence: Evidence | None, baseline: Path, result: Result, artifact: ArtifactResult
) -> tuple[CountsFile, bytes] | None:
    """Return where counts go and the file's content; None where there are no counts.

    The name has the content's digest: a file that an older baseline names is not overwritten.
    """
    if evidence is None:
        return None
    content = pack_counts(evidence)
    sha256 = hashlib.sha256(content).hexdigest()
    words = re.sub(r"[^\w.@-]+", "-", f"{result.name}-{result.protocol}-{artifact.id}")[:120]
    file = f"{baseline.stem}-counts/{words}-{sha256[:12]}.npz"
    return CountsFile(file=file, sha256=sha256), content


def _write(files: Mapping[Path, bytes]) -> None:
    with new_files(*files) as temporary:
        for target, scratch in zip(files, temporary, strict=True):
            target.parent.mkdir(exist_ok=True)
            scratch.write_bytes(files[target])
