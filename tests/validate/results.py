"""Results made by hand, for tests of what reads them."""

from typing import Any

from validate.result import ArtifactResult, DatasetFacts, Result, SpreadFacts


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
