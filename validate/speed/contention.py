"""How much of the CPUs others took while something was measured."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

_STAT = Path("/proc/stat")
_IDLE = (3, 4)
"""Of the columns of a CPU's line: idle and waiting for disks (`man 5 proc`)."""
_COLUMNS = 8
"""The two after these, time of guests, are in the first two already."""

LIMIT = 5.0
"""Percent from which a measurement is called disturbed."""


@dataclass(frozen=True)
class Snapshot:
    """Seconds: `wall` by the clock, `busy` of some CPUs since boot, `own` of this process."""

    wall: float
    busy: float
    own: float

    @classmethod
    def take(cls, cpus: tuple[int, ...] | None) -> "Snapshot | None":
        """Read the clocks of `cpus`; None where they are not known or the OS has no /proc/stat."""
        if cpus is None:
            return None
        try:
            lines = _STAT.read_text(encoding="ascii").splitlines()
        except OSError:
            return None
        names = {f"cpu{cpu}" for cpu in cpus}
        rows = [line.split()[1:] for line in lines if line.split()[0] in names]
        ticks = sum(
            int(value)
            for row in rows
            for column, value in enumerate(row[:_COLUMNS])
            if column not in _IDLE
        )
        used = os.times()
        busy = ticks / os.sysconf("SC_CLK_TCK")
        return cls(time.monotonic(), busy, used.user + used.system)


def taken_by_others(cpus: tuple[int, ...] | None, before: Snapshot | None) -> float | None:
    """Return the percent of the time of `cpus` since `before` that was not idle nor ours.

    It holds what other processes, the kernel and, on a virtual machine, other machines took.
    """
    after = Snapshot.take(cpus)
    if before is None or after is None or cpus is None or after.wall <= before.wall:
        return None
    others = (after.busy - before.busy) - (after.own - before.own)
    return round(max(0.0, 100 * others / (after.wall - before.wall) / len(cpus)), 1)


def disturbed(others: float | None) -> list[str]:
    """Return the warning that belongs under a table of times, if any."""
    if others is None or others < LIMIT:
        return []
    return [
        f"warning: others took {others:.0f} % of these CPUs meanwhile; times are longer than on "
        "an idle machine, and ratios less exact"
    ]
