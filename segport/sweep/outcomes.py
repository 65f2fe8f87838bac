"""What becomes of cells: made here one after another, or by workers."""

from collections.abc import Iterator, Sequence

from export.artifact.artifact import Artifact
from export.common.progress import Stages
from export.workers.engines import ENGINES, Workers
from export.workers.given_up import GivenUpError
from segport.sweep.cell_work import CellTask, CellWork
from segport.sweep.cells import Cell


def outcomes(
    work: CellWork, cells: Sequence[Cell], workers: Workers, network: str, progress: Stages
) -> Iterator[tuple[Cell, Artifact | str]]:
    """Give every cell once with its file, or why there is none, as they end.

    Here where one worker would be in this process anyway: its progress is seen then. Raises what
    engines raise, except for a cell that ends its workers time and again, which has failed.
    """
    tasks = [CellTask(index, cell, network) for index, cell in enumerate(cells)]
    if not ENGINES[workers.engine].several:
        for task in tasks:
            yield task.cell, work.make(task, progress)
        return
    todo = {task.index: task for task in tasks}
    shown = progress.later(f"{network}: cells")
    while todo:
        shown(len(tasks) - len(todo), len(tasks))
        try:
            run = ENGINES[workers.engine].run
            for task, done in run(work, list(todo.values()), workers, progress.note):
                del todo[task.index]
                for line in done.notes:
                    progress.note(f"{task.name}: {line}")
                yield task.cell, done.outcome
                shown(len(tasks) - len(todo), len(tasks))
        except GivenUpError as error:
            index = next(i for i, task in todo.items() if task.name == error.place)
            yield todo.pop(index).cell, str(error)
