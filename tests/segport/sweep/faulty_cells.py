"""Work that stops its worker at one cell, as often as it is told to; for workers to import."""

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from export.common.progress import Progress
from segport.sweep.cell_work import CellTask, CellWork, Done

CELL, TIMES, HOW, NOTES = (f"SEGPORT_TEST_{name}" for name in ("CELL", "TIMES", "HOW", "NOTES"))
"""Of the driver's environment: the cell, how often, "kill" or "hang", and a folder for notes."""


def _told(name: str) -> str:
    value: str = field(default_factory=lambda: os.environ[name])
    return value


@dataclass(frozen=True)
class FaultyWork(CellWork):
    """Dies or hangs at its first sign of life in the cell; notes every cell that is begun."""

    cell: str = _told(CELL)
    times: str = _told(TIMES)
    how: str = _told(HOW)
    notes: str = _told(NOTES)

    def do(self, opened: None, task: CellTask, progress: Progress) -> Done:
        def trapped(done: int, total: int) -> None:
            progress(done, total)
            if task.cell.name == self.cell and self._again():
                if self.how == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(60)

        (Path(self.notes) / f"begun-{task.cell.name}-{time.monotonic_ns()}").touch()
        return super().do(opened, task, trapped)

    def _again(self) -> bool:
        for number in range(int(self.times)):
            try:
                (Path(self.notes) / f"fault-{number}").mkdir()
            except FileExistsError:
                continue
            return True
        return False
