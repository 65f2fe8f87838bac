"""ONNX to smaller ONNX: one public function for every precision."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx import ModelProto

from export.artifact import Artifact, ImageRef, Manifest, Sample, output_spec, write_artifact
from export.errors import CalibrationError, UsageError, unknown
from export.files import check_writable
from export.graph import dtype_name, opset
from export.versions import versions
from quantize.calibration import Progress
from quantize.fp16 import quantize_fp16
from quantize.int8 import quantize_int8
from quantize.ranges import DEFAULT_RANGE, range_rule
from quantize.targets import DEFAULT_TARGET, get_target

IO_TYPES = ("fp32", "fp16")


@dataclass(frozen=True)
class Settings:
    """What a user may choose; `seed` records how the calibration images were drawn."""

    target: str = DEFAULT_TARGET
    range: str = DEFAULT_RANGE
    io: str = "fp32"
    guard: bool = True
    keep_float: tuple[str, ...] = ()
    seed: int = 0


class _Recorded(Sequence[Sample]):
    """Passes samples through and remembers which were used."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples
        self.used: dict[str, ImageRef] = {}

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: Any) -> Any:
        return self._note(self._samples[index])

    def __iter__(self) -> Any:
        return (self._note(sample) for sample in self._samples)

    def _note(self, sample: Sample) -> Sample:
        self.used[sample.id] = ImageRef(id=sample.id, sha256=sample.sha256)
        return sample


Method = Callable[
    [Artifact, Sequence[Sample], Settings, Progress], tuple[ModelProto, dict[str, Any]]
]


@dataclass(frozen=True)
class Precision:
    """`method` makes the model; `settings` names those of `Settings` that bear on it."""

    method: Method
    settings: tuple[str, ...]


def _fp16(
    artifact: Artifact, samples: Sequence[Sample], settings: Settings, progress: Progress
) -> tuple[ModelProto, dict[str, Any]]:
    return quantize_fp16(
        artifact,
        samples,
        io=settings.io,
        guard=settings.guard,
        keep_float=settings.keep_float,
        progress=progress,
    )


def _int8(
    artifact: Artifact, samples: Sequence[Sample], settings: Settings, progress: Progress
) -> tuple[ModelProto, dict[str, Any]]:
    if not len(samples):
        raise CalibrationError("int8 needs calibration images: give --calibration DATA")
    return quantize_int8(
        artifact,
        get_target(settings.target),
        samples,
        rule=settings.range,
        keep_float=settings.keep_float,
        progress=progress,
    )


PRECISIONS: dict[str, Precision] = {
    "fp16": Precision(_fp16, ("io", "guard", "keep_float", "seed")),
    "int8": Precision(_int8, ("target", "range", "keep_float", "seed")),
}


def check_settings(precision: str, settings: Settings) -> None:
    """Raise UsageError, with the nearest name, for a choice that does not exist."""
    if precision not in PRECISIONS:
        raise UsageError(unknown("precision", precision, PRECISIONS))
    if settings.io not in IO_TYPES:
        raise UsageError(unknown("io type", settings.io, IO_TYPES))
    get_target(settings.target)
    range_rule(settings.range)


def quantize(
    artifact: Artifact,
    precision: str,
    folder: Path,
    *,
    samples: Sequence[Sample] = (),
    protocol: str | None = None,
    settings: Settings | None = None,
    progress: Progress = lambda done, total: None,
) -> Artifact:
    """Make a smaller artifact of an fp32 one and write it to `folder`.

    `precision` is "fp16" or "int8". `samples` are calibration images prepared under
    `protocol`; int8 needs them, fp16 checks value ranges with them. All images used go into
    the manifest. Raises UsageError for an unknown name or an artifact that is not fp32,
    CalibrationError for unusable samples, QuantizeError when the file would not be what its
    target promises; nothing is written then.
    """
    settings = settings or Settings()
    check_settings(precision, settings)
    if artifact.manifest.precision != "fp32":
        raise UsageError(
            f"{artifact.path.name} is already {artifact.manifest.precision}; quantize its fp32 file"
        )
    check_writable(folder)
    recorded = _Recorded(samples)
    model, facts = PRECISIONS[precision].method(artifact, recorded, settings, progress)
    manifest = _manifest(artifact, precision, model, facts, settings)
    images = tuple(recorded.used.values())
    manifest = manifest.model_copy(
        update={"images": images, "calibration_protocol": protocol if images else None}
    )
    return write_artifact(model.SerializeToString(deterministic=True), manifest, folder)


def _manifest(
    parent: Artifact,
    precision: str,
    model: ModelProto,
    facts: dict[str, Any],
    settings: Settings,
) -> Manifest:
    chosen = {key: getattr(settings, key) for key in PRECISIONS[precision].settings}
    return parent.manifest.model_copy(
        update={
            "precision": precision,
            "target": chosen.get("target"),
            "input": parent.manifest.input.model_copy(
                update={"dtype": dtype_name(model.graph.input[0])}
            ),
            "outputs": tuple(output_spec(value) for value in model.graph.output),
            "opset": opset(model),
            "ir_version": model.ir_version,
            "parent_sha256": parent.manifest.sha256,
            "settings": chosen,
            "checks": {precision: facts},
            "versions": versions(),
        }
    )
