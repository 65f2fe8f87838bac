"""The committed file of what artifacts reached, which later results are held against.

An entry keeps its history: everything that was accepted, when and why. The last acceptance is
what a result must not fall behind; the best since the anchor bounds what small accepted steps
may add up to. An entry starts with its anchor, and `--new-anchor` sets another.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from export.common.errors import DataError
from export.common.files import file_bytes
from export.common.validation import first_wrong
from validate.result.facts import NoiseFacts
from validate.result.label_set import LabelSet
from validate.result.result import ArtifactResult, Result

Key = tuple[str, str, str, str, str]
"""Name, protocol, digest of the image ids, artifact id, runtime: another runtime is another
deployment."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CountsFile(_Model):
    """Where an entry's per-image pixel counts lie; `file` is relative to the baseline.

    Never elsewhere: an update removes the files that no entry names any more.
    """

    file: str = Field(pattern=r"^[^/\\\x00]{1,120}-counts/[^/\\\x00]{1,200}\.npz$")
    sha256: str


class Acceptance(_Model):
    """What one artifact reached when it was accepted, where, and why.

    `date` is ISO 8601, null in files of earlier versions, as are other fields that may be null.
    `anchor` marks where drift is counted from. `counts` are kept for the last acceptance only.
    `seal` is the digest of all other fields but `counts`, and of the seal before it in the
    entry: a line that was changed, taken out or put in by hand breaks it.
    """

    date: str | None
    reason: str
    anchor: bool = False
    reference: str | None = None
    labels_sha256: str | None = None
    sha256: str | None = None
    miou: float | None
    drop: float | None
    agreement: float
    fidelity_miou: float | None = None
    class_iou: dict[str, float] | None = None
    provider: str | None = None
    environment: dict[str, Any]
    noise: NoiseFacts | None = None
    counts: CountsFile | None = None
    seal: str | None = None

    def sealed(self, before: str | None) -> "Acceptance":
        """Return it with its seal; `before` is that of the acceptance before it, if any."""
        return self.model_copy(update={"seal": self._digest(before)})

    def is_sound(self, before: str | None) -> bool:
        """Whether nobody changed it. One of an earlier version, without date, has no seal."""
        if self.date is None:
            return self.seal is None and self.noise is None
        return self.seal == self._digest(before)

    def _digest(self, before: str | None) -> str:
        content = self.model_dump(mode="json", exclude={"counts", "seal"}, exclude_defaults=True)
        text = json.dumps([content, before], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def label_set(self) -> LabelSet:
        """The labels that the figures are of."""
        labelled = self.miou is not None or self.labels_sha256 is not None
        return LabelSet(labelled, self.labels_sha256)


class BaselineEntry(_Model):
    """One artifact's acceptances, oldest first; the first is an anchor.

    `retired` is one that the results of the last update no longer had: it is not missed, and
    keeps its history for the day it comes back.
    """

    name: str
    protocol: str
    ids_sha256: str
    id: str
    runtime: str
    retired: bool = False
    accepted: list[Acceptance] = Field(min_length=1)

    @property
    def key(self) -> Key:
        """What identifies an entry."""
        return self.name, self.protocol, self.ids_sha256, self.id, self.runtime

    @property
    def last(self) -> Acceptance:
        """What a result is held against."""
        return self.accepted[-1]

    @property
    def since_anchor(self) -> Sequence[Acceptance]:
        """The last anchor and what was accepted after it."""
        starts = [index for index, acceptance in enumerate(self.accepted) if acceptance.anchor]
        return self.accepted[starts[-1] if starts else 0 :]


class Baseline(_Model):
    """A committed file of entries, sorted by key."""

    format: Literal[2] = 2
    entries: list[BaselineEntry] = Field(default_factory=list)

    @model_validator(mode="after")
    def _keys_are_unique(self) -> "Baseline":
        keys = [entry.key for entry in self.entries]
        if repeated := [key for key in keys if keys.count(key) > 1]:
            raise ValueError(f"{repeated[0][0]} {repeated[0][3]} is there more than once")
        return self

    @model_validator(mode="after")
    def _check_seal(self) -> "Baseline":
        for entry in self.entries:
            before = None
            for number, acceptance in enumerate(entry.accepted, start=1):
                if not acceptance.is_sound(before):
                    raise ValueError(
                        f"acceptance {number} of {entry.name} {entry.id} was changed after it was "
                        "written; take the file from your history"
                    )
                before = acceptance.seal
        return self

    def find(self, key: Key) -> BaselineEntry | None:
        """Return the entry with this key, or None."""
        return next((entry for entry in self.entries if entry.key == key), None)


def key_of(result: Result, artifact: ArtifactResult) -> Key:
    """Return the key of the entry that a result's artifact is compared with."""
    return (
        result.name, result.protocol, result.dataset.ids_sha256, artifact.id, artifact.runtime
    )  # fmt: skip


def load_baseline(path: Path) -> Baseline:
    """Read a baseline, also one of format 1; raise DataError when it is missing or damaged."""
    try:
        document = json.loads(file_bytes(path))
    except OSError as error:
        raise DataError(
            f"baseline {path}: cannot read ({error.strerror}); 'segport gate RESULT.json "
            "--baseline FILE --update-baseline --reason WHY' makes it"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"baseline {path}: damaged (no JSON: {error})") from error
    try:
        if isinstance(document, dict) and document.get("format", 1) == 1:
            document = _upgraded(_FormatOne.model_validate(document))
        return Baseline.model_validate(document)
    except ValidationError as error:
        raise DataError(f"baseline {path}: damaged ({first_wrong(error)})") from error


def written(baseline: Baseline) -> bytes:
    """Return the file's content; equal entries give equal bytes, in whatever order they came."""
    ordered = Baseline(entries=sorted(baseline.entries, key=lambda entry: entry.key))
    document = ordered.model_dump(mode="json")
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def files_of(entries: Iterable[BaselineEntry]) -> set[str]:
    """Return the files of counts that entries name."""
    return {
        acceptance.counts.file
        for entry in entries
        for acceptance in entry.accepted
        if acceptance.counts
    }


class _EntryOne(_Model):
    """An entry of format 1: one acceptance without date or reason."""

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


class _FormatOne(_Model):
    format: Literal[1] = 1
    entries: list[_EntryOne] = Field(default_factory=list)


def _upgraded(old: _FormatOne) -> dict[str, Any]:
    """Return format 2: every entry becomes its own anchor."""
    keys = ("name", "protocol", "ids_sha256", "id")
    entries = []
    for entry in old.entries:
        facts = entry.model_dump(mode="json")
        runtime = facts.pop("runtime") or _usual_runtime(entry.id)
        head = {key: facts.pop(key) for key in keys} | {"runtime": runtime}
        accepted = {"date": None, "reason": "accepted before reasons were kept", "anchor": True}
        entries.append({**head, "accepted": [{**accepted, **facts}]})
    return {"format": 2, "entries": entries}


def _usual_runtime(id: str) -> str:
    """Return where an artifact ran in the time when entries did not say so."""
    if id.startswith("torch"):
        return "torch"
    return "ort-fp16" if id.startswith("fp16") else "ort-cpu"
