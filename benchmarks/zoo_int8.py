"""int8 of all twelve networks with seeded random weights: time, peak memory, agreement with fp32.

    PYTHONPATH=. .venv/bin/python benchmarks/zoo_int8.py [NETWORK...] [--size 513] [--images 64]

Random weights have realistic BatchNorm statistics, but their classes hang by a thread, so the
agreement is far below that of a trained network. Each file is made in a process of its own.
"""

import argparse
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from export.artifact import Sample, load_artifact
from export.class_map import class_map
from export.onnx_export import export_model
from export.sessions import open_session, run
from export.zoo import ZOO
from quantize.quantization import Settings, quantize


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


def one(network: str, target: str, size: int, count: int) -> str:
    """Export and quantize one network; return a line of the table."""
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
    return (
        f"{network:42s} {target:5s} {seconds:7.1f} s  {peak:5.2f} GB peak  "
        f"{100 * share:5.1f} % of MACs  agreement {100 * np.mean(same):.2f} %"
    )


def main() -> None:
    """Run each network and target in a process of its own, so that peaks are its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("networks", nargs="*", default=list(ZOO))
    parser.add_argument("--size", type=int, default=257)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--targets", default="cpu,npu")
    options = parser.parse_args()
    targets = options.targets.split(",")
    if len(options.networks) == len(targets) == 1:
        print(one(options.networks[0], targets[0], options.size, options.images), flush=True)
        return
    for network in options.networks:
        for target in targets:
            command = [sys.executable, __file__, network, "--targets", target]
            command += ["--size", str(options.size), "--images", str(options.images)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
