"""Folders with a result and all that may lie beside it, made by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.validate.results import artifact_result, lost
from validate.judging.comparison import write_result
from validate.result.evidence import Evidence
from validate.result.facts import ClassDrop, DatasetFacts, ImageAgreement
from validate.result.result import Result
from validate.samples.thumbnail import Thumbnail

CLASSES = ("background", "cat", "dog")
HOSTILE = "</svg><script>alert(1)</script>"


def thumbnail(id: str, seed: int, predicted: Mapping[str, Any], side: int = 60) -> Thumbnail:
    """A random picture of vertical stripes whose label is right about all but one of them."""
    rng = np.random.default_rng(seed)
    label = np.repeat(rng.integers(0, 3, side // 10), 10)[None].repeat(side, 0).astype(np.uint8)
    label[:, 5] = 255
    maps = {key: np.where(label == 255, 0, label).astype(np.uint8) for key in predicted}
    for key, columns in predicted.items():
        maps[key][:, :columns] = (maps[key][:, :columns] + 1) % 3
    return Thumbnail(
        id=id,
        agreement={key: 100 - columns for key, columns in predicted.items() if key != "torch-fp32"},
        image=rng.integers(0, 256, (side, side, 3)).astype(np.uint8),
        label=label,
        predicted=maps,
    )


def confusion(*rows: Sequence[int]) -> np.ndarray:
    """One image's matrix, (1, classes, classes)."""
    return np.asarray([rows], np.int64)


def result_folder(
    folder: Path,
    classes: Sequence[str] = CLASSES,
    image: str = "img_1",
    pictures: int = 2,
    **changes: Any,
) -> Path:
    """Write torch-fp32, fp32 and int8 on one image of three classes; return result.json."""
    iou = dict(zip(classes, (90.0, 60.0, 30.0), strict=True))
    worse = dict(zip(classes, (88.0, 50.0, 30.0), strict=True))
    entries = [
        artifact_result("torch-fp32", class_iou=iou),
        lost("fp32", 0, class_iou=iou, size_bytes=20_000_000),
        lost(
            "int8",
            4.0,
            drop_ci95=(2.5, 6.25),
            class_iou=worse,
            size_bytes=5_000_000,
            agreement=97.25,
            kept_float=[classes[1]],
            class_drop={
                name: ClassDrop(drop=iou[name] - worse[name], ci95=None, images=1)
                for name in classes
            },
            worst_images=[ImageAgreement(id=image, agreement=61.5)],
        ),
    ]
    facts: dict[str, Any] = {
        "name": "net",
        "model": "a model",
        "protocol": "squash",
        "dataset": DatasetFacts(
            name="VOC2012", split="val", images=1, ids_sha256="b" * 64, labelled=True
        ),
        "reference": "torch-fp32",
        "shape": (3, 65, 65),
        "params": 5_114_000,
        "macs": 6_017_000_000,
        "flops_published": None,
        "calibration": {
            "int8": {"protocol": "squash", "images": 8, "settings": {"range": "minmax"}}
        },
        "environment": {"cpu": "a cpu", "machine": "x86_64", "threads": 2, "isa": ["avx2"]},
        "command": "segport validate net.onnx",
        "overlap_allowed": False,
        "class_images": dict.fromkeys(classes, 1),
        "artifacts": entries,
    }
    before = confusion((90, 10, 0), (20, 80, 0), (0, 0, 50))
    after = confusion((90, 10, 0), (60, 40, 0), (0, 0, 50))
    write_result(
        Result(**{**facts, **changes}),
        {
            "torch-fp32": Evidence(before),
            "fp32": Evidence(before),
            "int8": Evidence(after),
        },
        [image],
        folder,
        [
            thumbnail(image, seed, {"torch-fp32": 0, "fp32": 0, "int8": 20})
            for seed in range(pictures)
        ],
    )
    return folder / "result.json"
