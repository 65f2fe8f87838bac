"""Work that ends its worker at one cell, as often as it is told to; for workers to import."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from export.common.progress import Progress
from segport.sweep.cell_work import CellTask, CellWork, Done

CELL, TIMES, NOTES = "SEGPORT_TEST_CELL", "SEGPORT_TEST_TIMES", "SEGPORT_TEST_NOTES"
"""Of the environment, which workers share: the cell, how often, and a folder for notes."""


@dataclass(frozen=True)
class FaultyWork(CellWork):
    """Dies at its first sign of life in the cell."""

    def do(self, opened: None, task: CellTask, progress: Progress) -> Done:
        def trapped(done: int, total: int) -> None:
            progress(done, total)
            if task.cell.name == os.environ[CELL] and self._again():
                os.kill(os.getpid(), signal.SIGKILL)

        return super().do(opened, task, trapped)

    def _again(self) -> bool:
        for number in range(int(os.environ[TIMES])):
            try:
                (Path(os.environ[NOTES]) / f"fault-{number}").mkdir()
            except FileExistsError:
                continue
            return True
        return False
