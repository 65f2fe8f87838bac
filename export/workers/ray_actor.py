"""What runs in Ray's processes: the actor that does tasks, and the ledger that actors report to.

Nothing here imports Ray, which calls both.
"""

import faulthandler
import os
import pickle
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from export.common.errors import SegportError
from export.common.quiet import quiet_libraries
from export.workers.given_up import Loss, refuse_repeated
from export.workers.work import Task, Work
from export.workers.worker import portable

_TOLD = 1.0
"""Seconds between reports of an actor that had no losses; after one, every step is reported."""


class Ledger:
    """Knows which tasks are being done, at which step they are, and what was lost."""

    def __init__(self) -> None:
        self._at: dict[int, tuple[int, float]] = {}
        self._losses: Counter[int] = Counter()
        self._news: list[str] = []
        self._stopped = False

    def begin(self, task: Task, seconds: float) -> tuple[int, SegportError | None]:
        """Note that an actor begins; one that is at it already must have ended.

        Return how many did, and the error of a task that took too many with it. `seconds` is the
        time limit.
        """
        error: SegportError | None = None
        if self._stopped:
            return 0, SegportError("what was left to do is no longer asked for")
        if task.index in self._at:
            done, heard = self._at[task.index]
            hung = time.monotonic() - heard >= seconds
            reason = f"took longer than {seconds:g} s, see --time-limit" if hung else "killed"
            self._losses[task.index] += 1
            try:
                refuse_repeated(
                    Loss(task.at(done), reason), self._losses[task.index], self._news.append
                )
            except SegportError as refused:
                error = refused
        self.at(task.index, 0)
        return self._losses[task.index], error

    def at(self, index: int, done: int) -> None:
        """Note how many steps of a task are done."""
        self._at[index] = (done, time.monotonic())

    def finish(self, index: int) -> None:
        """Note that a task is done."""
        self._at.pop(index, None)

    def stop(self) -> None:
        """Let no actor begin anything any more."""
        self._stopped = True

    def news(self) -> list[str]:
        """Return what was lost since this was asked before."""
        news, self._news = self._news, []
        return news


class Doer:
    """An actor of Ray Data: opens what the work needs with its first task and keeps it."""

    def __init__(self, work: Work, seconds: float, ledger: Any) -> None:
        quiet_libraries()
        self._work, self._seconds, self._ledger = work, seconds, ledger
        self._silence = Path(os.devnull).open("w")  # noqa: SIM115 - as old as the process
        self._open = ExitStack()
        self._opened: Any = None
        self._is_open = False
        self._told = 0.0

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Do the tasks of a batch; an error is a result, which Ray does not try again."""
        done = [pickle.dumps(self._do(pickle.loads(data))) for data in batch["task"]]
        return {"index": batch["index"], "done": done}

    def _do(self, task: Task) -> Any:
        import ray

        losses, refused = ray.get(self._ledger.begin.remote(task, self._seconds))
        if refused is not None:
            return refused
        try:
            if not self._is_open:
                self._opened, self._is_open = self._open.enter_context(self._work.opened()), True

            self._wind_up()

            def progress(done: int, total: int) -> None:
                self._wind_up()
                if losses or time.monotonic() - self._told > _TOLD:
                    self._told = time.monotonic()
                    self._ledger.at.remote(task.index, done)

            found = self._work.do(self._opened, task, progress)
        except Exception as error:
            return portable(error)
        finally:
            faulthandler.cancel_dump_traceback_later()
        self._ledger.finish.remote(task.index)
        return found

    def _wind_up(self) -> None:
        """End this process unless it is called again in time: also where native code hangs."""
        faulthandler.dump_traceback_later(self._seconds, exit=True, file=self._silence)
