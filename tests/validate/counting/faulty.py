"""A job that comes to grief at an image, as often as it is told to; for workers to import."""

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from export.common.progress import Progress, silent
from validate.counting.job import Job
from validate.counting.kept import Packed
from validate.counting.shards import Shard
from validate.runtime.engine import Runtime


@dataclass(frozen=True)
class FaultyJob(Job):
    """Dies or hangs after counting `image`, the first `times` times; `notes` is a folder."""

    image: str = ""
    how: str = "kill"
    times: int = 1
    notes: Path = Path()
    slow: float = 0.0

    @classmethod
    def of(cls, job: Job, notes: Path, **fault: object) -> "FaultyJob":
        notes.mkdir(exist_ok=True)
        own = {field.name: getattr(job, field.name) for field in fields(job)}
        return cls(**own, notes=notes, **fault)  # type: ignore[arg-type]

    def do(self, opened: Mapping[str, Runtime], task: Shard, progress: Progress = silent) -> Packed:
        def trapped(done: int, total: int) -> None:
            progress(done, total)
            time.sleep(self.slow)
            if task.items[done - 1].id == self.image and self._again():
                if self.how == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(60)

        (self.notes / f"counted-{task.index}-{os.getpid()}").touch()
        return super().do(opened, task, trapped)

    def _again(self) -> bool:
        for number in range(self.times):
            try:
                (self.notes / f"fault-{number}").mkdir()
            except FileExistsError:
                continue
            return True
        return False
