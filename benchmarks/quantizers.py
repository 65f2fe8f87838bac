"""Compare Segport's int8 files with those of onnxruntime's quantizer and NNCF.

    make bench-quantizers
    python benchmarks/quantizers.py --networks v3,tf --images 50 --samples 16

All quantizers get the same fp32 file and the same decoded calibration images, in turns in one
process and after one run of each on a single image; Segport without the statistics of an
earlier run. All files are judged in onnxruntime on the CPU. There, unlike in OpenVINO or on an
accelerator, much of NNCF's files and of those for `npu` runs in float between Q and DQ: read
their accuracy, not their latency. Needs ../shared, the extra `bench` and an idle machine.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import QuantType, quantize_static
from tabulate import tabulate

from benchmarks.common import (
    FP32,
    Case,
    Made,
    Quantizer,
    cases,
    empty_cache,
    judge,
    make_all,
    open_files,
    parser,
    segport,
    write_json,
)
from benchmarks.readers import Reader
from export.artifact import INPUT_NAME, Sample
from export.inspection import inspect
from export.sessions import cpu_facts
from export.versions import versions
from quantize.quantization import Settings
from validate.latency import measure_latency

os.environ["NNCF_CI"] = "1"  # else it reports its use over the network, in the time measured
import nncf

U8S8 = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}


def _segport(target: str) -> Quantizer:
    quantizer = segport(Settings(target=target))

    def make(source: Path, target: Path, samples: Sequence[Sample]) -> None:
        with empty_cache():
            quantizer(source, target, samples)

    return make


def _onnxruntime(**options: Any) -> Quantizer:
    def make(source: Path, target: Path, samples: Sequence[Sample]) -> None:
        quantize_static(source, target, Reader(samples), **options)

    return make


def _nncf(source: Path, target: Path, samples: Sequence[Sample]) -> None:
    dataset = nncf.Dataset(samples, lambda sample: {INPUT_NAME: sample.image})
    onnx.save(nncf.quantize(onnx.load(source), dataset, subset_size=len(samples)), target)


QUANTIZERS: dict[str, Quantizer] = {
    "segport cpu": _segport("cpu"),
    "nncf": _nncf,
    "segport npu": _segport("npu"),
    "ort defaults": _onnxruntime(),
    "ort u8s8 per-channel": _onnxruntime(**U8S8, per_channel=True),
    "ort u8s8 per-tensor": _onnxruntime(**U8S8),
    # what an npu gets without preparing the network: everything per tensor and symmetric
    "ort s8s8 symmetric": _onnxruntime(extra_options={"ActivationSymmetric": True}),
}


@dataclass(frozen=True)
class Row:
    """One file. `latency_ms`: image tensor to logits, the median of runs in turns."""

    quantizer: str
    seconds: float | None
    megabytes: float
    miou: float
    drop: float
    agreement: float
    int8_macs: float
    latency_ms: float


HEADERS = {
    "quantizer": "quantizer",
    "seconds": "seconds",
    "megabytes": "MB",
    "miou": "mIoU %",
    "drop": "drop",
    "agreement": "agreement %",
    "int8_macs": "int8 MACs %",
    "latency_ms": "ms",
}
FORMATS = ("", ".1f", ".2f", ".2f", "+.2f", ".2f", ".1f", ".1f")


def measure(case: Case, made: dict[str, Made]) -> list[Row]:
    """Judge the files that were made, the untouched one first."""
    made = {FP32: Made(case.artifact.path), **{n: m for n, m in made.items() if m.error is None}}
    runtimes = open_files(case, {name: result.file for name, result in made.items()})
    scores = judge(case, runtimes)
    image = case.samples[0].image
    latency = measure_latency(runtimes, image)
    return [
        Row(
            quantizer=name,
            seconds=result.median_seconds,
            megabytes=result.file.stat().st_size / 1e6,
            **asdict(scores[name]),
            int8_macs=100 * inspect(result.file, image.shape).int8_macs_share,
            latency_ms=latency[name].session.median,
        )
        for name, result in made.items()
    ]


def main() -> None:
    """Print one table per network and write quantizers.json."""
    arguments = parser(str(__doc__).splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=2, help="times every file is made")
    options = arguments.parse_args()
    networks: dict[str, Any] = {}
    facts = {
        "machine": cpu_facts(),
        "versions": versions() | {"nncf": version("nncf")},
        "images": options.images,
        "samples": options.samples,
        "rounds": options.rounds,
        "networks": networks,
    }
    for name, case, folder in cases(options):
        make_all(replace(case, samples=case.samples[:1]), QUANTIZERS, folder)  # warms up
        made = make_all(case, QUANTIZERS, folder, options.rounds)
        rows = [asdict(row) for row in measure(case, made)]
        failed = {name: result.error for name, result in made.items() if result.error}
        seconds = {name: result.seconds for name, result in made.items()}
        networks[name] = {"rows": rows, "failed": failed, "seconds": seconds}
        write_json(options.out / "quantizers.json", facts)
        print(f"\n{name}: {len(case.validation.items)} images, {len(case.samples)} for calibration")
        print(tabulate(rows, HEADERS, floatfmt=FORMATS, missingval="-"))
        for quantizer, error in failed.items():
            print(f"{quantizer}: {error}")


if __name__ == "__main__":
    main()
