"""What is run on every image: all that a worker, on this machine or another, needs to know."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from export.artifact.artifact import load_artifact
from export.artifact.manifest import Manifest
from export.common.errors import ArtifactError
from export.common.progress import Progress, silent
from export.common.versions import versions
from export.ort.sessions import cpu_facts, few_threads
from validate.counting.evaluation import evaluate
from validate.counting.kept import Packed
from validate.counting.shards import Shard
from validate.data.items import Dataset
from validate.runtime.engine import Runtime
from validate.runtime.runtimes import TORCH_ID, open_runtime
from validate.runtime.torch_network import open_torch
from validate.samples.samples import AHEAD, Preparation


@dataclass(frozen=True)
class File:
    """An artifact by where it lies, which is the same for all workers, and what it must hold."""

    path: Path
    sha256: str
    runtime: str


@dataclass(frozen=True)
class Job:
    """Files by artifact id, how images are prepared, and how files run.

    `torch` is the name of the torch runtime where that is the reference, rebuilt from `manifest`
    and `weights`. `threads` are those of every session: which of them computes what bears on the
    last bits, so that a result depends on them, and not on how many workers there are.
    """

    files: Mapping[str, File]
    reference: str
    preparation: Preparation
    manifest: Manifest
    torch: str | None = None
    weights: str | None = None
    allow_fallback: bool = False
    threads: int = 1

    @property
    def ids(self) -> list[str]:
        """What `opened` gives, in its order."""
        return [TORCH_ID] * (self.torch is not None) + list(self.files)

    @contextmanager
    def opened(self) -> Iterator[dict[str, Runtime]]:
        """Give a runtime for the reference and every file.

        Raises ArtifactError for a file that is not that of the driver, else as `open_runtime`.
        """
        with few_threads(self.threads):
            runtimes: dict[str, Runtime] = {}
            if self.torch is not None:
                runtimes[TORCH_ID] = open_torch(self.manifest, self.weights, self.torch)
            for key, file in self.files.items():
                artifact = load_artifact(file.path)
                if artifact.manifest.sha256 != file.sha256:
                    raise ArtifactError(
                        f"{file.path}: on this machine, or by now, another file than the one that "
                        "is judged; workers need the folder of the files at the same path"
                    )
                runtimes[key] = open_runtime(
                    artifact,
                    file.runtime,
                    weights=self.weights,
                    allow_fallback=self.allow_fallback,
                )
            yield runtimes

    def do(self, opened: Mapping[str, Runtime], task: Shard, progress: Progress = silent) -> Packed:
        """Predict and count a shard's images with what `opened` gave. Raises as `evaluate`."""
        part = Dataset("shard", str(task.index), task.items)
        # one thread is one thread: the others' work is that of other workers
        depth = AHEAD if self.threads > 1 else 0
        found = evaluate(
            opened, self.reference, part, self.preparation, progress=progress, depth=depth
        )
        counts = {key: evaluation.evidence() for key, evaluation in found.items()}
        return Packed.of(counts, [item.id for item in task.items])

    @property
    def digest(self) -> str:
        """Hex sha256 of everything that bears on counts, beside the images: also the machine."""
        how = self.preparation
        facts = {
            "files": {key: [file.sha256, file.runtime] for key, file in self.files.items()},
            "reference": [self.reference, self.torch, self.manifest.weights.sha256],
            "preparation": [
                how.protocol,
                how.size,
                how.mean,
                how.std,
                how.classes,
                how.colours,
                how.mode,
                how.labels.digest,
                how.fit,
            ],
            "threads": self.threads,
            "versions": versions(),
            "isa": cpu_facts()["isa"],
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
