"""Ask for memory before it is needed: a file's header says how much that will be."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from export.common.errors import DataError

_MEMINFO = Path("/proc/meminfo")
_CGROUPS = (
    ("memory.max", "memory.current", "memory.stat", "file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_cache",
    ),
)
"""A container's limit, what is in use of it, and the name that cached files have in its
statistics, which make room when asked; below /sys/fs/cgroup, versions 2 and 1."""


def free_memory() -> int | None:
    """Return the bytes this process can still have, None where the system does not say."""
    limits = [*_of_machine(), *_of_container()]
    return min(limits) if limits else None


def refuse_beyond(need: int, what: str) -> None:
    """Raise DataError when `what` needs more bytes than are free."""
    free = free_memory()
    if free is not None and need > free:
        raise DataError(f"{what} needs {need / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free")


def _of_machine() -> Iterator[int]:
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            yield int(value.split()[0]) * 1024


def _of_container(root: Path = Path("/sys/fs/cgroup")) -> Iterator[int]:
    for *files, cached in _CGROUPS:
        try:
            limit, usage, statistics = (_below(root, name).read_text() for name in files)
        except OSError:
            continue
        if limit.strip().isdigit():  # "max" where there is none
            facts = dict(line.split() for line in statistics.splitlines())
            yield int(limit) - int(usage) + int(facts.get(cached, 0))


@cache
def _below(root: Path, name: str) -> Path:
    """Return a path, one object each: Python interns the parts of all, asked for every image."""
    return root / name
