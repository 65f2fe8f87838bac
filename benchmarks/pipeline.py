"""Measure `segport run`: time against its inferences alone, peak memory, and a second run.

    python benchmarks/pipeline.py recipes/deeplabv3_mobilenet.toml [--images 200] [-o runs/pipeline]
    python benchmarks/pipeline.py recipes/deeplabv3_mobilenet.toml --plain
    python benchmarks/pipeline.py recipes/deeplabv3_mobilenet.toml --plain --images 4 \\
        --network deeplabv3_resnet101 -o runs/pipeline-resnet101

`--plain` leaves one protocol, torch, fp32, fp16 and int8 for `cpu` of the recipe; `--network`
puts another network with random weights in.
The run is a process of its own with an empty cache of calibration statistics; its time is from
start to end, start of the interpreter and import of torch included. An inference is from image
tensor to class mask, as `segport validate` computes it, all runtimes in turns, nothing else
going on. The sum counts one per image, protocol and runtime, and one of fp32 per calibration
image; what else infers (export's check, the part of calibration that fp16 and int8 do not share,
the latency loop) is overhead. For the loop of `segport validate` alone, blocks of images are
inferred and evaluated alternately, so that slow phases of the machine meet both; the ratio is
that of the medians per image. Memory is that of the run's process and of those that it starts,
together (PSS, sampled ten times a second), in a run of its own, as sampling stops what is sampled.
Needs an idle machine.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.memory import watch
from export.artifact.artifact import Artifact, load_artifact
from export.common.ending import end
from export.common.progress import Stages
from segport.pipeline import run
from segport.recipe import Recipe
from segport.recipe_file import load_recipe
from segport.recipe_values import reference_of, runtime_of, weights_of
from validate.counting.evaluation import evaluate
from validate.data.datasets import open_dataset
from validate.data.items import Dataset
from validate.result.cells import markdown_table
from validate.result.result import RESULT_FILE, load_result
from validate.runtime.engine import Runtime
from validate.runtime.runtimes import TORCH_ID, open_runtime
from validate.runtime.table import rebuilds
from validate.runtime.torch_network import open_torch
from validate.samples.samples import Preparation

BLOCK = 10
"""Images that are inferred, then evaluated."""


@dataclass
class _Clock(Stages):
    """Notes when stages begin, as `time.time` has it."""

    begun: list[tuple[str, float]] = field(default_factory=list)

    def __call__(self, name: str, done: int, total: int) -> None:
        if not self.begun or self.begun[-1][0] != name:
            self.begun.append((name, time.time()))


def main() -> None:
    """Print one table per figure, and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--images", type=int, help="validate on the first so many")
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/pipeline"))
    parser.add_argument("--plain", action="store_true", help="one protocol, four runtimes")
    parser.add_argument("--network", help="put this one, with random weights, into the recipe")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    recipe = _asked(options)
    if options.child:
        _run(recipe, options.out)
        end(0)  # as `segport` does
    arguments = [__file__, str(options.recipe), "-o", str(options.out)]
    arguments += ["--images", str(options.images)] if options.images else []
    arguments += ["--network", options.network] if options.network else []
    arguments += ["--plain"] if options.plain else []
    with tempfile.TemporaryDirectory() as cache:
        _forget(options.out)
        first = _timed(arguments, cache)
        second = _timed(arguments, cache)
    with tempfile.TemporaryDirectory() as cache:
        _forget(options.out)
        first |= _watched(arguments, cache)
    rows = [
        [name, f"{s:.1f}", f"{first['stage_mb'][name]:.0f}"] for name, s in first["stage_s"].items()
    ]
    print(markdown_table(rows, ["stage", "s", "MB"]))
    alone, loop = _loop(recipe, options.out)
    print(markdown_table([[key, _ms(value)] for key, value in alone.items()], ["alone", "ms"]))
    facts = _figures(recipe, first, second, alone, loop)
    print(markdown_table([[key, value] for key, value in facts.items()], ["figure", "value"]))
    document = {"first": first, "second": second, "alone_s": alone, "figures": facts}
    (options.out / "pipeline.json").write_text(json.dumps(document, indent=1) + "\n")


def _asked(options: argparse.Namespace) -> Recipe:
    """Return the recipe as the options change it; what it was made for is not asked of others."""
    recipe = load_recipe(options.recipe)
    model, data, validation, made = recipe.model, recipe.data, recipe.validation, recipe.artifact
    if options.images:
        data = data.model_copy(update={"limit": options.images})
    if options.network:
        model = model.model_copy(update={"name": options.network, "weights": "random"})
    if options.plain:
        validation = validation.model_copy(update={"protocols": validation.protocols[:1]})
        made = tuple(one for one in made if one.precision == "fp16" or one.target == "cpu")
    sections = {"model": model, "data": data, "validation": validation, "artifact": made}
    gate = None if options.network or options.plain else recipe.gate
    return recipe.model_copy(update={**sections, "gate": gate})


