"""What a sweep of 24 cells takes, against the sum of its distinct stages.

    python -m benchmarks.sweep_cost runs/demo [--engine processes] [-o runs/bench]

The folder is that of the demo, whose network and scenes are taken. The first sweep has nothing to
reuse, neither files nor statistics, and every stage of it is timed here: the export, each
collection of statistics, each cell without what it collects, judging. A collection of what was
collected before is no distinct stage. With `--engine` a second sweep is made by two workers.
"""

import hashlib
import json
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from benchmarks.common import facts, write_json
from export.common.progress import SILENT
from export.workers.engines import Workers
from quantize.calibration.calibration import collect
from quantize.calibration.measurement import Measurement
from quantize.quantization import quantize_all
from segport.making import fp32_of
from segport.sweep.judging import Judge
from segport.sweep.plan import load_sweep
from segport.sweep.sweep import sweep

PLAN = """
name = "demo"
data = {{ calibration = "{demo}/scenes", validation = "{demo}/scenes", limit = 64, samples = 32 }}
[network.demo]
name = "deeplabv3_mobilenet"
weights = "{demo}/deeplabv3_mobilenet.safetensors"
size = [257, 257]
[grid]
target = ["cpu", "npu"]
range = ["mse", "minmax", "percentile"]
skip = [[], ["gptq"]]
keep_float = [[], ["*classifier*"]]
"""
STAGES: dict[str, Callable[..., Any]] = {
    "segport.sweep.making.fp32_of": fp32_of,
    "segport.sweep.cell_work.quantize_all": quantize_all,
    "quantize.calibration.cache.collect": collect,
    "segport.sweep.judging.Judge.judge": Judge.judge,
    "segport.sweep.judging.Judge.time": Judge.time,
}
"""What is timed, by the name under which a sweep calls it."""
_COLLECT = "quantize.calibration.cache.collect"


class _Clock:
    """Seconds by stage, and those of collections that were made before."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.calls = dict.fromkeys(STAGES, 0)
        self.repeated = 0.0
        self._seen: set[str] = set()

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function`, whose time counts as that of `name`."""

        def call(*arguments: Any, **named: Any) -> Any:
            keys = set(_keys(arguments[0])) if name == _COLLECT else set()
            begun = time.perf_counter()
            try:
                result = function(*arguments, **named)
                # what makes one file after the other has done nothing yet
                return iter(list(result)) if isinstance(result, Iterator) else result
            finally:
                taken = time.perf_counter() - begun
                self.calls[name] += 1
                self.seconds[name] += taken
                if keys and keys <= self._seen:
                    self.repeated += taken
                self._seen |= keys

        return call


def _keys(measurements: Sequence[Measurement]) -> Iterator[str]:
    for one in measurements:
        wanted = {name: [s.key for s in some] for name, some in one.statistics.items()}
        text = json.dumps(wanted, sort_keys=True).encode()
        yield hashlib.sha256(one.model.SerializeToString(deterministic=True) + text).hexdigest()


@contextmanager
def _nothing_known() -> Iterator[Path]:
    """Give a new folder, and a cache without statistics."""
    with TemporaryDirectory() as folder, patch.dict("os.environ", XDG_CACHE_HOME=f"{folder}/cache"):
        yield Path(folder)


def _measured(demo: Path, engine: str | None) -> dict[str, Any]:
    clock = _Clock()
    with _nothing_known() as folder:
        total, cells = _swept(demo, folder, clock)
    distinct = sum(clock.seconds.values()) - clock.repeated
    # a cell's collections are timed twice: as such, and within the cell
    distinct -= clock.seconds[_COLLECT]
    found: dict[str, Any] = {
        "cells": cells,
        "seconds": round(total, 1),
        "stages": {name: round(seconds, 1) for name, seconds in clock.seconds.items()},
        "calls": clock.calls,
        "collected_again": round(clock.repeated, 1),
        "distinct": round(distinct, 1),
        "ratio": round(total / distinct, 2),
    }
    if engine is not None:
        with _nothing_known() as folder:
            seconds, _ = _swept(demo, folder, _Clock(), Workers(engine, 2))
        found |= {f"{engine}, 2 workers": round(seconds, 1)}
        found |= {"ratio_by_two": round(seconds / distinct, 2)}
    return found


def _swept(
    demo: Path, folder: Path, clock: _Clock, workers: Workers | None = None
) -> tuple[float, int]:
    """Sweep into `folder`; return seconds and the number of cells, none of which may fail."""
    plan = folder / "sweep.toml"
    plan.write_text(PLAN.format(demo=demo.resolve()))
    patches = [patch(name, clock.timed(name, function)) for name, function in STAGES.items()]
    for one in patches:
        one.start()
    try:
        begun = time.perf_counter()
        result = sweep(load_sweep(plan), folder / "out", SILENT, workers=workers)
        taken = time.perf_counter() - begun
    finally:
        for one in patches:
            one.stop()
    errors = [row.error for row in result.rows if row.error]
    if errors:
        raise SystemExit(errors[0])
    return taken, len(result.rows)


def _parsed() -> Namespace:
    parser = ArgumentParser()
    parser.add_argument("demo", type=Path)
    parser.add_argument("--engine")
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/bench"))
    return parser.parse_args()


if __name__ == "__main__":
    options = _parsed()
    found = _measured(options.demo, options.engine)
    options.out.mkdir(parents=True, exist_ok=True)
    write_json(options.out / "sweep-cost.json", facts() | {"found": found})
    print(found)
