"""Thirty families of networks: does it work, what becomes int8, agreement, latency, time.

    python benchmarks/families.py
    python benchmarks/families.py --networks smp_unet,unet_prelu

Seeded weights (networks/settled.py), photos of VOC train for calibration, of val to judge.
Segport's `cpu` file, that of this machine's own target and onnxruntime's own, all in onnxruntime,
NNCF's in OpenVINO; each gets the same fp32 file with logits. Times are of the whole file, in turns
with the fp32 one in the same runtime. Segport's other targets: a file, or what it says instead.
Every family is done in a process of its own; those that OUT/families.json has are kept. Needs
../shared, the extra `bench` and an idle machine.
"""

import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from tabulate import tabulate

from benchmarks.common import (
    PROTOCOL,
    VOC,
    Run,
    calibration,
    facts,
    parser,
    quiet_libraries,
    slug,
    write_json,
)
from benchmarks.masks import measure
from benchmarks.networks.table import FAMILIES, exported
from benchmarks.peers import HERE, NATIVE, PREPARED, QUANTIZERS, SEGPORT
from benchmarks.runs import classes, int8_in_openvino, outputs_in_onnxruntime, outputs_in_openvino
from export.artifact.artifact import Artifact
from export.common.errors import SegportError, first_line
from export.ort.inspection import inspect, macs_share
from quantize.self_check import SelfCheck
from validate.data.datasets import open_dataset
from validate.samples.samples import Preparation, Samples

RUNTIMES = {
    "onnxruntime": (outputs_in_onnxruntime, tuple(dict.fromkeys((SEGPORT, HERE, PREPARED)))),
    "openvino": (outputs_in_openvino, (NATIVE,)),
}
"""What opens a file, and whose int8 files it runs."""
TARGETS = ("arm", "openvino", "npu")
"""Segport's other targets: for hardware that need not be this machine."""


def one(name: str, folder: Path, images: int) -> dict[str, Any]:
    """Do everything about one family."""
    fp32 = exported(name, folder, VOC)
    with quiet_libraries(), tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        samples = calibration(fp32.manifest, images)
        judges = _judges(fp32, images)
        found = {
            quantizer: _made(quantizer, fp32, folder, samples)
            for _, quantizers in RUNTIMES.values()
            for quantizer in quantizers
        }
        targets = {target: _for_target(target, fp32, folder, samples, judges) for target in TARGETS}
    files = {q: file_of(q, fp32, folder) for q, made in found.items() if not made["error"]}
    _judge(fp32.path, files, judges, found)
    _time(fp32.path, files, judges, found)
    return {"macs": fp32.manifest.macs, "files": found, "targets": targets}


def file_of(quantizer: str, fp32: Artifact, folder: Path) -> Path:
    """Return where the file of a quantizer is."""
    kind = ".xml" if quantizer == NATIVE else ".onnx"
    return folder / f"{fp32.manifest.name}-{slug(quantizer)}{kind}"


def _judges(fp32: Artifact, images: int) -> Samples:
    held_back = open_dataset(f"{VOC}:val", "val", masks=False).sample(images, 0)
    return Samples(held_back, Preparation.for_artifact(fp32.manifest, PROTOCOL))


def _made(quantizer: str, fp32: Artifact, folder: Path, samples: Samples) -> dict[str, Any]:
    """Let `quantizer` make its file; seconds and MACs in int8, or the error in a line."""
    file = file_of(quantizer, fp32, folder)
    QUANTIZERS[quantizer].import_modules()
    start = time.perf_counter()
    try:
        QUANTIZERS[quantizer].make(fp32.path, file, samples)
    except Exception as error:  # any, of any library
        return {"error": f"{type(error).__name__}: {first_line(error)}"}
    seconds = time.perf_counter() - start
    shape = (1, 3, *fp32.manifest.size)
    if quantizer == NATIVE:
        share = macs_share(fp32.path, shape, int8_in_openvino(file))
    else:
        share = inspect(file, shape).int8_macs_share
    return {"error": None, "seconds": seconds, "int8_macs": 100 * share}


def _for_target(
    target: str, fp32: Artifact, folder: Path, samples: Samples, judges: Samples
) -> dict[str, Any]:
    """Quantize as `segport quantize` does: the agreement of the file, or why there is none."""
    from quantize.quantization import quantize
    from quantize.settings import Settings

    try:
        made = quantize(
            fp32, "int8", folder / target,
            samples=samples, settings=Settings(target=target),
            check=SelfCheck(judges),
        )  # fmt: skip
    except SegportError as error:
        return {"error": f"refused: {error}"}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {first_line(error)}"}
    return {"error": None, "agreement": made.manifest.checks["self"]["agreement"]}


def _judge(
    fp32: Path, files: Mapping[str, Path], judges: Samples, found: dict[str, dict[str, Any]]
) -> None:
    """Add the pixels, in percent, that every file classifies as fp32 does."""
    exact = outputs_in_onnxruntime(fp32)
    wanted = [classes(exact(sample.image)) for sample in judges]
    for opened, quantizers in RUNTIMES.values():
        for name in files.keys() & set(quantizers):
            run = opened(files[name])
            same = [
                np.mean(classes(run(sample.image)) == mask)
                for sample, mask in zip(judges, wanted, strict=True)
            ]
            found[name]["agreement"] = 100 * float(np.mean(same))


def _time(
    fp32: Path, files: Mapping[str, Path], judges: Samples, found: dict[str, dict[str, Any]]
) -> None:
    """Add the ms of every file and its ratio to those of fp32 in the same runtime."""
    images = [sample.image for sample in judges]
    for opened, quantizers in RUNTIMES.values():
        runs: dict[str, Run] = {name: opened(files[name]) for name in quantizers if name in files}
        times = measure(runs | {"fp32": opened(fp32)}, images, rounds=25, seconds=4)
        exact = median(times.pop("fp32"))
        for name, taken in times.items():
            found[name] |= {"ms": median(taken), "fp32_ms": exact, "ratio": median(taken) / exact}


def apart(name: str, folder: Path, images: int) -> dict[str, Any]:
    """Do one family in a process of its own, whose death is the family's error."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:
        try:
            return other.submit(one, name, folder, images).result()
        except (BrokenProcessPool, SegportError) as error:
            return {"error": f"{type(error).__name__}: {first_line(error)}"}


def rows(name: str, found: Mapping[str, Any]) -> list[list[Any]]:
    """Return a line per file, for the terminal."""
    if "error" in found:
        return [[name, found["error"]]]
    keys = ("agreement", "int8_macs", "ratio", "ms", "seconds")
    lines = [
        [name, quantizer, *(made.get(key) for key in keys), (made["error"] or "")[:60]]
        for quantizer, made in found["files"].items()
    ]
    others = [
        [name, f"segport {target}", made.get("agreement"), *[None] * 4, (made["error"] or "")[:60]]
        for target, made in found["targets"].items()
    ]
    return lines + others


def main() -> None:
    """Print a table per family and write families.json."""
    arguments = parser(str(__doc__), tuple(FAMILIES))
    arguments.add_argument("--images", type=int, default=8, help="to calibrate, and to judge")
    options = arguments.parse_args()
    file = options.out / "families.json"
    families: dict[str, Any] = json.loads(file.read_text())["families"] if file.exists() else {}
    for name in (one for one in options.networks if one not in families):
        start = time.perf_counter()
        families[name] = apart(name, options.out / "families", options.images)
        write_json(file, facts(images=options.images, families=families))
        print(tabulate(rows(name, families[name]), floatfmt=".2f"), flush=True)
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
