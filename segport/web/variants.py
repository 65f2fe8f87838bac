"""The artifacts that a page shows: files of one network."""

from collections.abc import Sequence
from pathlib import Path

from export.artifact.artifact import Artifact, load_artifact
from export.common.errors import ArtifactError, UsageError

COLOURS = ("RGB", "L")
"""Colour orders that infer.mjs prepares."""


def find_variants(sources: Sequence[Path]) -> list[Artifact]:
    """Load artifacts, and all that lie in folders, fp32 ones first.

    Raises ArtifactError for one that is damaged, or that a browser cannot feed, and for a folder
    without any, UsageError for artifacts whose pixels cannot be compared.
    """
    found = [load_artifact(path) for source in sources for path in _files(source)]
    found.sort(key=lambda one: (one.manifest.precision != "fp32", one.manifest.stem))
    for one in found:
        _refuse_unfit(one)
        _refuse_other(found[0], one)
    _refuse_repeats(found)
    return found


def _files(source: Path) -> list[Path]:
    if not source.is_dir():
        return [source]
    files = [path for path in sorted(source.rglob("*.onnx")) if path.with_suffix(".json").is_file()]
    if not files:
        raise ArtifactError(f"{source}: no artifact in it, an .onnx with its .json")
    return files


def _refuse_unfit(one: Artifact) -> None:
    spec, logits = one.manifest.input, one.manifest.output("logits")
    types = {spec.dtype, logits.dtype if logits else "float32"}
    if spec.colour_order not in COLOURS or types != {"float32"}:
        raise ArtifactError(
            f"{one.path}: takes {spec.colour_order} as {spec.dtype}; the page prepares "
            f"{' and '.join(COLOURS)} as float32 (quantize --io fp32)"
        )


def _refuse_other(first: Artifact, one: Artifact) -> None:
    left, right = first.manifest, one.manifest
    if (left.classes, left.size) != (right.classes, right.size):
        raise UsageError(
            f"{one.path}: its classes or its size differ from those of {first.path}, so that "
            "their pixels cannot be compared; serve one network at a time"
        )


def _refuse_repeats(found: Sequence[Artifact]) -> None:
    seen: dict[str, Artifact] = {}
    for one in found:
        other = seen.setdefault(one.manifest.stem, one)
        if other is not one:
            raise UsageError(
                f"{other.path} and {one.path} are both {one.manifest.stem}; give one of them"
            )
