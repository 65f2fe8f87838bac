"""What runs in Ray's processes: the actor that counts shards, and the ledger that actors report to.

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
from validate.counting.given_up import Loss, refuse_repeated
from validate.counting.job import Job
from validate.counting.shards import Shard
from validate.counting.worker import portable
from validate.runtime.engine import Runtime


class Ledger:
    """Knows which shards are being counted, at which image they are, and what was lost."""

    def __init__(self) -> None:
        self._at: dict[int, tuple[int, float]] = {}
        self._losses: Counter[int] = Counter()
        self._news: list[str] = []

    def begin(self, shard: Shard, seconds: float) -> SegportError | None:
        """Note that an actor begins; one that is at it already must have ended.

        Return the error of a shard that took too many with it. `seconds` is the time limit.
        """
        error = None
        if shard.index in self._at:
            done, heard = self._at[shard.index]
            hung = time.monotonic() - heard >= seconds
            reason = f"took longer than {seconds:g} s, see --time-limit" if hung else "killed"
            self._losses[shard.index] += 1
            image = shard.items[min(done, len(shard.items) - 1)].id
            try:
                refuse_repeated(Loss(image, reason), self._losses[shard.index], self._news.append)
            except SegportError as refused:
                error = refused
        self.at(shard.index, 0)
        return error

    def at(self, index: int, done: int) -> None:
        """Note how many images of a shard are done."""
        self._at[index] = (done, time.monotonic())

    def finish(self, index: int) -> None:
        """Note that a shard is counted."""
        self._at.pop(index, None)

    def news(self) -> list[str]:
        """Return what was lost since this was asked before."""
        news, self._news = self._news, []
        return news


class ShardCounter:
    """An actor of Ray Data: opens the files with its first shard and keeps them open."""

    def __init__(self, job: Job, seconds: float, ledger: Any) -> None:
        quiet_libraries()
        self._job, self._seconds, self._ledger = job, seconds, ledger
        self._silence = Path(os.devnull).open("w")  # noqa: SIM115 - as old as the process
        self._open = ExitStack()
        self._runtimes: dict[str, Runtime] | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Count the shards of a batch; an error is a result, which Ray does not try again."""
        counted = [pickle.dumps(self._count(pickle.loads(data))) for data in batch["shard"]]
        return {"index": batch["index"], "counts": counted}

    def _count(self, shard: Shard) -> Any:
        import ray

        refused = ray.get(self._ledger.begin.remote(shard, self._seconds))
        if refused is not None:
            return refused
        try:
            self._wind_up()
            if self._runtimes is None:
                self._runtimes = self._open.enter_context(self._job.opened())

            def progress(done: int, total: int) -> None:
                self._wind_up()
                self._ledger.at.remote(shard.index, done)

            counts = self._job.count(self._runtimes, shard, progress)
        except Exception as error:
            return portable(error)
        finally:
            faulthandler.cancel_dump_traceback_later()
        self._ledger.finish.remote(shard.index)
        return counts

    def _wind_up(self) -> None:
        """End this process unless it is called again in time: also where native code hangs."""
        faulthandler.dump_traceback_later(self._seconds, exit=True, file=self._silence)
