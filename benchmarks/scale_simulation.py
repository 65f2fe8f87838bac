"""Ten million images on 256 workers that fail: where the driver saturates. Seeded, on no cluster.

    python benchmarks/scale_simulation.py [--images 10000000] [--workers 256] [-o runs/bench]

First it measures on this machine what a shard of 256 images, 21 classes and two files costs:
packing its rows, writing the packed rows, and what they weigh. Then a queue of events is played: a
worker counts a shard, dies now and then (exponentially distributed; the shard begins anew after a
restart), and its rows wait for the one driver. Played with the driver packing the rows, as it was
at first, with the workers packing them, as it is, and so with sixteen times as many workers.
"""

import heapq
import random
import tempfile
import time
from argparse import ArgumentParser
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.common import facts, write_json
from validate.counting.kept import KeptRows, Packed
from validate.counting.shards import MOST, Shard
from validate.data.items import Item
from validate.result.evidence import Evidence

CLASSES = 21
SECONDS_PER_IMAGE = 1 / 52.0
"""Of a one-thread worker: benchmarks/scale.py rates, the demo's network at 257x257."""
RESTART = 12.0
"""Seconds until a lost actor counts again: what the start of Ray took there."""
BETWEEN_FAILURES = 4 * 3600.0
"""Seconds of a worker's work between two of its ends, in the mean: spot machines."""


@dataclass(frozen=True)
class Costs:
    """Seconds and bytes per shard."""

    pack: float
    write: float
    raw_bytes: int
    packed_bytes: int


@dataclass(frozen=True)
class Played:
    """What came of it; `busy` is the share of time that the driver works, `waiting` rows' most."""

    packed_by: str
    hours: float
    ideal_hours: float
    failures: int
    shards_done_again: int
    driver_busy: float
    most_waiting: int
    object_store_gb: float
    rows_gb: float


def measured_costs(rounds: int = 5) -> Costs:
    """Return the medians of what a shard costs here."""
    rng = np.random.default_rng(0)
    ids = [f"image_{n:08d}" for n in range(MOST)]
    counts = {key: _counts(rng) for key in ("fp32", "int8")}
    shard = Shard(0, 0, tuple(Item(id, Path(__file__), None) for id in ids))
    pack, write = [], []
    with tempfile.TemporaryDirectory() as folder:
        kept = KeptRows(Path(folder), "simulation")
        for _ in range(rounds):
            begun = time.perf_counter()
            packed = Packed.of(counts, ids)
            pack.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            kept.keep(shard, packed)
            write.append(time.perf_counter() - begun)
    raw = sum(part.nbytes for one in counts.values() for part in vars(one).values())
    return Costs(float(np.median(pack)), float(np.median(write)), raw, len(packed.data))


def _counts(rng: np.random.Generator) -> Evidence:
    """Made-up counts of as many classes as an image has, five, and noise around them."""
    rows = np.zeros((MOST, CLASSES, CLASSES), np.int64)
    for row in rows:
        present = rng.choice(CLASSES, 5, replace=False)
        row[np.ix_(present, present)] = rng.integers(0, 900, (5, 5))
    near = rng.integers(0, 9000, (MOST, 2))
    return Evidence(rows, rows.transpose(0, 2, 1).copy(), near, np.zeros(MOST, np.bool_))


def play(images: int, workers: int, costs: Costs, packed_by: str, seed: int = 0) -> Played:
    """Play all shards until the last is kept."""
    rng = random.Random(seed)
    by_worker = packed_by == "workers"
    work = MOST * SECONDS_PER_IMAGE + (costs.pack if by_worker else 0.0)
    service = costs.write + (0.0 if by_worker else costs.pack)
    size = costs.packed_bytes if by_worker else costs.raw_bytes
    left = shards = -(-images // MOST)
    ends = [(rng.uniform(0, work), worker) for worker in range(workers)]
    heapq.heapify(ends)
    failures = most = 0
    free = busy = 0.0  # when the driver is, and how long it has worked
    arrived: list[float] = []
    while left:
        now, worker = heapq.heappop(ends)
        if rng.random() < 1 - np.exp(-work / BETWEEN_FAILURES):
            failures += 1
            heapq.heappush(ends, (now + RESTART + rng.uniform(0, work) + work, worker))
            continue
        left -= 1
        free = max(free, now) + service
        busy += service
        heapq.heappush(arrived, free)
        while arrived and arrived[0] <= now:
            heapq.heappop(arrived)
        most = max(most, len(arrived))
        heapq.heappush(ends, (now + work, worker))
    return Played(
        packed_by,
        round(free / 3600, 2),
        round(shards * MOST * SECONDS_PER_IMAGE / workers / 3600, 2),
        failures,
        failures,
        round(busy / free, 3),
        most,
        round(most * size / 1e9, 2),
        round(shards * costs.packed_bytes / 1e9, 2),
    )


if __name__ == "__main__":
    parser = ArgumentParser()
    parser.add_argument("--images", type=int, default=10_000_000)
    parser.add_argument("--workers", type=int, default=256)
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/bench"))
    options = parser.parse_args()
    costs = measured_costs()
    print(costs)
    rows = [play(options.images, options.workers, costs, who) for who in ("driver", "workers")]
    rows += [play(options.images, 16 * options.workers, costs, "workers")]
    for row in rows:
        print(row)
    options.out.mkdir(parents=True, exist_ok=True)
    found = {"costs": asdict(costs), "played": [asdict(row) for row in rows]}
    write_json(options.out / "scale-simulation.json", facts(images=options.images) | found)
