"""The artifacts of a package, and where onnxruntime runs each."""

from collections.abc import Sequence
from dataclasses import dataclass

from export.artifact.artifact import Artifact
from export.artifact.manifest import Manifest
from export.common.errors import UsageError
from export.ort.providers import CPU, CUDA, TENSORRT
from quantize.targets import TARGETS


@dataclass(frozen=True)
class Provider:
    """An execution provider by onnxruntime's name, and its device: cpu, gpu or npu."""

    name: str
    device: str


_CPU = Provider(CPU, "cpu")
_BY_ID = {"fp16": Provider(CUDA, "gpu"), "int8@tensorrt": Provider(TENSORRT, "gpu")}
"""What does not run on the CPU: there float16 is computed in float32."""


@dataclass(frozen=True)
class Variant:
    """One artifact of a package."""

    artifact: Artifact

    @property
    def manifest(self) -> Manifest:
        """The artifact's manifest."""
        return self.artifact.manifest

    @property
    def id(self) -> str:
        """The artifact's id, such as `int8@npu`."""
        return self.manifest.id

    @property
    def slug(self) -> str:
        """The id as part of a file's name."""
        return self.id.replace("@", "-")

    @property
    def hub_file(self) -> str:
        """The file name that transformers.js expects: model.onnx, model_fp16.onnx, ..."""
        suffix = "" if self.id == "fp32" else f"_{self.slug}"
        return f"model{suffix}.onnx"

    @property
    def provider(self) -> Provider | None:
        """Where onnxruntime runs it as meant; None where the hardware has a runtime of its own."""
        target = TARGETS.get(self.manifest.target or "")
        own_runtime = target is not None and not target.machines
        return _BY_ID.get(self.id, None if own_runtime else _CPU)


def variants_of(artifacts: Sequence[Artifact]) -> tuple[Variant, ...]:
    """Return variants in the order given.

    Raises UsageError unless they are files of one network with an id each.
    """
    if not artifacts:
        raise UsageError("package: give at least one artifact")
    first = artifacts[0]
    for artifact in artifacts:
        for field in ("name", "classes"):
            if getattr(artifact.manifest, field) != getattr(first.manifest, field):
                raise UsageError(
                    f"{artifact.path}: its {field} is not that of {first.path}; a package holds "
                    "files of one network"
                )
    by_id: dict[str, Artifact] = {}
    for artifact in artifacts:
        other = by_id.setdefault(artifact.manifest.id, artifact)
        if other is not artifact:
            raise UsageError(
                f"{other.path} and {artifact.path} are both {artifact.manifest.id}; give one"
            )
    return tuple(map(Variant, artifacts))
