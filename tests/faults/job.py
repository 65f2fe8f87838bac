"""A small run with all stages, in a process of its own, that faults can be put into."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from export.artifact.artifact import load_artifact
from tests.segport.process import SCRIPT


def _hear_interrupts() -> None:
    """Undo what a shell does to jobs in the background, which are to survive its Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


RECIPE = """
name = "net"
[model]
onnx = "net.onnx"
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
[data]
calibration = "voc:train"
samples = 3
validation = "voc:val"
[[artifact]]
precision = "fp16"
[[artifact]]
precision = "int8"
min_self_agreement = 50
[validate]
protocols = ["squash"]
[gate.max_drop]
int8 = 100
"""
SECONDS = 120
"""A run that takes longer hangs."""


@dataclass(frozen=True)
class Ended:
    """How a run ended: exit code, and what standard error had beside progress."""

    code: int
    errors: list[str]


@dataclass(frozen=True)
class Job:
    """A folder with the recipe and its data, and folders of its own for everything written."""

    source: Path
    home: Path

    @property
    def out(self) -> Path:
        return self.home / "out"

    def environment(self) -> dict[str, str]:
        folders = {
            name: self.home / name.lower()
            for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_STATE_HOME")
        }
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        return {**os.environ, **{name: str(folder) for name, folder in folders.items()}}

    def start(
        self,
        out: Path | None = None,
        environment: dict[str, str] | None = None,
        prepare: Callable[[], object] = _hear_interrupts,
    ) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [str(SCRIPT), "run", str(self.source / "recipe.toml"), "-o", str(out or self.out)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment() if environment is None else environment,
            preexec_fn=prepare,
            start_new_session=True,
        )

    def run(self, *arguments: object, **options: object) -> Ended:
        return ended(self.start(*arguments, **options))  # type: ignore[arg-type]

    def temporaries(self) -> list[Path]:
        """What is left that only a run at work may have."""
        scratch = [*self.home.rglob(".segport-*"), *(self.home / "tmpdir").iterdir()]
        return [path for path in scratch if path.name != ".segport-stages.json"]


def ended(process: "subprocess.Popen[str]") -> Ended:
    """Wait for a run; one that hangs is an error."""
    try:
        _, errors = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    lines = [line for line in errors.splitlines() if line[2:3] != ":"]
    return Ended(process.returncode, [line for line in lines if line.strip(" .")])


def contents(out: Path) -> dict[str, bytes]:
    """The files of a finished run that are the same in every run; reports hold times."""
    files = [*out.glob("net-*"), *out.glob("*/confusion.npz")]
    return {path.name: path.read_bytes() for path in files}


def check_artifacts(out: Path) -> None:
    """Every network there has a manifest that is its own. Raises ArtifactError."""
    for file in out.glob("*.onnx"):
        load_artifact(file)
    record = out / ".segport-stages.json"
    if record.exists():
        json.loads(record.read_text())


def fresh(job: Job) -> Job:
    """The job with nothing written yet."""
    shutil.rmtree(job.home, ignore_errors=True)
    job.home.mkdir(parents=True)
    return job
