"""What the benchmarks share: the real networks and images, and how a quantized file is judged."""

import contextlib
import io
import json
import logging
import os
import re
import sys
import tempfile
import time
import warnings
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

from export.artifact import Artifact, Manifest, Sample, load_artifact
from export.errors import first_line
from export.onnx_export import export_model
from export.onnx_import import import_model
from export.sessions import CPU
from export.zoo import IMAGENET_MEAN, IMAGENET_STD
from quantize.quantization import Settings, quantize
from validate.agreement import overall
from validate.datasets import Dataset, open_dataset
from validate.evaluation import Evaluation, evaluate
from validate.metrics import miou
from validate.runtimes import OrtEngine, Runtime
from validate.samples import Preparation, Samples

SHARED = Path(__file__).resolve().parents[2] / "shared"
VOC = SHARED / "voc" / "VOCdevkit"
PROTOCOL = "squash"
FP32 = "fp32"

Quantizer = Callable[[Path, Path, Sequence[Sample]], None]
"""Makes an int8 file of the fp32 artifact at the first path, at the second."""


def _exported(model: str, folder: Path) -> Artifact:
    weights = SHARED / "checkpoints" / f"{model}_voc_os16.pth"
    return export_model(model, str(weights), folder, output_stride=16)


def _imported(file: str, folder: Path) -> Artifact:
    return import_model(SHARED / "networks" / file, folder, mean=IMAGENET_MEAN, std=IMAGENET_STD)


NETWORKS: dict[str, Callable[[Path], Artifact]] = {
    "v3": partial(_exported, "deeplabv3_mobilenet"),
    "v3plus": partial(_exported, "deeplabv3plus_mobilenet"),
    "tf": partial(_imported, "tf_deeplabv3_mobilenetv2_voc_513.onnx"),
    "espnetv2": partial(_imported, "espnetv2_s1.0_voc_384.onnx"),
}


@dataclass(frozen=True)
class Case:
    """An fp32 artifact, the images to calibrate with (in memory) and those to judge on."""

    artifact: Artifact
    samples: list[Sample]
    preparation: Preparation
    validation: Dataset


@dataclass
class Made:
    """The file of one quantizer and the seconds of every time it made it, or why it could not."""

    file: Path
    seconds: list[float] = field(default_factory=list)
    error: str | None = None

    @property
    def median_seconds(self) -> float | None:
        """None for a file that was not quantized here."""
        return median(self.seconds) if self.seconds else None


@dataclass(frozen=True)
class Score:
    """Percent: mIoU, what it lost against fp32, and the pixels classified as in fp32."""

    miou: float
    drop: float
    agreement: float


def parser(description: str) -> ArgumentParser:
    """Return a parser with the options of every benchmark."""
    made = ArgumentParser(description=description)
    made.add_argument("--networks", type=_names, default=list(NETWORKS), help=",".join(NETWORKS))
    made.add_argument("--images", type=int, help="judge on the first so many of VOC val")
    made.add_argument("--samples", type=int, default=64, help="calibration images of VOC train")
    made.add_argument("-o", "--out", type=Path, default=Path("runs/bench"))
    return made


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in NETWORKS]:
        raise ArgumentTypeError(f"no network {unknown[0]}; there are {', '.join(NETWORKS)}")
    return names


def cases(options: Namespace) -> Iterator[tuple[str, Case, Path]]:
    """Yield name, case and folder for files of every network asked for."""
    for name in options.networks:
        folder = options.out / name
        folder.mkdir(parents=True, exist_ok=True)
        artifact = NETWORKS[name](folder)
        preparation = Preparation.for_artifact(artifact.manifest, PROTOCOL)
        drawn = open_dataset(f"{VOC}:train", "train", masks=False).sample(options.samples, 0)
        validation = open_dataset(f"{VOC}:val", "val").first(options.images)
        yield (
            name,
            Case(artifact, list(Samples(drawn, preparation)), preparation, validation),
            folder,
        )


def segport(settings: Settings) -> Quantizer:
    """Return Segport with `settings` as a quantizer."""

    def make(source: Path, target: Path, samples: Sequence[Sample]) -> None:
        artifact = load_artifact(source)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            made = quantize(
                artifact,
                "int8",
                Path(folder),
                samples=samples,
                protocol=PROTOCOL,
                settings=settings,
            )
            made.path.replace(target)

    return make


@contextlib.contextmanager
def empty_cache() -> Iterator[None]:
    """Let Segport keep its calibration statistics in a new folder, which goes away in the end."""
    with (
        tempfile.TemporaryDirectory(prefix="segport-") as folder,
        mock.patch.dict(os.environ, XDG_CACHE_HOME=folder),
    ):
        yield


def make_all(
    case: Case, quantizers: Mapping[str, Quantizer], folder: Path, rounds: int = 1
) -> dict[str, Made]:
    """Let all quantizers make their files in turns, `rounds` times.

    What one of them raises is kept as its result. Progress goes to stderr.
    """
    made = {name: Made(folder / f"{_slug(name)}.onnx") for name in quantizers}
    for _ in range(rounds):
        for name, quantizer in quantizers.items():
            result = made[name]
            if result.error is not None:
                continue
            start = time.perf_counter()
            try:
                with quiet_libraries():
                    quantizer(case.artifact.path, result.file, case.samples)
            except Exception as error:
                result.error = f"{type(error).__name__}: {first_line(error)}"
            else:
                result.seconds.append(time.perf_counter() - start)
            took = result.error or f"{result.seconds[-1]:.1f} s"
            print(f"{folder.name} {name}, {len(case.samples)} images: {took}", file=sys.stderr)
    return made


def _slug(name: str) -> str:
    return re.sub(r"[^\w.]+", "-", name)


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence the libraries' logs, warnings and progress bars."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def open_files(case: Case, files: Mapping[str, Path]) -> dict[str, Runtime]:
    """Open the untouched artifact, as `FP32`, and `files` in onnxruntime on the CPU."""
    return {
        name: _open(path, case.artifact.manifest)
        for name, path in {FP32: case.artifact.path, **files}.items()
    }


def _open(path: Path, manifest: Manifest) -> Runtime:
    # quantizers leave inputs and outputs as they are, so the fp32 manifest describes their files
    return Runtime("ort-cpu", CPU, OrtEngine(path, manifest, CPU))


def judge(case: Case, runtimes: Mapping[str, Runtime]) -> dict[str, Score]:
    """Score every runtime on the validation images, against the one named `FP32`."""
    found = evaluate(runtimes, FP32, case.validation, case.preparation, progress=_show_progress)
    reference = _miou(found[FP32])
    return {
        name: Score(
            miou=_miou(evaluation),
            drop=reference - _miou(evaluation),
            agreement=overall(evaluation.images),
        )
        for name, evaluation in found.items()
    }


def _miou(evaluation: Evaluation) -> float:
    found = miou(sum(evaluation.confusions[1:], start=evaluation.confusions[0]))
    assert found is not None  # VOC's images all have labels
    return found


def _show_progress(done: int, total: int) -> None:
    if done % 50 == 0 or done == total:
        print(f"judged {done} of {total} images", file=sys.stderr)


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Write `facts`, replacing an older file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts, indent=1) + "\n")
