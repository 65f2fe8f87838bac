"""What is tried on the gate: planted losses, honest re-runs, a ratchet, edits, other images."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from export.artifact.artifact import Artifact
from export.common.errors import DataError
from validate.counting.evaluation import evaluate
from validate.data.items import Dataset
from validate.gating.baseline.acceptance import update_baseline
from validate.gating.baseline.against_baseline import judge_baseline
from validate.gating.baseline.baseline import key_of
from validate.gating.baseline.unpaired import Side, judge_other_images
from validate.gating.counted import Counted, count
from validate.gating.gate import gate
from validate.gating.proof.plan import planted as planted_counts
from validate.gating.proof.plants import PLANTS
from validate.gating.proof.self_test import judge_copy, judged_miou, planted_evidence
from validate.gating.rules import Rules
from validate.gating.verdict import Outcome, Verdict, exit_code
from validate.judging.comparison import write_result
from validate.judging.figures import figures
from validate.judging.noise import SETTINGS
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
    update_baseline([counted_in(folder / "first")], baseline, "the first run")
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
        update_baseline([counted_in(folder / "step")], baseline, f"step {number}")
        accepted = first - judged_miou(copy)
    return accepted, float("inf")


def edited(counted: Counted, folder: Path) -> tuple[int, int]:
    """Return how many numbers a result has, and how many of them changed end in exit code 2."""
    _write(counted.result, counted.evidence, folder, images=counted.images, seed=0)
    file = folder / "result.json"
    document = json.loads(file.read_text())
    found = total = 0
    for path in numbers(document):
        file.write_text(json.dumps(changed(document, path)))
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


def counted_in(folder: Path) -> Counted:
    """Return the result in `folder`, counted again."""
    return count(load_result(folder / "result.json"), folder, RULES)


def numbers(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every number in a JSON document."""
    if isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from numbers(value, (*path, key))
    elif isinstance(node, int | float) and not isinstance(node, bool):
        yield path


def changed(document: Any, path: tuple[Any, ...]) -> Any:
    """Return a copy of a JSON document with 1 added to the number at `path`."""
    copy = json.loads(json.dumps(document))
    *parents, last = path
    node = copy
    for key in parents:
        node = node[key]
    node[last] += 1
    return copy
