"""The result file, schema 1: what a validation found. Unknown or absent is null, never NaN."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from export.artifact.count import Count
from export.common.errors import DataError
from export.common.files import file_bytes
from export.common.validation import first_wrong
from validate.result.facts import (
    AccumulationFacts,
    BootstrapFacts,
    CalibrationFacts,
    ClassDrop,
    DatasetFacts,
    ImageAgreement,
    NoiseFacts,
    Percent,
    ResultPart,
    SearchFacts,
    SecondSizeFacts,
    SpreadFacts,
)

RESULT_FILE = "result.json"
CONFUSION_FILE = "confusion.npz"
"""Beside the result: one array per artifact id, int64 (images, classes, classes)."""
PICTURE_FILE = "pictures.zip"
"""Beside the result where pictures were asked for: `index.json`, and per image, numbered from the
worst on, the image (JPEG), its label and predictions (palette PNG of class indices)."""


_CALIBRATIONS = TypeAdapter(dict[str, CalibrationFacts] | None)


def _calibrations(value: Any) -> Any:
    """Check types, and keep all as it is: its digest is in the result."""
    try:
        _CALIBRATIONS.validate_python(value)
    except ValidationError as error:
        raise ValueError(first_wrong(error)) from error
    return value


class Facts(ResultPart):
    """What an artifact is, how it was run and timed.

    `latency_runtime` is where latency was measured, which differs from `runtime` when that
    one is an emulation. `execution` is what the runtime says about how it ran: nodes by
    provider, inference precision, device. `noise` is null where it was not measured,
    `second_size` where the artifact takes one size only or its protocol varies sizes anyway,
    `accumulation` where float16 sums were not asked for, `search` where nothing was searched for.
    `facts_sha256` is the digest of all other fields of this class (`validate.result.sealing`).
    """

    id: str
    precision: str
    target: str | None
    file: str | None
    sha256: str | None
    parent_sha256: str | None
    size_bytes: Count | None
    runtime: str
    provider: str
    execution: dict[str, Any] = Field(default_factory=dict)
    int8_macs_share: float | None
    int8_verified: bool | None
    int8_note: str | None
    kept_float: list[str]
    latency_ms: SpreadFacts | None
    mask_ms: SpreadFacts | None
    latency_runtime: str | None
    threads: int
    cpu: str
    warnings: list[str]
    noise: NoiseFacts | None = None
    second_size: SecondSizeFacts | None = None
    accumulation: AccumulationFacts | None = None
    search: SearchFacts | None = None
    facts_sha256: str | None = None


class Figures(ResultPart):
    """What an artifact reached: all of it follows from the counts beside the result.

    Percentages are 0-100; `drop` = reference's mIoU - this one's. Intervals are null for one
    image or without labels. `class_drop` has the classes that occur in the labels, and is
    empty for the reference. `agreement_boundary` is the agreement on pixels within 5 px of a
    border between labels (of the reference's classes where images have no label),
    `agreement_interior` that on all others; null where there are no such pixels.
    `worst_images` are those that agree least with the reference, worst first; images that
    agree wholly are not among them. `nonfinite_images` counts images whose logits held inf
    or NaN.
    """

    miou: Percent | None
    miou_ci95: tuple[float, float] | None = None
    pixel_accuracy: Percent | None
    class_iou: dict[str, float | None]
    invented_classes: list[str]
    drop: float | None
    drop_ci95: tuple[float, float] | None
    class_drop: dict[str, ClassDrop] = {}  # noqa: RUF012 (pydantic copies it, as those below)
    agreement: Percent
    agreement_boundary: float | None = None
    agreement_interior: float | None = None
    worst_images: list[ImageAgreement] = []  # noqa: RUF012
    fidelity_miou: Percent | None
    nonfinite_images: int


class ArtifactResult(Figures, Facts):
    """One artifact: its facts, and the figures it reached."""


class Result(ResultPart):
    """All artifacts of one network under one protocol on one image list.

    `classes` are the network's, in the order of their indices; empty in results of earlier
    versions. `class_images` counts, for every class, the images whose label has it; empty
    without labels. `bootstrap` is null where there is no interval. `latency_protocol` names the
    result of the same run that latencies were measured for, null: they were for this one.
    `counts_sha256` is the digest of what confusion.npz holds, `facts_sha256` that of all fields
    that are neither an artifact's nor counted; null in results of versions before 0.2.
    """

    schema_: Literal[1] = Field(default=1, alias="schema")
    name: str
    model: str
    protocol: str
    dataset: DatasetFacts
    reference: str
    shape: tuple[int, int, int]
    params: Count | None
    macs: Count
    flops_published: float | None
    calibration: Annotated[dict[str, Any] | None, AfterValidator(_calibrations)]
    environment: dict[str, Any]
    command: str | None
    overlap_allowed: bool
    latency_protocol: str | None = None
    classes: list[str] = []  # noqa: RUF012
    class_images: dict[str, int] = {}  # noqa: RUF012
    bootstrap: BootstrapFacts | None = None
    counts_sha256: str | None = None
    facts_sha256: str | None = None
    artifacts: list[ArtifactResult]

    @model_validator(mode="after")
    def _ids_are_unique(self) -> "Result":
        ids = [artifact.id for artifact in self.artifacts]
        if repeated := sorted({id for id in ids if ids.count(id) > 1}):
            raise ValueError(f"artifacts {', '.join(repeated)} are there more than once")
        return self

    def artifact(self, id: str) -> ArtifactResult | None:
        """Return the artifact with this id, or None."""
        return next((entry for entry in self.artifacts if entry.id == id), None)

    @property
    def class_names(self) -> list[str]:
        """The network's classes; of an unlabelled result of an earlier version unknown: none."""
        return self.classes or (list(self.artifacts[0].class_iou) if self.artifacts else [])

    def to_json(self) -> str:
        """Return the file's text."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), indent=1) + "\n"


def load_result(path: Path) -> Result:
    """Read result.json; raise DataError when it is missing or not one of schema 1."""
    try:
        return Result.model_validate_json(file_bytes(path))
    except OSError as error:
        raise DataError(
            f"{path}: cannot read ({error.strerror}); 'segport validate' makes it"
        ) from error
    except ValidationError as error:
        raise DataError(f"{path}: not a result of schema 1 ({first_wrong(error)})") from error


def result_files(folder: Path) -> list[Path]:
    """Return the files that `validate` wrote to `folder`; the file of pictures may be missing."""
    files = [folder / name for name in (RESULT_FILE, CONFUSION_FILE, PICTURE_FILE)]
    return [path for path in files if path.is_file()]
