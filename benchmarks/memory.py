"""Memory of a command: of its process and of all that it starts, together."""

import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 0.1
"""Between looks at what is resident; shorter peaks are missed."""

_SELDOM = 2.0
"""Seconds between samples where no more is resident than before: a sample goes through all pages
of a process and stops it meanwhile, which at ten a second took a fifth of `segport validate`."""


@dataclass(frozen=True)
class Watched:
    """What a command printed, how long it took, and (time, MB) of all its processes together.

    MB are of 1e6 bytes of proportional set size (PSS): pages that processes share count once.
    """

    output: str
    seconds: float
    samples: list[tuple[float, float]]

    @property
    def peak(self) -> float:
        """The most that was seen, MB."""
        return max(mb for _, mb in self.samples)


def watch(command: Sequence[str], env: Mapping[str, str]) -> Watched:
    """Run a command to its end. Raises CalledProcessError where it fails. Linux only."""
    with tempfile.TemporaryFile("w+") as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, env=env, stdout=output, text=True)
        samples: list[tuple[float, float]] = []
        most = 0
        while process.poll() is None:
            tree = _tree(process.pid)
            resident = sum(map(_resident, tree))
            if resident > most or time.time() > samples[-1][0] + _SELDOM:
                samples.append((time.time(), sum(map(_pss, tree))))
            most = max(most, resident)
            time.sleep(_SECONDS)
        seconds = time.perf_counter() - start
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        output.seek(0)
        return Watched(output.read(), seconds, samples)


def _tree(process: int) -> list[int]:
    """Return a process and all that descend from it, as far as they are still there."""
    try:
        children = [
            int(child)
            for task in Path(f"/proc/{process}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        return [process]
    return [process, *(found for child in children for found in _tree(child))]


def _resident(process: int) -> int:
    """Return the pages that are resident, shared ones too, which the kernel knows at once."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:  # it has ended
        return 0


def _pss(process: int) -> float:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0.0
    return sum(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("Pss:"))
