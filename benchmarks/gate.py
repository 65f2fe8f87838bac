"""What the gate catches and what it lets pass: planted, honest, edited and other-image results.

    python benchmarks/gate.py RUN_FOLDER DATA [RUN_FOLDER DATA ...] [--plants 1000] [-o DIR]

RUN_FOLDER is what `segport run` wrote: artifacts, and squash/ with the result and its counts; DATA
is the validation data it was made on. For every run one line per part is printed: planted
regressions that fail, honest re-runs that pass, the ratchet, edited fields that are found, and
comparisons across images against the power that `segport gate --plan` promises.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
from tabulate import tabulate

from benchmarks.common import bare_parser, facts, write_json
from export.artifact.artifact import Artifact, load_artifact
from export.common.errors import DataError
from validate.counting.evaluation import evaluate
from validate.data.datasets import open_dataset
from validate.data.items import Dataset, ids_digest
from validate.gating.baseline.acceptance import update_baseline
from validate.gating.baseline.against_baseline import judge_baseline
from validate.gating.baseline.baseline import key_of
from validate.gating.baseline.unpaired import Side, judge_other_images
from validate.gating.counted import Counted, count
from validate.gating.gate import gate
from validate.gating.proof.plan import against_others, images_needed, power, side_of
from validate.gating.proof.plan import planted as planted_counts
from validate.gating.proof.plants import PLANTS
from validate.gating.proof.self_test import judge_copy, judged_miou, planted_evidence
from validate.gating.rules import Rules
from validate.gating.verdict import Outcome, Verdict, exit_code
from validate.judging.comparison import write_result
from validate.judging.figures import figures, images_of_classes
from validate.judging.noise import SETTINGS, measure_noise
from validate.result.evidence import Evidence
from validate.result.result import Result, load_result
from validate.runtime.ort import on_cpu
from validate.runtime.runtimes import open_runtime
from validate.samples.samples import Preparation

RULES = Rules()
JUDGED = "int8"
ORDERS, RERUNS, DRAWS = 3, 50, 300
FEW = 100
"""Resamples for intervals that decide nothing here."""


def planted(counted: Counted, baseline: Path, count_: int) -> tuple[int, int]:
    """Return how many planted losses beyond the tolerance there were, and how many failed.

    They are judged from memory; `segport gate --self-test` sends fewer the whole way of a file.
    """
    rng, before = np.random.default_rng(0), judged_miou(counted.evidence[JUDGED])
    beyond = failed = 0
    while beyond < count_:
        points = RULES.tolerance * float(np.exp(rng.uniform(np.log(1.02), np.log(50))))
        name = str(rng.choice(list(PLANTS)))
        copy = planted_evidence(counted.evidence[JUDGED], name, points, int(rng.integers(2**31)))
        if before - judged_miou(copy) <= RULES.tolerance:
            continue  # there was not so much to lose
        beyond += 1
        failed += _judged(counted, copy, baseline).outcome is Outcome.FAIL
    return beyond, failed


def _judged(counted: Counted, planted_: Evidence, baseline: Path) -> Verdict:
    """Return the verdict on int8 with other evidence."""
    result = counted.result
    pair = {result.reference: counted.evidence[result.reference], JUDGED: planted_}
    found = figures(pair, result.reference, result.class_names, counted.images, resamples=1)
    artifacts = [a.model_copy(update=dict(found[a.id])) for a in result.artifacts if a.id == JUDGED]
    alone = replace(
        counted, result=result.model_copy(update={"artifacts": artifacts}), evidence=pair
    )
    present = {key_of(result, a) for a in result.artifacts}
    return judge_baseline(alone, baseline, RULES, present)[0]


def rerun(fp32: Artifact, int8: Artifact, data: Dataset) -> Iterator[dict[str, Evidence]]:
    """Yield what fp32 and int8 count again: other threads, optimizations, orders of the images."""
    preparation = Preparation.for_artifact(fp32.manifest, "squash")
    for seed in range(ORDERS):
        items = list(data.items)
        random.Random(seed).shuffle(items)
        runtimes = {"fp32": open_runtime(fp32), "as it ran": on_cpu(int8, None)}
        for setting in ("1 thread", "2 threads", "no graph optimization"):
            runtimes[setting] = on_cpu(int8, None, SETTINGS[setting]())
        shuffled = replace(data, items=tuple(items)).sorted()
        found = evaluate(runtimes, "fp32", shuffled, preparation)
        evidence = {key: one.evidence() for key, one in found.items()}
        for setting in runtimes:
            if setting != "fp32":
                yield {"fp32": evidence["fp32"], JUDGED: evidence[setting]}


def honest(
    result: Result, runs: Sequence[Mapping[str, Evidence]], images: Sequence[str], folder: Path
) -> tuple[int, int]:
    """Return how many honest re-runs there were, and how many did not pass."""
    write = partial(_write, result, images=images)
    write(runs[0], folder / "first", seed=0)
    baseline = folder / "baseline.json"
    update_baseline([_count(folder / "first")], baseline, "the first run")
    failed = 0
    for number in range(RERUNS):
        again = folder / "again"
        write(runs[number % len(runs)], again, seed=number)
        verdicts = gate(
            load_result(again / "result.json"), folder=again, baseline=baseline, rules=RULES
        )
        failed += exit_code(verdicts) != 0
    return RERUNS, failed


def ratchet(counted: Counted, step: float, folder: Path) -> tuple[float, float]:
    """Return how much was accepted in steps of this size, and how much when one failed."""
    baseline = folder / f"ratchet-{step}.json"
    update_baseline([counted], baseline, "the first")
    first, accepted = judged_miou(counted.evidence[JUDGED]), 0.0
    for number in range(1, 100):
        copy = planted_evidence(counted.evidence[JUDGED], "uniform", step * number, 0)
        verdict = judge_copy(counted, JUDGED, copy, baseline, RULES, folder / "step")
        if verdict.outcome is Outcome.FAIL:
            return accepted, first - judged_miou(copy)
        update_baseline([_count(folder / "step")], baseline, f"step {number}")
        accepted = first - judged_miou(copy)
    return accepted, float("inf")


def edited(counted: Counted, folder: Path) -> tuple[int, int]:
    """Return how many numbers a result has, and how many of them changed end in exit code 2."""
    _write(counted.result, counted.evidence, folder, images=counted.images, seed=0)
    file = folder / "result.json"
    document = json.loads(file.read_text())
    found = total = 0
    for path in _numbers(document):
        file.write_text(json.dumps(_changed(document, path)))
        try:
            loaded = load_result(file)
            code = exit_code(gate(loaded, folder=folder, max_drop={JUDGED: 99}, rules=RULES))
        except DataError:
            code = 2
        total += 1
        found += code == 2
    return total, found


def across_images(side: Side, points: float, images: int) -> float:
    """Return the percent of draws of `images` on each side that fail.

    The images of the result are the population; int8 truly loses `points` more on the new draw.
    """
    rng = np.random.default_rng(1)
    worse = Side(side.reference, planted_counts(side.artifact, points) if points else side.artifact)
    failed = 0
    for _ in range(DRAWS):
        there, here = (rng.integers(0, len(side.reference), images) for _ in range(2))
        before = Side(side.reference[there], side.artifact[there])
        now = Side(worse.reference[here], worse.artifact[here])
        verdict = judge_other_images(JUDGED, now, before, RULES, "baseline")
        failed += verdict.outcome is Outcome.FAIL
    return 100 * failed / DRAWS


def seconds_of_a_gate(folder: Path) -> float:
    """Return the median time of judging 5 artifacts on 1449 images, counting included."""
    rng, ids = np.random.default_rng(0), ["torch-fp32", "fp32", "fp16", "int8", "int8@npu"]
    images = [f"2007_{index:06d}" for index in range(1449)]
    labels = rng.integers(0, 3, (1449, 21, 21)) * 5
    labels[:, range(21), range(21)] += rng.integers(0, 20_000, (1449, 21)) * (
        rng.random((1449, 21)) < 0.15
    )
    evidence = {
        id: Evidence(labels, labels, np.zeros((1449, 2), np.int64), np.zeros(1449, np.bool_))
        for id in ids
    }
    result = _synthetic(evidence, images)
    write_result(result, evidence, images, folder)
    update_baseline([_count(folder)], folder / "baseline.json", "the first")
    times = []
    for _ in range(5):
        start = perf_counter()
        loaded = load_result(folder / "result.json")
        gate(loaded, folder=folder, baseline=folder / "baseline.json", max_drop={"int8": 1})
        times.append(perf_counter() - start)
    return float(np.median(times))


def _synthetic(evidence: Mapping[str, Evidence], images: Sequence[str]) -> Result:
    source = next((Path(__file__).parents[1] / "reports").glob("demo/squash/result.json"))
    result = load_result(source)
    classes = result.class_names
    found = figures(evidence, "torch-fp32", classes, images)
    shape = result.artifacts[0]
    artifacts = [
        shape.model_copy(update={"id": id, "precision": "int8", **dict(one)})
        for id, one in found.items()
    ]
    dataset = result.dataset.model_copy(
        update={"images": len(images), "ids_sha256": ids_digest(images)}
    )
    return result.model_copy(
        update={
            "artifacts": artifacts,
            "dataset": dataset,
            "class_images": images_of_classes(evidence, classes),
        }
    )


def _write(
    result: Result,
    evidence: Mapping[str, Evidence],
    folder: Path,
    *,
    images: Sequence[str],
    seed: int,
) -> None:
    """Write a result of this evidence, with a bootstrap of its own."""
    known = [a for a in result.artifacts if a.id in evidence]
    reference = "fp32" if result.reference not in evidence else result.reference
    found = figures(evidence, reference, result.class_names, images, resamples=FEW, seed=seed)
    used = result.bootstrap
    update = {
        "artifacts": [a.model_copy(update=dict(found[a.id])) for a in known],
        "reference": reference,
        "bootstrap": used and used.model_copy(update={"resamples": FEW, "seed": seed}),
    }
    write_result(result.model_copy(update=update), evidence, images, folder)


def _count(folder: Path) -> Counted:
    return count(load_result(folder / "result.json"), folder, RULES)


def _numbers(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every number in a JSON document."""
    if isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _numbers(value, (*path, key))
    elif isinstance(node, int | float) and not isinstance(node, bool):
        yield path


