"""What a result's tables show, by column: one row per artifact, and the machine it ran on."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from validate.result.cells import Cell, interval, number, ratio
from validate.result.machine import machine_of
from validate.result.result import ArtifactResult, Result

OVERLAP_WARNING = "Warning: calibration and validation images overlap, so the numbers flatter."

Column = Callable[[ArtifactResult, ArtifactResult | None], str]
"""An artifact's cell, given also the artifact that ratios refer to."""


def _session_ms(artifact: ArtifactResult | None) -> float | None:
    return artifact.latency_ms.median if artifact and artifact.latency_ms else None


ARTIFACT_COLUMNS: dict[str, Column] = {
    "artifact": lambda a, base: a.id,
    "runtime": lambda a, base: a.runtime,
    "mIoU": lambda a, base: number(a.miou, 2),
    "mIoU 95 %": lambda a, base: interval(a.miou_ci95, 2, sign=False),
    "drop": lambda a, base: number(a.drop, 2, sign=True),
    "drop 95 %": lambda a, base: interval(a.drop_ci95, 2),
    "pixel acc.": lambda a, base: number(a.pixel_accuracy, 2),
    "agreement": lambda a, base: number(a.agreement, 2),
    "at borders": lambda a, base: number(a.agreement_boundary, 2),
    "inside": lambda a, base: number(a.agreement_interior, 2),
    "fidelity": lambda a, base: number(a.fidelity_miou, 2),
    "size MB": lambda a, base: number(a.size_bytes / 1e6 if a.size_bytes else None, 2),
    "size ratio": lambda a, base: ratio(a.size_bytes, base.size_bytes if base else None),
    "ms": lambda a, base: number(_session_ms(a), 1),
    "image-mask ms": lambda a, base: number(a.mask_ms.median if a.mask_ms else None, 1),
    "time ratio": lambda a, base: ratio(_session_ms(a), _session_ms(base)),
    "int8 MACs": lambda a, base: (
        "-" if a.int8_macs_share is None else f"{100 * a.int8_macs_share:.1f} %"
    ),
}
"""mIoU, accuracies and agreement in percent, drop in points, times in milliseconds."""

CLASS_DROP_COLUMNS = ("class", "images", "drop", "95 %")
WORST_COLUMNS = ("artifact", "image", "agreement")


def class_drop_rows(artifact: ArtifactResult) -> list[list[Cell]]:
    """Return CLASS_DROP_COLUMNS of every class that has labels, the largest drop first."""
    drops = sorted(artifact.class_drop.items(), key=lambda item: -item[1].drop)
    return [
        [name, one.images, number(one.drop, 2, sign=True), interval(one.ci95, 2)]
        for name, one in drops
    ]


def worst_rows(result: Result) -> list[list[Cell]]:
    """Return WORST_COLUMNS of the images that agree least, artifact by artifact."""
    return [
        [artifact.id, image.id, number(image.agreement, 2)]
        for artifact in result.artifacts
        for image in artifact.worst_images
    ]


def artifact_rows(result: Result, columns: Iterable[str]) -> list[list[Cell]]:
    """Return one row per artifact, in the result's order, with these of ARTIFACT_COLUMNS.

    Ratios refer to the fp32 ONNX file, or to the reference where there is none.
    """
    base = result.artifact("fp32") or result.artifact(result.reference)
    shown = [ARTIFACT_COLUMNS[name] for name in columns]
    return [[cell(artifact, base) for cell in shown] for artifact in result.artifacts]


def machine_cells(environment: Mapping[str, Any]) -> dict[str, str]:
    """Return what times depend on: processor, its instruction sets, versions of the software."""
    processor, machine = environment.get("cpu"), environment.get("machine")
    isa, versions, _ = machine_of(environment)
    return {
        "cpu": f"{processor} ({machine}), {environment.get('threads')} threads",
        "instruction sets": ", ".join(isa) or "-",
        "versions": ", ".join(f"{n} {v}" for n, v in versions.items()),
    }
