"""The CPUs that a measurement runs on, held fixed while it lasts."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from export.common.errors import UsageError
from export.ort.sessions import threads

_SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
CAN_PIN = hasattr(os, "sched_setaffinity")


@dataclass(frozen=True)
class Pinning:
    """Threads that a session gets, and the CPUs they may use; `cpus` None: not held fixed."""

    threads: int
    cpus: tuple[int, ...] | None


@contextmanager
def pinned(count: int | None = None) -> Iterator[Pinning]:
    """Keep this thread, and sessions and processes it opens, on `count` CPUs, all by default.

    Threads take over the CPUs of the one that makes them, and sessions open one thread per CPU
    (`export.ort.sessions.threads`), so this sets their number, too, for every runtime. Physical
    cores are taken before their second hyperthreads. Raises UsageError for more CPUs than the
    process may use and, where the OS does not let a process choose, for any number.
    """
    if not CAN_PIN:
        if count is not None:
            raise UsageError("--threads: this OS lets no process choose its CPUs; leave it out")
        yield Pinning(threads(), None)
        return
    before = os.sched_getaffinity(0)
    if count is not None and not 1 <= count <= len(before):
        raise UsageError(f"--threads {count}: this process may use {len(before)} CPUs")
    chosen = cores_first(before)[:count]
    with _only(chosen):
        yield Pinning(len(chosen), tuple(chosen))


@contextmanager
def _only(cpus: Sequence[int]) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def stay_on(cpus: Sequence[int]) -> None:
    """Keep the calling thread, and what it starts from now on, on `cpus`."""
    os.sched_setaffinity(0, cpus)


def cores_first(cpus: set[int]) -> list[int]:
    """Order CPUs so that one of every physical core comes before any second hyperthread."""
    rank = {cpu: _siblings(cpu).index(cpu) for cpu in cpus}
    return sorted(cpus, key=lambda cpu: (rank[cpu], cpu))


def _siblings(cpu: int) -> list[int]:
    """Return the CPUs of one core; the CPU itself where the kernel does not tell."""
    try:
        text = Path(_SIBLINGS.format(cpu)).read_text(encoding="ascii").strip()
    except OSError:
        return [cpu]
    cpus: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        cpus += range(int(first), int(last or first) + 1)
    return cpus if cpu in cpus else [cpu]
