"""What the gate catches and what it lets pass: planted, honest, edited and other-image results.

    python benchmarks/gate.py RUN_FOLDER DATA [RUN_FOLDER DATA ...] [--plants 1000] [-o DIR]

RUN_FOLDER is what `segport run` wrote: artifacts, and squash/ with the result and its counts; DATA
is the validation data it was made on. For every run one line per part is printed: planted
regressions that fail, honest re-runs that pass, the ratchet, edited fields that are found, and
comparisons across images against the power that `segport gate --plan` promises.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
from tabulate import tabulate

from benchmarks.common import bare_parser, facts, write_json
from benchmarks.gate_trials import (
    JUDGED,
    across_images,
    counted_in,
    edited,
    honest,
    planted,
    ratchet,
    rerun,
)
from export.artifact.artifact import load_artifact
from validate.data.datasets import open_dataset
from validate.data.items import ids_digest
from validate.gating.baseline.acceptance import update_baseline
from validate.gating.gate import gate
from validate.gating.proof.plan import against_others, images_needed, power, side_of
from validate.judging.comparison import write_result
from validate.judging.figures import figures, images_of_classes
from validate.judging.noise import measure_noise
from validate.result.evidence import Evidence
from validate.result.result import Result, load_result
from validate.runtime.runtimes import open_runtime
from validate.samples.samples import Preparation


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
    update_baseline([counted_in(folder)], folder / "baseline.json", "the first")
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


def measure(run: Path, data: str, plants: int) -> list[list[str]]:
    """Return a row per part for one run."""
    folder = run / "squash"
    result, counted = load_result(folder / "result.json"), counted_in(folder)
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
