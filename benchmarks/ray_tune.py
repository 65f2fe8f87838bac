"""What a trial that does nothing costs on one Ray cluster: as our task, and as a trial of Ray Tune.

    python benchmarks/ray_tune.py [--trials 32] [--batch 8] [-o runs/bench]

Ours is what a sweep's [space] does with `--engine ray`: Optuna is asked for a batch, the batch is
done by two workers, Optuna is told. Tune's are function trainables proposed by its OptunaSearch
with the same three objectives, two at a time. Seconds are from the first call to the last result,
the cluster being up.
"""

import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import facts, write_json
from export.common.progress import Progress
from export.workers.engines import ENGINES, Workers
from segport.recipe import ArtifactSection
from segport.sweep.choosing import Sampler
from segport.sweep.space import space_of

WORKERS = Workers("ray", 2)


@dataclass(frozen=True)
class Trial:
    """A number, of which nothing is made."""

    index: int
    number: float

    def at(self, done: int) -> str:
        """Name the trial."""
        return f"trial {self.index}"


@dataclass(frozen=True)
class Nothing:
    """Three costs of a number."""

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Open nothing."""
        yield

    def do(self, opened: None, task: Trial, progress: Progress) -> tuple[float, float, float]:
        """Return costs of which none goes with another."""
        return costs(task.number)


def costs(number: float) -> tuple[float, float, float]:
    """Return what a trial costs."""
    return number, 1 - number, number * (1 - number)


def ours(trials: int, batch: int) -> int:
    """Do the trials as a sweep does; return how many were done."""
    table = {"trials": trials, "batch": batch, "min_self_agreement": {"min": 0.0, "max": 1.0}}
    sampler = Sampler(space_of(table), ArtifactSection.model_validate, print)
    done = 0
    while cells := sampler.ask():
        tasks = [Trial(i, cell.section.min_self_agreement) for i, cell in enumerate(cells)]
        found = dict(ENGINES["ray"].run(Nothing(), tasks, WORKERS, print))
        sampler.tell({cell.name: found[task] for cell, task in zip(cells, tasks, strict=True)})
        done += len(found)
    return done


def theirs(trials: int) -> int:
    """Do the trials by Ray Tune; return how many were done."""
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    def trainable(config: dict[str, float]) -> None:
        tune.report(dict(zip("abc", costs(config["number"]), strict=True)))

    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            trainable,
            param_space={"number": tune.uniform(0.0, 1.0)},
            tune_config=tune.TuneConfig(
                search_alg=OptunaSearch(metric=list("abc"), mode=["min"] * 3, seed=0),
                num_samples=trials,
                max_concurrent_trials=WORKERS.count,
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        return sum(not result.error for result in tuner.fit())


def timed(run: Any, *arguments: int) -> dict[str, float]:
    """Return the seconds of a trial, and how many trials gave costs."""
    begun = time.perf_counter()
    done = run(*arguments)
    return {"trials": done, "seconds_each": round((time.perf_counter() - begun) / done, 3)}


def main() -> None:
    """Measure both, and write what was found."""
    parser = ArgumentParser()
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/bench"))
    options = parser.parse_args()
    with ENGINES["ray"].kept(WORKERS, print):
        found = {"ours": timed(ours, options.trials, options.batch)}
        print(found, flush=True)
        found["ray tune"] = timed(theirs, options.trials)
    options.out.mkdir(parents=True, exist_ok=True)
    write_json(options.out / "ray-tune.json", facts() | {"found": found})
    print(found)


if __name__ == "__main__":
    from benchmarks import ray_tune  # by a name that Ray's processes know what is in it

    ray_tune.main()
