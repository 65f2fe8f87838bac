"""One quantization in a process of its own, so that its memory is its own.

    python -m benchmarks.child QUANTIZER SOURCE TARGET SAMPLES [--with-val]

Prints seconds and peak memory as one line of JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.common import calibration, environment, quiet_libraries
from validate.speed.memory_probe import forget_peak, resident


@dataclass(frozen=True)
class Made:
    """Seconds without imports, and the most resident memory of the process; or why it failed.

    `peak_mb` holds `before_mb`, what the process took with everything imported. In 1e6 bytes.
    """

    seconds: float | None = None
    peak_mb: float | None = None
    before_mb: float | None = None
    error: str | None = None


def quantize_apart(
    quantizer: str,
    source: Path,
    target: Path,
    samples: int,
    *,
    with_val: bool = False,
    limit_gb: float = 16,
) -> Made:
    """Let `quantizer` make its file in a fresh process, which is stopped beyond `limit_gb`.

    Segport finds no statistics of an earlier run. Progress goes to stderr.
    """
    command = [sys.executable, "-m", "benchmarks.child", quantizer, str(source), str(target)]
    command += [str(samples), *(["--with-val"] if with_val else [])]
    with (
        tempfile.TemporaryDirectory() as cache,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
    ):
        child = subprocess.Popen(
            command, env=environment(XDG_CACHE_HOME=cache), stdout=out, stderr=err
        )
        over = _watch(child, limit_gb)
        out.seek(0)
        err.seek(0)
        errors = err.read().strip().splitlines()
        if over:
            made = Made(error=f"more than {limit_gb:g} GB of memory")
        elif child.returncode:
            made = Made(error=errors[-1] if errors else f"exit code {child.returncode}")
        else:
            made = Made(**json.loads(out.read().splitlines()[-1]))
    took = made.error or f"{made.seconds:.1f} s, {made.peak_mb:.0f} MB"
    print(f"{source.stem} {quantizer}, {samples} images: {took}", file=sys.stderr)
    return made


def _watch(child: "subprocess.Popen[bytes]", limit_gb: float) -> bool:
    """Wait for the child; return whether it was stopped because it took more memory."""
    while child.poll() is None:
        if (held := _resident(child.pid)) is not None and held > 1e9 * limit_gb:
            child.kill()
            child.wait()
            return True
        time.sleep(0.1)
    return False


def _resident(pid: int) -> int | None:
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Quantize once."""
    parser = ArgumentParser()
    parser.add_argument("quantizer")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("samples", type=int)
    parser.add_argument("--with-val", action="store_true")
    options = parser.parse_args()
    from benchmarks.peers import QUANTIZERS
    from export.artifact.artifact import load_artifact

    quantizer = QUANTIZERS[options.quantizer]
    with quiet_libraries():
        quantizer.import_modules()
        manifest = load_artifact(options.source).manifest
        samples = calibration(manifest, options.samples, with_val=options.with_val)
        forget_peak()
        before = resident()
        start = time.perf_counter()
        quantizer.make(options.source, options.target, samples)
        seconds = time.perf_counter() - start
    peak = resident("VmHWM")
    assert before is not None and peak is not None  # forget_peak needs Linux, too
    print(json.dumps(asdict(Made(seconds, peak / 1e6, before / 1e6))))


if __name__ == "__main__":
    main()
