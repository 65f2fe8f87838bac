"""Time from image tensor to class mask: Segport's `cpu` mask file beside what others run.

    python -m benchmarks.quantizers --networks deeplabv3_mobilenet
    python -m benchmarks.masks --networks deeplabv3_mobilenet --rounds 40

The six DeepLab networks at 513 x 513, in the files that quantizers.py left in OUT. The ResNets have
seeded random weights, which changes no time but that of the mask head: noise is its worst case.
All run in turns in one process, the same image for all, each twice of which the second run
counts. torch, whose threads go on spinning, comes when the others are done. Each peer once
with numpy's argmax behind its logits and once with ArgMax in its graph. Needs ../shared, the
extra `bench` and an idle machine.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from benchmarks.common import (
    DEEPLABS,
    Run,
    calibration,
    environment,
    facts,
    fp32,
    parser,
    write_json,
)
from benchmarks.peers import PEERS, SEGPORT
from benchmarks.quantizers import file_of
from benchmarks.runs import in_onnxruntime, in_torch, with_argmax
from benchmarks.tables import ARGMAX, NUMPY, ratios
from validate.speed.contention import Snapshot, taken_by_others
from validate.speed.latency import Spread, spread

WARM_UP = 2
LEAST = 5
"""Rounds that are done however long they take."""
TORCH = {"torch eager": False, "torch.compile": True}


def opened(network: str, folder: Path) -> dict[str, Run]:
    """Open Segport's file and every peer's in both forms."""
    runs = {SEGPORT: in_onnxruntime(file_of(SEGPORT, folder))}
    for name, peer in PEERS.items():
        path = file_of(peer.quantizer, folder) if peer.quantizer else fp32(network, folder).path
        if not path.exists():
            print(f"{network} {name}: no file, left out", file=sys.stderr)
            continue
        runs[name + NUMPY] = peer.opened(path)
        runs[name + ARGMAX] = peer.opened(with_argmax(path))
    return runs


def measure(
    runs: Mapping[str, Run], images: Sequence[NDArray[np.float32]], rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Return every run's times in ms; less than `rounds`, but `LEAST`, after `seconds`."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    start = time.perf_counter()
    for done in range(WARM_UP + rounds):
        if done >= WARM_UP + LEAST and time.perf_counter() - start > seconds:
            break
        image = images[done % len(images)]
        for name, run in runs.items():
            run(image)  # the caches are those of the one before
            begin = time.perf_counter()
            run(image)
            if done >= WARM_UP:
                times[name].append(1000 * (time.perf_counter() - begin))
    return times


def one(network: str, folder: Path, rounds: int, seconds: float) -> dict[str, Any]:
    """Measure everything of one network."""
    source = fp32(network, folder)
    images = [sample.image for sample in calibration(source.manifest, 16)]
    runs = opened(network, folder)
    cpus = tuple(os.sched_getaffinity(0))
    before = Snapshot.take(cpus)
    times = measure(runs, images, rounds, seconds)
    others = taken_by_others(cpus, before)
    del runs  # their threads may spin
    torches = {name: in_torch(network, compiled) for name, compiled in TORCH.items()}
    times |= measure(torches, images, rounds, seconds / 2)
    return {
        "ms": {name: asdict(spread(taken)) for name, taken in times.items()},
        "rounds": len(times[SEGPORT]),
        "others": others,
        "int8": int8_speed(file_of(SEGPORT, folder)),
    }


def int8_speed(file: Path) -> dict[str, float]:
    """Return what the int8 layers reach in a process of their own: GMAC/s, peak and percent."""
    command = [sys.executable, "-m", "segport", "profile", str(file), "--json"]
    answer = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, env=environment(), text=True
    )
    found = json.loads(answer.stdout)
    int8 = next(group for group in found["multiplying"] if group["name"] == "int8")
    return {
        "gmac_per_s": int8["gmac_per_s"],
        "of_peak": int8["of_peak"],
        "peak": found["peaks"]["int8"],
    }


def main() -> None:
    """Print one table per network and write masks.json."""
    arguments = parser(str(__doc__), DEEPLABS)
    arguments.add_argument("--rounds", type=int, default=20)
    arguments.add_argument("--seconds", type=float, default=60, help="fewer rounds after this time")
    options = arguments.parse_args()
    networks: dict[str, Any] = {}
    for network in options.networks:
        found = one(network, options.out / network, options.rounds, options.seconds)
        networks[network] = found
        write_json(options.out / "masks.json", facts(networks=networks))
        medians = {name: Spread(**ms).median for name, ms in found["ms"].items()}
        rows = [*medians.items(), *(((f"{k} / segport"), v) for k, v in ratios(medians).items())]
        print(tabulate(rows, [network, "ms"], floatfmt=".2f"), flush=True)


if __name__ == "__main__":
    main()
