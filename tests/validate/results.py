"""Results made by hand, for tests of what reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from validate.data.items import ids_digest
from validate.gating.baseline.acceptance import update_baseline
from validate.gating.counted import count
from validate.gating.gate import gate
from validate.gating.rules import Rules
from validate.gating.verdict import Verdict
from validate.judging.comparison import write_result
from validate.judging.figures import figures, images_of_classes
from validate.judging.loss import bootstrap_facts
from validate.result.evidence import Evidence
from validate.result.facts import DatasetFacts, SpreadFacts
from validate.result.result import ArtifactResult, Result


def artifact_result(id: str, **changes: Any) -> ArtifactResult:
    """An artifact of 80 mIoU without drop; `changes` overrides any field."""
    precision, _, target = id.partition("@")
    onnx = id != "torch-fp32"
    facts: dict[str, Any] = {
        "id": id,
        "precision": precision.removeprefix("torch-"),
        "target": target or ("cpu" if precision == "int8" else None),
        "file": f"net-{id.replace('@', '-')}.onnx" if onnx else None,
        "sha256": "a" * 64 if onnx else None,
        "parent_sha256": None,
        "size_bytes": 1_000_000 if onnx else None,
        "runtime": "ort-cpu" if onnx else "torch",
        "provider": "CPUExecutionProvider" if onnx else "cpu",
        "int8_macs_share": None,
        "int8_verified": None,
        "int8_note": None,
        "kept_float": [],
        "miou": 80.0,
        "miou_ci95": None,
        "pixel_accuracy": 90.0,
        "class_iou": {"background": 90.0, "cat": 70.0, "dog": None},
        "invented_classes": [],
        "drop": 0.0 if onnx else None,
        "drop_ci95": None,
        "class_drop": {},
        "agreement": 100.0,
        "agreement_boundary": None,
        "agreement_interior": None,
        "worst_images": [],
        "fidelity_miou": 100.0,
        "nonfinite_images": 0,
        "latency_ms": SpreadFacts(median=10.0, p10=9.0, p90=12.0),
        "mask_ms": SpreadFacts(median=11.0, p10=10.0, p90=13.0),
        "latency_runtime": "ort-cpu" if onnx else "torch",
        "threads": 2,
        "cpu": "a cpu",
        "warnings": [],
    }
    unknown = changes.keys() - facts.keys()
    assert not unknown, unknown
    return ArtifactResult(**{**facts, **changes})


def lost(id: str, drop: float, **changes: Any) -> ArtifactResult:
    """An artifact that lost `drop` points of the reference's 80."""
    return artifact_result(id, miou=80.0 - drop, drop=drop, **changes)


def result_of(*artifacts: ArtifactResult, **changes: Any) -> Result:
    """A result with torch-fp32 as reference; `changes` overrides any field."""
    facts: dict[str, Any] = {
        "name": "net",
        "model": "deeplabv3_mobilenet",
        "protocol": "squash",
        "dataset": DatasetFacts(
            name="VOC2012", split="val", images=200, ids_sha256="b" * 64, labelled=True
        ),
        "reference": "torch-fp32",
        "shape": (3, 513, 513),
        "params": 5_114_000,
        "macs": 6_017_000_000,
        "flops_published": 13.372,
        "calibration": None,
        "environment": {"cpu": "a cpu", "machine": "x86_64", "threads": 2, "isa": ["avx2"]},
        "command": None,
        "overlap_allowed": False,
        "artifacts": [artifact_result("torch-fp32"), *artifacts],
    }
    return Result(**{**facts, **changes})


def trusted(result: Result, *, baseline: Path | None = None, **options: Any) -> list[Verdict]:
    """The gate's verdicts on figures that no counts bear out, without its warning that it is so.

    `options` are fields of Rules, and budgets by kind.
    """
    names = {field.name for field in fields(Rules)}
    rules = Rules(trust=True, **{k: v for k, v in options.items() if k in names})
    asked = {k: v for k, v in options.items() if k not in names}
    verdicts = gate(result, baseline=baseline, artifacts=None, rules=rules, **asked)
    return [v for v in verdicts if v.check != "evidence"]


def accept(result: Result, path: Path, **options: Any) -> None:
    """Accept a result without counts into a baseline."""
    counted = count(result, None, Rules(trust=True))
    update_baseline([counted], path, options.pop("reason", "a test"), **options)


def written(
    folder: Path,
    confusions: Mapping[str, Any],
    against: Mapping[str, Any] | None = None,
    *,
    classes: Sequence[str] = ("background", "cat", "dog"),
    **changes: Any,
) -> Result:
    """Write a result with the counts it follows from; the first id is the reference.

    `confusions` are int64 (images, classes, classes) by id, none of them for images without
    labels. `against` counts what the reference predicts; without it everything agrees.
    """
    arrays = {id: np.asarray(one, np.int64) for id, one in confusions.items()}
    against = against or {id: _agreeing(one) for id, one in arrays.items()}
    evidence = {
        id: Evidence(
            arrays.get(id),
            np.asarray(one, np.int64),
            np.zeros((len(one), 2), np.int64),
            np.zeros(len(one), np.bool_),
        )
        for id, one in against.items()
    }
    reference, *_ = evidence
    images = [f"image_{index:03d}" for index in range(len(evidence[reference].against))]
    found = figures(evidence, reference, classes, images)
    artifacts = [artifact_result(id, **dict(found[id])) for id in evidence]
    dataset = result_of().dataset.model_copy(
        update={
            "images": len(images), "ids_sha256": ids_digest(images), "labelled": bool(arrays)
        }
    )  # fmt: skip
    facts: dict[str, Any] = {
        "reference": reference,
        "dataset": dataset,
        "classes": list(classes),
        "class_images": images_of_classes(evidence, classes),
        "bootstrap": bootstrap_facts(found.values()),
        "artifacts": artifacts,
    }
    return write_result(result_of(**{**facts, **changes}), evidence, images, folder)


def _agreeing(confusions: Any) -> Any:
    """What is predicted, as the reference's class too."""
    predicted = np.asarray(confusions).sum(1)
    return np.stack([np.diag(row) for row in predicted])
