"""Do tasks in this process."""

from collections.abc import Iterator, Sequence
from typing import Any

from export.common.progress import silent
from export.workers.engines import Note, Workers
from export.workers.work import Task, Work


def run(
    work: Work, tasks: Sequence[Task], workers: Workers, note: Note
) -> Iterator[tuple[Task, Any]]:
    """Do one task after the other."""
    with work.opened() as opened:
        for task in tasks:
            yield task, work.do(opened, task, silent)
