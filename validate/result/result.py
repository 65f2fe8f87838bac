"""The result file, schema 1: what a validation found. Unknown or absent is null, never NaN."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from typing_extensions import TypedDict

from export.artifact.count import Count
from export.common.errors import DataError
from export.common.files import file_bytes

RESULT_FILE = "result.json"
CONFUSION_FILE = "confusion.npz"
"""Beside the result: one array per artifact id, int64 (images, classes, classes)."""
PICTURE_FILE = "pictures.zip"
"""Beside the result where pictures were asked for: `index.json`, and per image, numbered from the
worst on, the image (JPEG), its label and predictions (palette PNG of class indices)."""


Percent = Annotated[float, Field(ge=0, le=100 + 1e-9)]
"""A share of pixels or an IoU; sums may round beyond 100."""


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True
    )


class CalibrationFacts(TypedDict):
    """What is told of the images that influenced an artifact; `settings` are its manifest's."""

    protocol: str | None
    images: int
    settings: dict[str, Any]


_CALIBRATIONS = TypeAdapter(dict[str, CalibrationFacts] | None)


def _calibrations(value: Any) -> Any:
    """Check types, and keep all as it is: its digest is in the result."""
    try:
        _CALIBRATIONS.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    return value


class DatasetFacts(_Model):
    """`ids_sha256` is the digest of the image ids in order, `labels_sha256` of their masks.

    `label_map` says how values were turned into classes; null: they are the classes, 255 is void.
    """

    name: str
    split: str
    images: Count
    ids_sha256: str
    labelled: bool
    labels_sha256: str | None = None
    label_map: str | None = None


class SpreadFacts(_Model):
    """Milliseconds."""

    median: float
    p10: float
    p90: float


class BootstrapFacts(_Model):
    """How every interval of the result was made; `level` in percent."""

    method: str
    level: float
    resamples: int
    seed: int


class ClassDrop(_Model):
    """Points of IoU that one class lost, and the number of images whose label has the class."""

    drop: float
    ci95: tuple[float, float] | None
    images: int


class ImageAgreement(_Model):
    """Percent of an image's pixels on which an artifact agrees with its reference."""

    id: str
    agreement: float


class NoiseFacts(_Model):
    """What the same file gives under other settings of its runtime, on the same images.

    `settings` lists them; the others are the largest changes among them, in points: of mIoU
    (fidelity mIoU without labels), of any class's IoU, of agreement with the reference.
    """

    settings: list[str]
    miou: float
    class_iou: float
    agreement: float


class SecondSizeFacts(_Model):
    """What an artifact that takes any size gives at another one than the result's.

    `size` is (height, width) in pixels, `agreement` in percent of the pixels of `images` images,
    `before` the same images' at the size of the result.
    """

    size: tuple[int, int]
    images: int
    agreement: float
    before: float


class SumFacts(_Model):
    """What a float16 file gives with its products added up in an `order`, on a few images.

    "float32": with float32 sums. `overflowed` lists layers of which a sum passed 65504.
    `worst_error` is the root mean square error of `worst_layer` against float32 sums of the same
    inputs, in percent of its result's; `worst_terms` is how many products it adds up.
    """

    order: str
    miou: Percent | None
    agreement: Percent
    nonfinite_images: int
    overflowed: list[str]
    worst_layer: str | None
    worst_terms: int | None
    worst_error: float | None


class RestFacts(_Model):
    """What rounding can do to layers that were not emulated, the `longest` sum of which is given.

    `bounds`: by order, the error in percent of a layer's largest result, null where nothing bounds
    it. `may_overflow` lists layers whose terms' magnitudes add up to more than 65504.
    """

    layers: int
    longest: int
    bounds: dict[str, float | None]
    may_overflow: list[str]


class AccumulationFacts(_Model):
    """What float16 sums change (`validate.accumulation`); `macs_share` (0-1) was emulated."""

    images: int
    layers: int
    macs_share: float
    sums: list[SumFacts]
    rest: RestFacts | None


class SearchBudget(_Model):
    """`limit`: points of mIoU ("max_drop") or percent of pixels as in fp32 ("min_agreement")."""

    kind: Literal["max_drop", "min_agreement"]
    limit: float


class SearchRow(_Model):
    """What a candidate of a precision search came to: share (0-1), score in the budget's unit."""

    int8_macs_share: float
    score: float
    latency_ms: float | None


class SearchFacts(_Model):
    """The search that chose which layers of an artifact are in int8, as its manifest tells."""

    budget: SearchBudget
    candidates: list[SearchRow]
    frontier: list[SearchRow]
    chosen: SearchRow


class Facts(_Model):
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


class Figures(_Model):
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
    class_drop: dict[str, ClassDrop] = {}
    agreement: Percent
    agreement_boundary: float | None = None
    agreement_interior: float | None = None
    worst_images: list[ImageAgreement] = []
    fidelity_miou: Percent | None
    nonfinite_images: int


class ArtifactResult(Figures, Facts):
    """One artifact: its facts, and the figures it reached."""


class Result(_Model):
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
    classes: list[str] = []
    class_images: dict[str, int] = {}
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
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise DataError(f"{path}: not a result of schema 1 ({where}: {first['msg']})") from error


def result_files(folder: Path) -> list[Path]:
    """Return the files that `validate` wrote to `folder`; the file of pictures may be missing."""
    files = [folder / name for name in (RESULT_FILE, CONFUSION_FILE, PICTURE_FILE)]
    return [path for path in files if path.is_file()]
