"""Load time and resident memory of an artifact, in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.common.errors import RuntimeUnavailableError
from validate.speed.latency import Spread, spread

_PROBE = "validate.speed.memory_probe"


@dataclass(frozen=True)
class Footprint:
    """What having an artifact open costs.

    `load_ms` is the time from the file (in the OS's cache) to a runtime that can run.
    `loaded_mb` is the memory held then, `peak_mb` the most that was ever held, while loading or
    during `runs` runs; both without `baseline_mb`, the process with onnxruntime imported and the
    input image made. In 1e6 bytes; None where the OS has no /proc.
    """

    load_ms: Spread
    loaded_mb: float | None
    peak_mb: float | None
    baseline_mb: float | None
    runs: int


def measure_footprint(
    file: Path, runtime: str, *, weights: str | None = None, picture: Path | None = None
) -> Footprint:
    """Open and run `file` on `runtime` in a fresh interpreter on the CPUs of the calling thread.

    Memory is the resident set (VmRSS and, for the peak, VmHWM of /proc/self/status): right after
    the imports, after the first load, and after some runs. Nothing else is open in that process,
    so nothing is counted twice or already there. The arrays between image and mask count, and
    so does a runtime's own library other than onnxruntime (torch, OpenVINO). Loading is then
    repeated for the median. `picture` as in
    `input_image`. Raises RuntimeUnavailableError when the process fails or is killed.
    """
    # -P: a folder that happens to be called validate where the user stands is not ours
    command = [sys.executable, "-P", "-m", _PROBE]
    command += [str(file), runtime, weights or "", str(picture or "")]
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)  # noqa: PTH109
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": paths},
    )
    if done.returncode != 0:
        raise RuntimeUnavailableError(f"{file}: measuring its memory failed ({_reason(done)})")
    return _footprint(json.loads(done.stdout.splitlines()[-1]))


def _footprint(measured: dict[str, Any]) -> Footprint:
    baseline, loaded, peak = (measured[key] for key in ("baseline", "loaded", "peak"))
    return Footprint(
        load_ms=spread(measured["load_ms"]),
        loaded_mb=_megabytes(loaded, baseline),
        peak_mb=_megabytes(peak, baseline),
        baseline_mb=_megabytes(baseline, 0),
        runs=measured["runs"],
    )


def _megabytes(held: int | None, baseline: int | None) -> float | None:
    return None if held is None or baseline is None else round((held - baseline) / 1e6, 1)


def _reason(done: "subprocess.CompletedProcess[str]") -> str:
    if done.returncode < 0:
        return f"killed by signal {-done.returncode}; perhaps memory ran out"
    lines: Sequence[str] = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"
