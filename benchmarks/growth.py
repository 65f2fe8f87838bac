"""How quantization grows with calibration images, and validation with images and CPUs.

    python benchmarks/growth.py [--counts 16,32,64,128,256,512] [--limit-gb 8]

Quantization: seconds and peak memory, each in a process of its own, which is stopped beyond the
limit. Images are drawn from VOC train and val together, since nothing is judged: train has 468
here. Validation: `segport validate` of Segport's int8 file against the fp32 one from start to
end, on the first so many images and CPUs; it has threads and no processes. Needs ../shared, the
extra `bench` and an idle machine.
"""

import os
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmarks.child import quantize_apart
from benchmarks.common import (
    MOBILENETS,
    VOC,
    bare_parser,
    environment,
    facts,
    fp32,
    write_json,
)
from benchmarks.peers import QUANTIZERS, SEGPORT
from benchmarks.quantizers import file_of

NETWORK = MOBILENETS[0]
GROWING = (SEGPORT, "onnxruntime u8s8 per-channel", "onnxruntime u8s8 entropy", "nncf")


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def quantization(folder: Path, options: Namespace) -> list[dict[str, Any]]:
    """Quantize with ever more images; a quantizer that ran out of memory is not asked again."""
    rows = []
    failed: dict[str, str] = {}
    for count in options.counts:
        for name in GROWING:
            source = fp32(NETWORK, folder, QUANTIZERS[name].source).path
            if name not in failed:
                with tempfile.TemporaryDirectory() as scratch:
                    made = quantize_apart(
                        name, source, Path(scratch, "made.onnx"), count,
                        with_val=True, limit_gb=options.limit_gb,
                    )  # fmt: skip
                if made.error:
                    failed[name] = made.error
                rows.append({"quantizer": name, "images": count, **asdict(made)})
            else:
                rows.append({"quantizer": name, "images": count, "error": failed[name]})
    return rows


def validation(folder: Path, options: Namespace) -> list[dict[str, Any]]:
    """Time `segport validate` on one CPU and on all."""
    artifacts = [fp32(NETWORK, folder, "mask").path, file_of(SEGPORT, folder)]
    if not artifacts[1].exists():
        quantize_apart(SEGPORT, artifacts[0], artifacts[1], 16)
    allowed = sorted(os.sched_getaffinity(0))
    return [
        {"images": count, "cpus": cpus, "seconds": _validate(artifacts, count, allowed[:cpus])}
        for count in options.images
        for cpus in sorted({1, len(allowed)})
    ]


def _validate(artifacts: list[Path], count: int, cpus: list[int]) -> float:
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "segport", "validate", *map(str, artifacts)]
        command += ["--data", f"{VOC}:val", "--limit", str(count), "-o", out]
        start = time.perf_counter()
        subprocess.run(
            command,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(),
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        )
        seconds = time.perf_counter() - start
    print(f"validate {count} images, {len(cpus)} CPUs: {seconds:.1f} s", file=sys.stderr)
    return seconds


def main() -> None:
    """Print both tables and write growth.json."""
    arguments = bare_parser(str(__doc__))
    arguments.add_argument("--counts", type=_numbers, default=[16, 32, 64, 128, 256, 512])
    arguments.add_argument("--images", type=_numbers, default=[25, 50, 100, 200])
    arguments.add_argument("--limit-gb", type=float, default=8.0)
    options = arguments.parse_args()
    folder = options.out / NETWORK
    folder.mkdir(parents=True, exist_ok=True)
    found = facts(
        network=NETWORK,
        limit_gb=options.limit_gb,
        quantization=quantization(folder, options),
        validation=validation(folder, options),
    )
    write_json(options.out / "growth.json", found)
    for table in ("quantization", "validation"):
        print(tabulate(found[table], "keys", floatfmt=".1f"))


if __name__ == "__main__":
    main()
