"""Measure calibration: time against fp32 inference, peak memory, and the histograms' subsample.

    python benchmarks/calibration.py deeplabv3_mobilenet-fp32.onnx VOC_ROOT:train

Times are of this process, one kind of run after the other in each of three rounds; the ratio
is the median of the rounds'. Peak memory is that of a fresh process per number of images.
"""

import argparse
import json
import resource
import statistics as stats
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto

from benchmarks.common import bare_parser, facts, write_json
from export.artifact.artifact import Artifact, load_artifact
from export.artifact.sample import Sample
from export.ort.sessions import open_session, run
from quantize.calibration.calibration import collect
from quantize.calibration.histogram import Histogram
from quantize.calibration.measurement import Measurement
from quantize.calibration.statistics import Reduction, Statistic, Tensor, together
from quantize.graph.selection import output_layers, range_sources
from quantize.ranges.table import RANGE_RULES, range_rule
from quantize.targets import TARGETS
from validate.data.datasets import open_dataset
from validate.samples.samples import Preparation, Samples

ROUNDS = 3
COMPARED_IMAGES = 16
RULES = {name: range_rule(name) for name in RANGE_RULES}
SUBSAMPLED = ("percentile", "entropy", "mse")


class FullHistogram(Histogram):
    """Counts every value, for percentiles too."""

    key = "full histogram"

    def reduction(self, tensor: Tensor) -> Reduction:
        """The extremes and the tensor itself."""
        return together(self.extremes.reduction(tensor), Reduction([], [tensor.name]))

    def histogram(self) -> Histogram:
        """Return itself, as `Tails` returns what its range rule looks at."""
        return self


def measured_tensors(model: ModelProto) -> list[str]:
    """Return the tensors to which the target `cpu` gives a Q."""
    left = output_layers(model)
    operators = TARGETS["cpu"].operators
    nodes = [n for n in model.graph.node if n.op_type in operators and n.name not in left]
    return sorted(set(range_sources(model, nodes).values()))


def calibrate(
    artifact: Artifact, model: ModelProto, samples: Sequence[Sample], rules: Sequence[str]
) -> None:
    """Find the ranges of all measured tensors by every one of `rules`, in one pass."""
    tensors = measured_tensors(model)
    collected = {name: [RULES[rule].statistic(len(samples)) for rule in rules] for name in tensors}
    collect([Measurement(model, collected)], artifact.manifest, samples)
    for found in collected.values():
        for rule, statistic in zip(rules, found, strict=True):
            RULES[rule].range(statistic)


def seconds(work: Callable[[], object]) -> float:
    """Return how long `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def time_calibration(
    artifact: Artifact, model: ModelProto, samples: Samples
) -> list[dict[str, Any]]:
    """Return the time of calibrations, and against that of inference on the same images."""
    session = open_session(artifact.path)

    def infer() -> None:
        for sample in samples:
            run(session, sample.image)

    kinds: dict[str, Callable[[], None]] = {
        "fp32 inference": infer,
        "minmax": lambda: calibrate(artifact, model, samples, ["minmax"]),
        f"all {len(RULES)} rules": lambda: calibrate(artifact, model, samples, list(RULES)),
    }
    infer()
    rounds = [{kind: seconds(work) for kind, work in kinds.items()} for _ in range(ROUNDS)]
    return [
        {
            "kind": kind,
            "seconds": stats.median(taken[kind] for taken in rounds),
            "ratio": stats.median(taken[kind] / taken["fp32 inference"] for taken in rounds),
        }
        for kind in kinds
    ]


def compare_subsample(
    artifact: Artifact, model: ModelProto, samples: Samples
) -> list[dict[str, Any]]:
    """Return how far ranges from the subsample are from those of all values, in percent."""
    tensors = measured_tensors(model)
    rules = [RULES[name] for name in SUBSAMPLED]
    collected: dict[str, list[Statistic]] = {
        tensor: [FullHistogram(), *(rule.statistic(len(samples)) for rule in rules)]
        for tensor in tensors
    }
    collect([Measurement(model, collected)], artifact.manifest, samples)
    rows = []
    for index, name in enumerate(SUBSAMPLED, start=1):
        differences = {}
        for tensor, found in collected.items():
            (low, high), (full_low, full_high) = (
                RULES[name].range(seen) for seen in (found[index], found[0])
            )
            differences[tensor] = abs((high - low) / (full_high - full_low) - 1)
        worst = max(differences, key=lambda tensor: differences[tensor])
        beyond = sum(difference > 0.01 for difference in differences.values())
        rows.append(
            {
                "rule": name, "worst": 100 * differences[worst], "tensor": worst,
                "beyond 1 %": beyond, "tensors": len(differences),
            }
        )  # fmt: skip
    return rows


def peak_memory(options: argparse.Namespace, count: int) -> float:
    """Return the most memory, in GB, that a process takes for `count` images: median of runs.

    It varies by some percent with which layers of the images computed together coincide.
    """
    command = [sys.executable, __file__, options.artifact, options.data, "--only-memory"]

    def once() -> float:
        answer = subprocess.run([*command, str(count)], check=True, capture_output=True, text=True)
        return float(answer.stdout)

    return stats.median(once() for _ in range(ROUNDS))


def main() -> None:
    """Print all figures and write calibration.json."""
    parser = bare_parser(str(__doc__))
    parser.add_argument("artifact")
    parser.add_argument("data", help="VOC_ROOT[:SPLIT] or a folder of images")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--only-memory", type=int, metavar="IMAGES", help=argparse.SUPPRESS)
    options = parser.parse_args()

    artifact = load_artifact(Path(options.artifact))
    model = onnx.shape_inference.infer_shapes(onnx.load(artifact.path))
    dataset = open_dataset(options.data, "train", masks=False)
    preparation = Preparation.for_artifact(artifact.manifest, "squash")

    def samples(count: int) -> Samples:
        return Samples(dataset.sample(count, 0), preparation)

    if options.only_memory:
        calibrate(artifact, model, samples(options.only_memory), list(RULES))
        unit = 1 if sys.platform == "darwin" else 1024
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9)
        return
    # first: on Linux a process starts with its parent's peak as its own
    memory = {str(count): peak_memory(options, count) for count in (16, 256)}
    found = {
        "images": options.images,
        "tensors": len(measured_tensors(model)),
        "peak_gb": memory,
        "times": time_calibration(artifact, model, samples(options.images)),
        "compared_images": COMPARED_IMAGES,
        "subsample": compare_subsample(artifact, model, samples(COMPARED_IMAGES)),
    }
    print(json.dumps(found, indent=1))
    write_json(options.out / "calibration.json", facts(artifact=artifact.path.name, **found))


if __name__ == "__main__":
    main()
