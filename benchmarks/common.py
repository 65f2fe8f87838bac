"""What the benchmarks share: the real networks and images, how masks are judged, and JSON."""

import contextlib
import io
import json
import logging
import os
import re
import sys
import warnings
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.artifact.artifact import Artifact, load_artifact
from export.artifact.manifest import Manifest
from export.common.versions import versions
from export.ort.sessions import cpu_facts
from validate.data.datasets import open_dataset
from validate.data.items import Dataset
from validate.metrics.metrics import confusion, miou
from validate.samples.samples import Preparation, Samples, ahead

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
VOC = SHARED / "voc" / "VOCdevkit"
PROTOCOL = "squash"
FP32 = "onnxruntime fp32"
MOBILENETS = ("deeplabv3_mobilenet", "deeplabv3plus_mobilenet")
RESNETS = tuple(
    f"{head}_{body}"
    for head in ("deeplabv3", "deeplabv3plus")
    for body in ("resnet50", "resnet101")
)
DEEPLABS = (*MOBILENETS, *RESNETS)
FILES = {
    "tf_deeplabv3_mobilenetv2": "tf_deeplabv3_mobilenetv2_voc_513.onnx",
    "espnetv2": "espnetv2_s1.0_voc_384.onnx",
}
"""Networks that come as a file; the others are exported."""
NETWORKS = (*DEEPLABS, *FILES)
TRAINED = (*MOBILENETS, *FILES)
"""Those with real weights; the others have seeded random ones."""


Run = Callable[[NDArray[np.float32]], NDArray[Any]]
"""Image tensor (1, 3, H, W) to the class of every pixel, (1, H, W)."""


@dataclass(frozen=True)
class Score:
    """Percent: mIoU, what it lost against fp32, and the pixels classified as in fp32."""

    miou: float
    drop: float
    agreement: float


def parser(description: str, networks: Sequence[str] = NETWORKS) -> ArgumentParser:
    """Return a parser with the options of every benchmark; `networks` are those on offer."""

    def names(text: str) -> list[str]:
        found = text.split(",")
        if unknown := [name for name in found if name not in networks]:
            raise ArgumentTypeError(f"no network {unknown[0]}; there are {', '.join(networks)}")
        return found

    made = bare_parser(description)
    made.add_argument("--networks", type=names, default=networks, help=",".join(networks))
    return made


def bare_parser(description: str) -> ArgumentParser:
    """Return a parser with the option that every script has."""
    made = ArgumentParser(description=description.splitlines()[0])
    made.add_argument("-o", "--out", type=Path, default=Path("runs/bench"))
    return made


def weights_of(network: str) -> str:
    """Return the real checkpoint where there is one."""
    if network in RESNETS:
        return "random"
    return str(SHARED / "checkpoints" / f"{network}_voc_os16.pth")


def fp32(network: str, folder: Path, output: str = "logits") -> Artifact:
    """Return a network's fp32 artifact; it is made in `folder` unless it is there.

    Networks that come as a file give logits, whatever `output` says.
    """
    mask = "-mask" if output == "mask" and network not in FILES else ""
    path = folder / f"{network}-fp32{mask}.onnx"
    if path.exists():
        return load_artifact(path)
    # torch is imported here only: the memory of a quantization is measured without it
    if network in FILES:
        from export.networks.zoo import IMAGENET_MEAN, IMAGENET_STD
        from export.onnx_import import import_model

        source = SHARED / "networks" / FILES[network]
        return import_model(source, folder, mean=IMAGENET_MEAN, std=IMAGENET_STD, name=network)
    from export.onnx_export import export_model

    return export_model(
        network, weights_of(network), folder, output_stride=16, output=output, seed=0, name=network
    )


def calibration(manifest: Manifest, count: int, *, with_val: bool = False) -> Samples:
    """Return `count` images of VOC train, decoded when asked for.

    `with_val` draws from train and val: VOC train as it is here has 468.
    """
    drawn = open_dataset(f"{VOC}:train", "train", masks=False)
    if with_val:
        more = open_dataset(f"{VOC}:val", "val", masks=False).items
        drawn = replace(drawn, items=(*drawn.items, *more))
    return Samples(drawn.sample(count, 0), Preparation.for_artifact(manifest, PROTOCOL))


def validation(count: int | None) -> Dataset:
    """Return the first `count` images of VOC val with their labels, all by default."""
    return open_dataset(f"{VOC}:val", "val").first(count)


def judge(runs: Mapping[str, Run], dataset: Dataset, preparation: Preparation) -> dict[str, Score]:
    """Score every run on `dataset` against the one named `FP32`. Progress goes to stderr."""
    classes = preparation.classes
    totals = {name: np.zeros((classes, classes), np.int64) for name in runs}
    agreeing = dict.fromkeys(runs, 0)
    pixels = 0
    for done, image in enumerate(ahead(preparation.labelled, dataset.items), start=1):
        assert image.label is not None  # VOC's images all have labels
        pixels += image.label.size
        masks = {name: run(image.sample.image)[0].astype(np.uint8) for name, run in runs.items()}
        for name, mask in masks.items():
            totals[name] += confusion(image.label, mask, classes)
            agreeing[name] += int(np.count_nonzero(mask == masks[FP32]))
        if done % 50 == 0:
            print(f"judged {done} of {len(dataset.items)} images", file=sys.stderr)
    mious = {name: miou(total) or 0.0 for name, total in totals.items()}
    return {
        name: Score(mious[name], mious[FP32] - mious[name], 100 * agreeing[name] / pixels)
        for name in runs
    }


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


def slug(name: str) -> str:
    """Return a file name for `name`."""
    return re.sub(r"[^\w.]+", "-", name)


def environment(**changes: str) -> dict[str, str]:
    """Return the environment for a child that runs this checkout's code."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **changes}


def facts(**settings: Any) -> dict[str, Any]:
    """Return the machine, all versions and `settings`, as every JSON file begins."""
    found = versions()
    with contextlib.suppress(PackageNotFoundError):
        found["nncf"] = version("nncf")
    return {"machine": cpu_facts(), "versions": found, **settings}


def write_json(path: Path, found: Mapping[str, Any]) -> None:
    """Write `found`, replacing an older file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")