def _run(recipe: Recipe, folder: Path) -> None:
    """Do the run in this process and print what the clock saw as the last line."""
    clock = _Clock()
    clock.stage("imports and data sets")
    run(recipe, folder, clock)
    print(json.dumps({"begun": [*clock.begun, ("", time.time())], "torch": "torch" in sys.modules}))


def _forget(folder: Path) -> None:
    """Let the next run into `folder` find no stage that was done before."""
    (folder / ".segport-stages.json").unlink(missing_ok=True)


def _timed(arguments: list[str], cache: str) -> dict[str, Any]:
    """Run; return the seconds of all and of every stage, and whether torch was imported."""
    start = time.perf_counter()
    done = subprocess.run(
        _command(arguments), env=_environment(cache), stdout=subprocess.PIPE, text=True, check=True
    )
    seconds = time.perf_counter() - start
    found = json.loads(done.stdout.splitlines()[-1])
    stages: dict[str, float] = defaultdict(float)
    for name, start, over in _stages(found["begun"]):
        stages[name] += over - start
    return {"seconds": seconds, "stage_s": stages, "torch": found["torch"]}


def _watched(arguments: list[str], cache: str) -> dict[str, Any]:
    """Run; return the most memory of all and of every stage, 0 for one shorter than a sample."""
    watched = watch(_command(arguments), _environment(cache))
    found = json.loads(watched.output.splitlines()[-1])
    stages: dict[str, float] = defaultdict(float)
    for name, start, over in _stages(found["begun"]):
        most = max((mb for when, mb in watched.samples if start <= when < over), default=0.0)
        stages[name] = max(stages[name], most)
    return {"peak_mb": watched.peak, "stage_mb": stages}


def _command(arguments: list[str]) -> list[str]:
    return [sys.executable, *arguments, "--child"]


def _environment(cache: str) -> dict[str, str]:
    return {**os.environ, "XDG_CACHE_HOME": cache}


def _stages(begun: list[tuple[str, float]]) -> Iterator[tuple[str, float, float]]:
    for (name, start), (_, over) in pairwise(begun):
        yield name, start, over


def _loop(recipe: Recipe, folder: Path) -> tuple[dict[str, float], float]:
    """Return the seconds of one inference of each runtime, and of one image of the loop."""
    artifacts = [load_artifact(folder / str(file)) for file in _files(recipe, folder)]
    runtimes = _runtimes(recipe, artifacts)
    reference = next(iter(runtimes))
    preparation = Preparation.for_artifact(artifacts[0].manifest, recipe.validation.protocols[0])
    dataset = open_dataset(recipe.data.validation, "val").first(recipe.data.limit).sorted()
    alone: dict[str, list[float]] = {key: [] for key in runtimes}
    loop: list[float] = []
    for block in _blocks(dataset):
        for item in block.items:
            image = preparation.sample(item).image
            for key, runtime in runtimes.items():
                start = time.perf_counter()
                runtime.mask(runtime.engine.outputs(image))
                alone[key].append(time.perf_counter() - start)
        start = time.perf_counter()
        evaluate(runtimes, reference, block, preparation)
        loop.append((time.perf_counter() - start) / len(block.items))
    return {key: median(times) for key, times in alone.items()}, median(loop)


def _files(recipe: Recipe, folder: Path) -> list[str | None]:
    result = load_result(folder / recipe.validation.protocols[0] / RESULT_FILE)
    return [artifact.file for artifact in result.artifacts if artifact.file]


def _runtimes(recipe: Recipe, artifacts: list[Artifact]) -> dict[str, Runtime]:
    """Open what `segport validate` opens, the reference first."""
    reference, weights = reference_of(recipe), weights_of(recipe)
    opened: dict[str, Runtime] = {}
    if reference is not None and rebuilds(reference):
        opened[TORCH_ID] = open_torch(artifacts[0].manifest, weights, reference)
    for artifact in artifacts:
        name = runtime_of(recipe, artifact)
        opened[artifact.manifest.id] = open_runtime(artifact, name, weights=weights)
    return opened


def _blocks(dataset: Dataset) -> Iterator[Dataset]:
    for start in range(0, len(dataset.items), BLOCK):
        yield replace(dataset, items=dataset.items[start : start + BLOCK])


def _figures(
    recipe: Recipe,
    first: Mapping[str, object],
    second: Mapping[str, object],
    alone: Mapping[str, float],
    loop: float,
) -> dict[str, str]:
    images = len(open_dataset(recipe.data.validation, "val").first(recipe.data.limit).items)
    once = sum(alone.values())
    total = images * len(recipe.validation.protocols) * once + recipe.data.samples * alone["fp32"]
    whole = float(str(first["seconds"]))
    # of a few images the ratio says nothing
    ratio = {} if recipe.data.limit else {"whole run / inferences": f"{whole / total:.2f}"}
    return {
        "whole run": f"{whole:.1f} s",
        "its inferences alone": f"{total:.1f} s",
        **ratio,
        "loop of validate / inferences": f"{loop / once:.2f}",
        "peak memory": f"{float(str(first['peak_mb'])):.0f} MB",
        "second run": f"{float(str(second['seconds'])):.1f} s, torch imported: {second['torch']}",
    }


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f}"


if __name__ == "__main__":
    main()
