"""What engines cost: images per second, start-up, memory of workers and of the driver.

    python benchmarks/scale.py rates FP32.onnx DATA [--images 1000] [-o runs/bench]
    python benchmarks/scale.py ids FP32.onnx DATA [--ids 100000] [-o runs/bench]
    python benchmarks/scale.py rows [--rows 1000000] [--resamples 10000] [-o runs/bench]

`rates` counts the images of DATA with one and with two one-thread processes and with two actors of
Ray, whose start-up counts apart: up to the first finished shard, less what a shard takes.
`ids` begins lists of made-up ids, short and long, of the images of DATA: what workers and the
driver have must not grow with them. `session_mb` is what the files themselves take, in a process
that opens them and counts 16 images.
`rows` gives the driver as many rows of made-up counts, 21 classes and two files, as it would have
after as many images, and has it reduce them to figures. Resamples take time and, one after the
other, no memory. All memory is what no file backs, most of it at any time: code that is mapped from
libraries, 120 MB of Ray's, is there once for all processes.
"""

import threading
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import numpy as np

from benchmarks.common import facts, write_json
from export.artifact.artifact import load_artifact
from export.workers.engines import ENGINES, Workers
from validate.counting.evaluation import Evaluation
from validate.counting.job import File, Job
from validate.counting.shards import Shard, cut
from validate.data.datasets import open_dataset
from validate.data.items import Item, ids_digest
from validate.judging.figures import figures
from validate.metrics.bootstrap import RESAMPLES
from validate.result.evidence import Evidence
from validate.samples.samples import Preparation

ENGINES_TIMED = {
    "processes, 1 worker": Workers("processes", 1),
    "processes, 2 workers": Workers("processes", 2),
    "ray, 2 workers": Workers("ray", 2),
}
CLASSES = 21


def _job(file: Path) -> Job:
    artifact = load_artifact(file)
    preparation = Preparation.for_artifact(artifact.manifest, "squash")
    files = {"fp32": File(artifact.path.resolve(), artifact.manifest.sha256, "ort-cpu")}
    return Job(files, "fp32", preparation, artifact.manifest)


def _rates(options: Namespace) -> dict[str, Any]:
    job = _job(options.artifact)
    items = open_dataset(options.data, "val").first(options.images).sorted().items
    rows = {}
    for name, workers in ENGINES_TIMED.items():
        if options.only and options.only not in name:
            continue
        rows[name] = _timed(job, items, workers)
        print(name, rows[name], flush=True)
    return rows


def _timed(job: Job, items: Any, workers: Workers) -> dict[str, Any]:
    """Seconds in all, to the first shard, and images per second from there to the last."""
    shards = cut(items)
    begun = time.perf_counter()
    ends, digests, memory = [], {}, 0
    for shard, packed in ENGINES[workers.engine].run(job, shards, workers, print):
        ends.append(time.perf_counter() - begun)
        digests[shard.index] = packed.digest
        memory = max([memory, *_workers()])
    rate = (len(items) - len(shards[0].items)) / (ends[-1] - ends[0])
    return {
        "seconds": round(ends[-1], 1),
        "first_shard": round(ends[0], 1),
        "images_per_second": round(rate, 2),
        "start": round(ends[0] - (workers.count or 1) * len(shards[0].items) / rate, 1),
        "worker_mb": round(memory / 1e6),
        "counts": ids_digest(digests[index] for index in sorted(digests))[:16],
    }


