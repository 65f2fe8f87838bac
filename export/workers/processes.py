"""Do tasks in processes of this machine, each with sessions of its own.

A process that dies or is silent for too long is replaced, and its task given to the next. It is no
`concurrent.futures` pool: that is lost with one of its processes.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

from export.ort.sessions import threads
from export.workers.engines import OPENING, Note, Workers
from export.workers.given_up import Loss, refuse_repeated
from export.workers.work import Task, Work
from export.workers.worker import DONE, ERROR, READY, STEP

_TICK = 0.5
"""Seconds after which silent workers are looked at."""


class _Worker:
    """One process: the task it is at, how many of its steps are done, when it spoke last."""

    def __init__(self, work: Work) -> None:
        self.pipe, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                # -P: a folder called export where the user stands is not ours
                [sys.executable, "-P", "-m", "export.workers.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": _paths()},
                start_new_session=True,  # Ctrl-C is the parent's
            )
        self.task: Task | None = None
        self.ready = False
        self.done = 0
        self.heard = time.monotonic()
        with suppress(OSError):  # dead already, which whoever listens to it finds out
            self.pipe.send(work)

    @property
    def idle(self) -> bool:
        return self.ready and self.task is None

    def give(self, task: Task) -> None:
        self.task, self.done, self.heard = task, 0, time.monotonic()
        with suppress(OSError):
            self.pipe.send(task)

    def next_message(self) -> tuple[str, Any] | None:
        """Return what it says; None where it has ended."""
        try:
            kind, value = self.pipe.recv()
        except (EOFError, OSError):
            return None
        self.heard = time.monotonic()
        return kind, value

    def end(self) -> int:
        """End it now, whatever it does; return its exit code."""
        self.pipe.close()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.wait()

    def ended(self) -> str:
        """Return why it has ended, which its closed pipe says that it has."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_TICK)
        code = self.end()
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


def run(
    work: Work, tasks: Sequence[Task], workers: Workers, note: Note
) -> Iterator[tuple[Task, Any]]:
    """Work in as many processes as asked for, by default one for `workers.threads` cores."""
    most = workers.count or max(1, threads() // workers.threads)
    crew = _Crew(work, tasks, workers.seconds, note)
    try:
        crew.hire(min(most, len(tasks)))
        yield from crew.work()
    finally:
        crew.dismiss()


class _Crew:
    """The workers, and what waits for them."""

    def __init__(self, work: Work, tasks: Sequence[Task], seconds: float, note: Note) -> None:
        self._work, self._seconds, self._note = work, seconds, note
        self._waiting = deque(tasks)
        self._left = len(tasks)
        self._workers: list[_Worker] = []
        self._losses: Counter[int | None] = Counter()

    def hire(self, count: int) -> None:
        for _ in range(count):
            self._workers.append(_Worker(self._work))

    def dismiss(self) -> None:
        for worker in self._workers:
            worker.end()

    def work(self) -> Iterator[tuple[Task, Any]]:
        while self._left:
            pipes: list[Connection[Any, Any]] = [worker.pipe for worker in self._workers]
            ready = wait(pipes, _TICK)
            for worker in [one for one in self._workers if one.pipe in ready]:
                yield from self._listen(worker)
            for worker in [one for one in self._workers if self._hangs(one)]:
                worker.end()
                self._lose(worker, f"took longer than {self._seconds:g} s, see --time-limit")

    def _hangs(self, worker: _Worker) -> bool:
        most = self._seconds if worker.ready else max(self._seconds, OPENING)
        return not worker.idle and time.monotonic() - worker.heard > most

    def _listen(self, worker: _Worker) -> Iterator[tuple[Task, Any]]:
        message = worker.next_message()
        if message is None:
            self._lose(worker, worker.ended())
            return
        kind, value = message
        if kind == ERROR:
            raise value
        if kind == READY:
            worker.ready = True
        if kind == STEP:
            worker.done = value
        finished = worker.task if kind == DONE else None
        if finished is not None:
            worker.task = None
        if worker.idle and self._waiting:
            worker.give(self._waiting.popleft())
        if finished is not None:  # last: whoever takes it may be busy with it
            self._left -= 1
            yield finished, value

    def _lose(self, worker: _Worker, reason: str) -> None:
        """Replace a worker and give its task to another, unless that happened too often."""
        self._workers.remove(worker)
        task = worker.task
        key = None if task is None else task.index
        self._losses[key] += 1
        place = None if task is None else task.at(worker.done)
        refuse_repeated(Loss(place, reason), self._losses[key], self._note)
        idle = next((one for one in self._workers if one.idle), None)
        if task is not None and idle is not None:
            idle.give(task)
            return
        if task is not None:
            self._waiting.appendleft(task)
        self.hire(1)


def _paths() -> str:
    return os.pathsep.join(path or os.getcwd() for path in sys.path)  # noqa: PTH109
