"""What artifacts are compared with, and which of them may be compared at all."""

from collections.abc import Sequence
from pathlib import Path

from export.artifact.artifact import Artifact, load_artifact
from export.common.errors import ArtifactError, ComparisonError, UsageError
from validate.runtime.runtimes import TORCH_ID
from validate.runtime.table import rebuilds
from validate.samples.samples import Preparation


def with_reference(
    artifacts: Sequence[Artifact], reference: str | None
) -> tuple[list[Artifact], str]:
    """Return all artifacts to run, the reference among them first, and the reference's id."""
    chosen = list(artifacts)
    if rebuilds(reference):
        return chosen, TORCH_ID
    if reference is not None:
        loaded = load_artifact(Path(reference))
    else:
        loaded = next((a for a in chosen if a.manifest.precision == "fp32"), None) or _parent(
            chosen
        )
    others = [a for a in chosen if a.manifest.sha256 != loaded.manifest.sha256]
    return [loaded, *others], loaded.manifest.id


def _parent(artifacts: Sequence[Artifact]) -> Artifact:
    wanted = {a.manifest.parent_sha256 for a in artifacts}
    for folder in dict.fromkeys(a.path.resolve().parent for a in artifacts):
        for path in sorted(folder.glob("*.onnx")):
            try:
                candidate = load_artifact(path)
            except ArtifactError:
                continue
            if candidate.manifest.sha256 in wanted:
                return candidate
    raise UsageError(
        "validate: no reference: none of the artifacts is fp32 and their fp32 parent is not beside "
        "them; give --reference ARTIFACT or --reference torch"
    )


def refuse_mixed(artifacts: Sequence[Artifact], protocol: str) -> None:
    """Raise ComparisonError for artifacts whose numbers would not be comparable."""
    first, *others = artifacts
    wanted = Preparation.for_artifact(first.manifest, protocol)
    for other in others:
        prepared = Preparation.for_artifact(other.manifest, protocol)
        if prepared != wanted or other.manifest.classes != first.manifest.classes:
            raise ComparisonError(
                f"{first.path.name} and {other.path.name} cannot be compared: they differ in "
                f"{_difference(wanted, prepared)}"
            )
        if _origin(other) != _origin(first):
            raise ComparisonError(
                f"{first.path.name} and {other.path.name} cannot be compared: they were made from "
                "different networks or weights"
            )
    ids = [a.manifest.id for a in artifacts]
    twice = sorted({key for key in ids if ids.count(key) > 1})
    if twice:
        raise ComparisonError(f"two artifacts are both {twice[0]}; validate them separately")
    names = sorted({a.manifest.name for a in artifacts})
    if len(names) > 1:
        raise ComparisonError(f"artifacts of different networks: {', '.join(names)}")


def _difference(first: Preparation, other: Preparation) -> str:
    if first.size != other.size:
        (height, width), (other_height, other_width) = first.size, other.size
        return f"size, {height}x{width} and {other_height}x{other_width}"
    if (first.mean, first.std) != (other.mean, other.std):
        return f"normalisation, mean {first.mean} std {first.std} and {other.mean} {other.std}"
    if first.classes != other.classes:
        return f"number of classes, {first.classes} and {other.classes}"
    return "names or colours of the classes"


def _origin(artifact: Artifact) -> tuple[object, ...]:
    manifest = artifact.manifest
    weights = manifest.weights
    return manifest.model, manifest.output_stride, weights.how, weights.seed, weights.sha256