def _workers() -> Iterator[int]:
    """Bytes that no file backs of the processes that count: ours, and Ray's actors."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            command = (status.parent / "cmdline").read_bytes()
            if b"export.workers.worker" in command or b"ray::MapWorker" in command:
                lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
                yield int(lines["RssAnon"].split()[0]) * 1024
        except (OSError, KeyError):
            continue


def _ids(options: Namespace) -> dict[str, Any]:
    job, real = _job(options.artifact), open_dataset(options.data, "val").items
    with get_context("spawn").Pool(1) as pool:
        session = pool.apply(_session_mb, (job, cut(real[:16])[0]))
    rows: dict[str, Any] = {"session_mb": session}
    for length in (1000, options.ids):
        images = islice(cycle(real), length)
        items = [replace(item, id=f"image_{n:08d}") for n, item in enumerate(images)]
        for name in ("processes, 2 workers", "ray, 2 workers"):
            rows[f"{length} ids, {name}"] = _begun(job, items, ENGINES_TIMED[name])
            print(rows, flush=True)
    return rows


def _session_mb(job: Job, shard: Shard) -> int:
    before = _anonymous()
    with job.opened() as runtimes:
        job.do(runtimes, shard)
        return _anonymous() - before


def _begun(job: Job, items: Sequence[Item], workers: Workers) -> dict[str, int]:
    """Return the most memory, MB, of a worker and of the driver, over the first 600 images."""
    shards = cut(items)
    counted, worker = 0, 0
    with _watched() as driver:
        run = ENGINES[workers.engine].run(job, shards, workers, print)
        with closing(cast("Generator[Any]", run)):
            for shard, _ in run:
                counted += len(shard.items)
                worker = max([worker, *_workers()])
                if counted >= 600:
                    break
    return {"worker_mb": round(worker / 1e6), "driver_mb": max(driver)}


def _rows(options: Namespace) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    kinds = [_row(rng) for _ in range(64)]
    evaluations = {key: Evaluation() for key in ("fp32", "int8")}
    begun = time.perf_counter()
    block = 256
    for start in range(0, options.rows, block):
        count = min(block, options.rows - start)
        ids = [f"image_{start + n:08d}" for n in range(count)]
        for place, evaluation in enumerate(evaluations.values()):
            chosen = np.stack([kinds[(start + n + place) % 64] for n in range(count)])
            near = np.stack([chosen.sum((1, 2)) // 5, chosen.sum((1, 2)) // 6], 1)
            evaluation.extend(ids, Evidence(chosen, chosen, near, np.zeros(count, np.bool_)))
    merged = time.perf_counter() - begun
    before = _anonymous()
    evidence = {key: one.evidence() for key, one in evaluations.items()}
    ids = [f"image_{n:08d}" for n in range(options.rows)]
    with _watched() as most:
        names = [f"class {n}" for n in range(CLASSES)]
        found = figures(evidence, "fp32", names, ids, resamples=options.resamples)
    return {
        "rows": options.rows,
        "resamples": options.resamples,
        "merge_seconds": round(merged, 1),
        "figures_seconds": round(time.perf_counter() - begun - merged, 1),
        "driver_mb_before_figures": before,
        "driver_mb_most": max(most),
        "drop": found["int8"].drop,
    }


def _row(rng: np.random.Generator) -> np.ndarray[Any, Any]:
    counts = rng.integers(0, 5, (CLASSES, CLASSES))
    return counts + np.diag(rng.integers(0, 6000, CLASSES))


def _anonymous() -> int:
    """MB of this process that no file backs."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1000 for line in lines if line.startswith("RssAnon"))


@contextmanager
def _watched() -> Iterator[list[int]]:
    """Give a list that grows by what this process has, MB, every tenth of a second."""
    found, over = [_anonymous()], threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            found.append(_anonymous())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def _parsed() -> Namespace:
    everywhere = ArgumentParser(add_help=False)
    everywhere.add_argument("-o", "--out", type=Path, default=Path("runs/bench"))
    parser = ArgumentParser()
    parts = parser.add_subparsers(dest="part", required=True)
    rates = parts.add_parser("rates", parents=[everywhere])
    rates.add_argument("artifact", type=Path)
    rates.add_argument("data")
    rates.add_argument("--images", type=int, default=1000)
    rates.add_argument("--only")
    rates.set_defaults(run=_rates)
    ids = parts.add_parser("ids", parents=[everywhere])
    ids.add_argument("artifact", type=Path)
    ids.add_argument("data")
    ids.add_argument("--ids", type=int, default=100_000)
    ids.set_defaults(run=_ids)
    rows = parts.add_parser("rows", parents=[everywhere])
    rows.add_argument("--rows", type=int, default=1_000_000)
    rows.add_argument("--resamples", type=int, default=RESAMPLES)
    rows.set_defaults(run=_rows)
    return parser.parse_args()


if __name__ == "__main__":
    options = _parsed()
    run: Callable[[Namespace], dict[str, Any]] = options.run
    found = run(options)
    options.out.mkdir(parents=True, exist_ok=True)
    write_json(options.out / f"scale-{options.part}.json", facts() | {"found": found})
    print(found)
