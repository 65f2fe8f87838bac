"""`python -m validate.speed.memory_probe FILE RUNTIME WEIGHTS PICTURE`: see `memory`."""

import json
import sys
import time
from contextlib import suppress
from pathlib import Path

from export.artifact.artifact import Artifact, load_artifact
from export.common.tables import import_now, known
from validate.runtime.engine import Runtime
from validate.runtime.runtimes import open_runtime
from validate.runtime.table import RUNTIMES
from validate.speed.picture import input_image

LOADS = 5
RUNS = 5
_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


def resident(field: str = "VmRSS") -> int | None:
    """Return bytes of resident memory, now (VmRSS) or at its peak (VmHWM); None without /proc.

    getrusage's peak is no substitute: Linux hands that of the parent on to a new process.
    """
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kilobytes = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
    return 1024 * int(kilobytes[0]) if kilobytes else None


def forget_peak() -> None:
    """Let VmHWM start again from what is held now, where /proc is; importing took more than that.

    See `man 5 proc` on clear_refs.
    """
    with suppress(OSError):
        _RESET.write_text("5", encoding="ascii")


def main(file: str, runtime: str, weights: str, picture: str) -> None:
    """Print one line of JSON: bytes of memory, and the milliseconds of every load."""
    artifact = load_artifact(Path(file))
    image = input_image(artifact.manifest, Path(picture) if picture else None)
    import_now(known("runtime", runtime, RUNTIMES).open)
    forget_peak()
    baseline = resident()
    opened, first_ms = _timed_load(artifact, runtime, weights)
    loaded = resident()
    for _ in range(RUNS):
        opened.mask(opened.engine.outputs(image))
    peak = resident("VmHWM")
    del opened  # the first is gone before the next is there
    load_ms = [first_ms, *(_timed_load(artifact, runtime, weights)[1] for _ in range(LOADS - 1))]
    measured = {
        "baseline": baseline,
        "loaded": loaded,
        "peak": peak,
        "load_ms": load_ms,
        "runs": RUNS,
    }
    print(json.dumps(measured))


def _timed_load(artifact: Artifact, runtime: str, weights: str) -> tuple[Runtime, float]:
    start = time.perf_counter()
    opened = open_runtime(artifact, runtime, weights=weights or None, allow_fallback=True)
    return opened, 1000 * (time.perf_counter() - start)


if __name__ == "__main__":
    main(*sys.argv[1:])