def _changed(document: Any, path: tuple[Any, ...]) -> Any:
    copy = json.loads(json.dumps(document))
    *parents, last = path
    node = copy
    for key in parents:
        node = node[key]
    node[last] += 1
    return copy


def measure(run: Path, data: str, plants: int) -> list[list[str]]:
    """Return a row per part for one run."""
    folder = run / "squash"
    result, counted = load_result(folder / "result.json"), _count(folder)
    name = result.name
    files = {a.id: run / a.file for a in result.artifacts if a.file}
    fp32, int8 = load_artifact(files["fp32"]), load_artifact(files[JUDGED])
    images = open_dataset(data, "val").sorted()
    rows = []

    def row(what: str, reached: str) -> None:
        rows.append([name, what, reached])
        print(f"{name}: {what}: {reached}", flush=True)

    with TemporaryDirectory() as scratch:
        place = Path(scratch)
        noise = measure_noise(
            int8,
            "ort-cpu",
            ("fp32", open_runtime(fp32)),
            images,
            Preparation.for_artifact(fp32.manifest, "squash"),
            fp32.manifest.classes,
        )
        assert noise is not None
        row(
            f"noise of {JUDGED}: mIoU, a class, agreement",
            f"{noise.miou:.3f}, {noise.class_iou:.3f}, {noise.agreement:.3f}",
        )
        update_baseline([counted], place / "own.json", "this run")
        beyond, failed = planted(counted, place / "own.json", plants)
        row("planted losses beyond 0.2 points that fail", f"{failed} of {beyond}")
        runs = list(rerun(fp32, int8, images))
        total, wrong = honest(result, runs, counted.images, place / "honest")
        row("honest re-runs that do not pass", f"{wrong} of {total}")
        for step in (0.15, 0.1, 0.05):
            accepted, failing = ratchet(counted, step, place)
            row(
                f"ratchet of -{step}: points accepted, and with the step that fails",
                f"{accepted:.3f}, {failing:.3f}",
            )
        total, found = edited(counted, place / "edited")
        row("changed numbers that end in exit code 2", f"{found} of {total}")
        there, side = result.dataset.images, side_of(counted, JUDGED)
        assert side is not None
        for points in (0.0, 1.0, 2.0):
            share = across_images(side, points, there)
            promised = power(side, points, there, against_others) if points else 0.0
            row(
                f"other images, {there} on each side, true change {points:g}: fail",
                f"{share:.1f} %" + (f", promised {promised:.1f} %" if points else ""),
            )
        for points in (1.0, 2.0):
            needed = images_needed(side, points, against_others)
            share = across_images(side, points, needed) if needed else 0.0
            row(
                f"other images, true change {points:g}: images that --plan asks for, and fail",
                f"{needed} on each side, {share:.1f} %, promised 80.0 %",
            )
    return rows


def main() -> None:
    """Print the table and write gate.json."""
    parser = bare_parser("What the gate catches, and what it lets pass.")
    parser.add_argument("runs", nargs="+", metavar="RUN_FOLDER DATA")
    parser.add_argument("--plants", type=int, default=1000)
    options = parser.parse_args()
    rows = []
    for run, data in zip(options.runs[::2], options.runs[1::2], strict=True):
        rows += measure(Path(run), data, options.plants)
    with TemporaryDirectory() as scratch:
        took = seconds_of_a_gate(Path(scratch))
    rows.append(["synthetic", "judging 5 artifacts on 1449 images", f"{took:.2f} s"])
    head = ["run", "what", "found"]
    print(tabulate(rows, head, disable_numparse=True))
    write_json(options.out / "gate.json", facts(plants=options.plants, head=head, rows=rows))


if __name__ == "__main__":
    main()
