"""int8 of all twelve networks with seeded random weights: time, peak memory, agreement with fp32.

    python benchmarks/zoo_int8.py [NETWORK...] [--size 513] [--images 64]

Random weights have realistic BatchNorm statistics, but their classes hang by a thread, so the
agreement is far below that of a trained network. Each file is made in a process of its own.
"""

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from benchmarks.common import bare_parser, facts, write_json
from export.artifact.artifact import load_artifact
from export.artifact.class_map import class_map
from export.artifact.sample import Sample
from export.networks.table import ZOO
from export.onnx_export import export_model
from export.ort.sessions import open_session, run
from quantize.quantization import quantize
from quantize.settings import Settings


def images(size: int, count: int) -> list[Sample]:
    """Return smooth random pictures, normalised."""
    rng = np.random.default_rng(0)
    found = []
    for index in range(count):
        coarse = rng.standard_normal((1, 3, size // 16 + 2, size // 16 + 2)).astype(np.float32)
        smooth = coarse.repeat(16, 2).repeat(16, 3)[:, :, :size, :size]
        found.append(Sample(f"random {index}", np.ascontiguousarray(smooth), ""))
    return found


def exported(network: str, folder: Path, size: int) -> Path:
    """Export a network, in a process whose memory is not counted."""
    return export_model(network, "random", folder, seed=0, size=(size, size)).path


def one(network: str, target: str, size: int, count: int) -> dict[str, Any]:
    """Export and quantize one network; return a row of the table."""
    samples = images(size, count + 4)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        out = Path(folder)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:
            path = other.submit(exported, network, out, size).result()
        fp32 = load_artifact(path)
        start = time.perf_counter()
        made = quantize(
            fp32, "int8", out, samples=samples[:count], settings=Settings(target=target)
        )
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        pair = [open_session(load_artifact(a.path).path) for a in (fp32, made)]
        same = [
            (class_map(run(pair[0], s.image)[0]) == class_map(run(pair[1], s.image)[0])).mean()
            for s in samples[count:]
        ]
    share = made.manifest.checks["int8"]["quantized_macs_share"]
    return {
        "network": network,
        "target": target,
        "seconds": seconds,
        "peak_gb": peak,
        "int8_macs": 100 * share,
        "agreement": 100 * float(np.mean(same)),
    }


def main() -> None:
    """Run each network and target in a process of its own, so that peaks are its own.

    Prints the table and writes zoo_int8.json.
    """
    parser = bare_parser(str(__doc__))
    parser.add_argument("networks", nargs="*", default=list(ZOO))
    parser.add_argument("--size", type=int, default=257)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--targets", default="cpu,npu")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    targets = options.targets.split(",")
    if options.one:
        print(json.dumps(one(options.networks[0], targets[0], options.size, options.images)))
        return
    rows = []
    for network in options.networks:
        for target in targets:
            command = [sys.executable, __file__, network, "--targets", target, "--one"]
            command += ["--size", str(options.size), "--images", str(options.images)]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            rows.append(json.loads(answer.stdout.splitlines()[-1]))
            print(answer.stdout.splitlines()[-1], file=sys.stderr)
    print(tabulate(rows, "keys", floatfmt=".2f"))
    found = facts(size=options.size, images=options.images, rows=rows)
    write_json(options.out / "zoo_int8.json", found)


if __name__ == "__main__":
    main()
