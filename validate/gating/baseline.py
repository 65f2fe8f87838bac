"""The committed file of what artifacts reached, which later results are held against."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from export.errors import DataError
from export.files import new_files
from validate.counts import Counts
from validate.gating.counts_file import pack_counts
from validate.label_set import LabelSet
from validate.result import ArtifactResult, Result

Key = tuple[str, str, str, str]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CountsFile(_Model):
    """Where an entry's per-image pixel counts lie; `file` is relative to the baseline.

    Never elsewhere: an update removes the files that no entry names any more.
    """

    file: str = Field(pattern=r"^[^/\\]+-counts/[^/\\]+\.npz$")
    sha256: str


class BaselineEntry(_Model):
    """What one artifact reached when the baseline was made, and where.

    `runtime`, `provider` and `environment` are what a later result may differ in. Entries of
    earlier versions lack the fields that may be None.
    """

    name: str
    protocol: str
    ids_sha256: str
    labels_sha256: str | None = None
    id: str
    miou: float | None
    drop: float | None
    agreement: float
    fidelity_miou: float | None = None
    class_iou: dict[str, float] | None = None
    runtime: str | None = None
    provider: str | None = None
    environment: dict[str, Any]
    counts: CountsFile | None = None

    @property
    def key(self) -> Key:
        """What identifies an entry."""
        return self.name, self.protocol, self.ids_sha256, self.id

    @property
    def label_set(self) -> LabelSet:
        """The labels that the figures are of."""
        labelled = self.miou is not None or self.labels_sha256 is not None
        return LabelSet(labelled, self.labels_sha256)


class Baseline(_Model):
    """A committed file of entries, sorted by key."""

    format: Literal[1] = 1
    entries: list[BaselineEntry] = Field(default_factory=list)


def key_of(result: Result, id: str) -> Key:
    """Return the key of the entry that a result's artifact is compared with."""
    return result.name, result.protocol, result.dataset.ids_sha256, id


def load_baseline(path: Path) -> Baseline:
    """Read a baseline; raise DataError when it is missing or damaged."""
    try:
        return Baseline.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(
            f"baseline {path}: cannot read ({error.strerror}); "
            "'segport gate RESULT.json --baseline FILE --update-baseline' makes it"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise DataError(f"baseline {path}: damaged ({where}: {first['msg']})") from error


def update_baseline(
    result: Result, path: Path, counts: Mapping[str, Counts] | None = None
) -> Baseline:
    """Put the result's artifacts into the baseline, replacing entries of the same key.

    `counts` by artifact id go into files of their own, in a folder beside the baseline. The
    same entries give the same bytes, in whatever order they came.
    """
    old = load_baseline(path).entries if path.exists() else []
    stored = {id: _named(found, path, key_of(result, id)) for id, found in (counts or {}).items()}
    new = [
        _entry(result, artifact, stored[artifact.id][0] if artifact.id in stored else None)
        for artifact in result.artifacts
    ]
    merged = {entry.key: entry for entry in [*old, *new]}
    baseline = Baseline(entries=[merged[key] for key in sorted(merged)])
    text = json.dumps(baseline.model_dump(mode="json"), indent=1, sort_keys=True) + "\n"
    files = {path: text.encode()}
    files |= {path.parent / where.file: content for where, content in stored.values()}
    with new_files(*files) as temporary:
        for target, scratch in zip(files, temporary, strict=True):
            target.parent.mkdir(exist_ok=True)
            scratch.write_bytes(files[target])
    for file in _files(old) - _files(baseline.entries):
        (path.parent / file).unlink(missing_ok=True)
    return baseline


def _named(counts: Counts, baseline: Path, key: Key) -> tuple[CountsFile, bytes]:
    """Return where counts go and the file's content.

    The name has the content's digest: a file that an older baseline names is not overwritten.
    """
    name, protocol, _, id = key
    content = pack_counts(counts)
    sha256 = hashlib.sha256(content).hexdigest()
    words = re.sub(r"[^\w.@-]+", "-", f"{name}-{protocol}-{id}")
    file = f"{baseline.stem}-counts/{words}-{sha256[:12]}.npz"
    return CountsFile(file=file, sha256=sha256), content


def _entry(result: Result, artifact: ArtifactResult, counts: CountsFile | None) -> BaselineEntry:
    return BaselineEntry(
        name=result.name,
        protocol=result.protocol,
        ids_sha256=result.dataset.ids_sha256,
        labels_sha256=result.dataset.labels_sha256,
        id=artifact.id,
        miou=artifact.miou,
        drop=artifact.drop,
        agreement=artifact.agreement,
        fidelity_miou=artifact.fidelity_miou,
        class_iou={name: iou for name, iou in artifact.class_iou.items() if iou is not None},
        runtime=artifact.runtime,
        provider=artifact.provider,
        environment=result.environment,
        counts=counts,
    )


def _files(entries: Iterable[BaselineEntry]) -> set[str]:
    return {entry.counts.file for entry in entries if entry.counts}
