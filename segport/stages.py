"""Stages of a run, skipped where nothing that they depend on has changed.

Contents decide, never dates: of everything that bears on a stage, and of every file it wrote,
the sha256 is compared, all of them again each time. The record of them is signed: what somebody
else wrote or edited is nobody's word.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from export.common.errors import DataError
from export.common.files import new_files, read_file, sha256_of
from export.common.progress import Progress, Stages
from segport.signing import signature

RECORD_FILE = ".segport-stages.json"


class _Done(BaseModel):
    """A finished stage: digests of what it depends on by name, and of its files by path."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    inputs: dict[str, str]
    files: dict[str, str]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[2] = 2
    stages: dict[str, _Done] = {}
    signature: str | None = None

    def signed(self) -> str | None:
        """Return this user's signature of the stages."""
        stages = self.model_dump(include={"stages"})
        return signature(json.dumps(stages, sort_keys=True).encode())


@dataclass
class Stage:
    """A stage that begins; `done` when an earlier run's `files` are what it would write."""

    name: str
    inputs: Mapping[str, str]
    reuse: "Reuse"
    files: list[Path] = field(default_factory=list)
    done: bool = False

    def begin(self) -> Progress:
        """Show that the stage is at work; return what takes its progress."""
        return self.reuse.progress.stage(self.name)

    def finish(self, files: Iterable[Path]) -> None:
        """Record that the stage wrote `files`, which lie in the run's folder."""
        self.files, self.done = list(files), True
        self.reuse.finish(self)


@dataclass(frozen=True)
class Reuse:
    """Finished stages of the run that writes to `folder`; with `force` none of them counts."""

    folder: Path
    progress: Stages
    force: bool = False

    def stage(self, name: str, inputs: Mapping[str, Any]) -> Stage:
        """Return the stage `name`, done if it depended on the same and its files are unchanged.

        `inputs` is everything the stage depends on, as what JSON can say.
        """
        stage = Stage(name, {key: _digest(value) for key, value in inputs.items()}, self)
        earlier = self._record().stages.get(name)
        if earlier is None or self.force:
            if (self.folder / RECORD_FILE).exists() and self._record() == _Record():
                self.progress.note(f"{name}: again (this user did not sign {RECORD_FILE})")
            return stage
        if changed := self._changed(earlier, stage.inputs):
            self.progress.note(f"{name}: again ({', '.join(changed)})")
            return stage
        self.progress.note(f"{name}: reused, nothing changed")
        stage.files, stage.done = [self.folder / file for file in earlier.files], True
        return stage

    def finish(self, stage: Stage) -> None:
        """Write a finished stage into the record, which is replaced as a whole or not at all."""
        files = {p.relative_to(self.folder).as_posix(): sha256_of(p) for p in stage.files}
        done = _Done(inputs=dict(stage.inputs), files=files)
        record = _Record(stages={**self._record().stages, stage.name: done})
        record = record.model_copy(update={"signature": record.signed()})
        with new_files(self.folder / RECORD_FILE) as (file,):
            file.write_text(json.dumps(record.model_dump(), indent=1, sort_keys=True) + "\n")

    def _changed(self, earlier: _Done, digests: Mapping[str, str]) -> list[str]:
        """Return what is not as it was, for people; empty: nothing."""
        keys = sorted(earlier.inputs.keys() | digests)
        reasons = [f"{k} changed" for k in keys if earlier.inputs.get(k) != digests.get(k)]
        for file, digest in sorted(earlier.files.items()):
            path = self.folder / file
            if not path.is_file():
                reasons.append(f"{file} is gone")
            elif sha256_of(path) != digest:
                reasons.append(f"{file} was modified")
        return reasons

    def _record(self) -> _Record:
        """Return the record; an empty one where it is missing, damaged or not this user's."""
        try:
            record = _Record.model_validate_json(read_file(self.folder / RECORD_FILE))
        except (DataError, ValidationError):
            return _Record()
        signed = record.signed()
        return record if signed and signed == record.signature else _Record()


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
