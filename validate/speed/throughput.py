"""Images per second with several sessions at work at once."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue

import numpy as np
from numpy.typing import NDArray

from export.common.errors import UsageError
from validate.runtime.runtimes import Runtime
from validate.speed.cpus import Pinning, stay_on
from validate.speed.latency import WARM_UP


@dataclass(frozen=True)
class Throughput:
    """`sessions` at work at once, each on `threads` CPUs of its own."""

    sessions: int
    threads: int
    images_per_s: float


def shares(pinning: Pinning, sessions: int) -> list[tuple[int, ...]]:
    """Split the CPUs into one equal, disjoint share for each session; what is left stays idle.

    Raises UsageError when there are fewer CPUs than sessions or the OS does not let them be
    chosen.
    """
    if pinning.cpus is None:
        raise UsageError("--parallel: this OS lets no session choose its CPUs; leave it out")
    each = pinning.threads // sessions
    if each == 0:
        raise UsageError(f"--parallel {sessions}: more sessions than threads ({pinning.threads})")
    return [pinning.cpus[index * each : (index + 1) * each] for index in range(sessions)]


def measure_throughput(
    opened: Callable[[], Runtime],
    image: NDArray[np.float32],
    cpus: list[tuple[int, ...]],
    runs: int,
    batch: int = 1,
) -> Throughput:
    """Open a session on each share of CPUs, in one process, and let them share `runs` runs.

    Every session belongs to a thread that holds its share of `cpus` (sessions let go of Python's
    lock while they run). They load and warm up, start together and take runs, image to mask,
    from one common stock, as a server's workers would: the rate is that of the slowest only for
    the last run. `batch` is how many images a run holds.
    """
    stock = SimpleQueue[None]()
    for _ in range(runs):
        stock.put(None)
    begin = threading.Barrier(len(cpus))

    def work(share: tuple[int, ...]) -> tuple[float, float]:
        stay_on(share)
        try:
            runtime = opened()
            for _ in range(WARM_UP):
                runtime.mask(runtime.engine.outputs(image))
        except BaseException:
            begin.abort()  # the others must not wait for this one
            raise
        with suppress(threading.BrokenBarrierError):  # the error that broke it is raised below
            begin.wait()
        start = time.perf_counter()
        with suppress(Empty):
            while True:
                stock.get_nowait()
                runtime.mask(runtime.engine.outputs(image))
        return start, time.perf_counter()

    with ThreadPoolExecutor(len(cpus)) as pool:
        times = [future.result() for future in [pool.submit(work, share) for share in cpus]]
    seconds = max(end for _, end in times) - min(start for start, _ in times)
    return Throughput(len(cpus), len(cpus[0]), round(batch * runs / seconds, 2))
