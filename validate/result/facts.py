"""What a result states of one thing each: the images, an interval, noise, a search ..."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from export.artifact.count import Count

Percent = Annotated[float, Field(ge=0, le=100 + 1e-9)]
"""A share of pixels or an IoU; sums may round beyond 100."""


class ResultPart(BaseModel):
    """Fields as the file has them: no others, none that JSON lacks, and not to be changed."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True
    )


class CalibrationFacts(TypedDict):
    """What is told of the images that influenced an artifact; `settings` are its manifest's."""

    protocol: str | None
    images: int
    settings: dict[str, Any]


class DatasetFacts(ResultPart):
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


class SpreadFacts(ResultPart):
    """Milliseconds."""

    median: float
    p10: float
    p90: float


class BootstrapFacts(ResultPart):
    """How every interval of the result was made; `level` in percent."""

    method: str
    level: float
    resamples: int
    seed: int


class ClassDrop(ResultPart):
    """Points of IoU that one class lost, and the number of images whose label has the class."""

    drop: float
    ci95: tuple[float, float] | None
    images: int


class ImageAgreement(ResultPart):
    """Percent of an image's pixels on which an artifact agrees with its reference."""

    id: str
    agreement: float


class NoiseFacts(ResultPart):
    """What the same file gives under other settings of its runtime, on the same images.

    `settings` lists them; the others are the largest changes among them, in points: of mIoU
    (fidelity mIoU without labels), of any class's IoU, of agreement with the reference.
    """

    settings: list[str]
    miou: float
    class_iou: float
    agreement: float


class SecondSizeFacts(ResultPart):
    """What an artifact that takes any size gives at another one than the result's.

    `size` is (height, width) in pixels, `agreement` in percent of the pixels of `images` images,
    `before` the same images' at the size of the result.
    """

    size: tuple[int, int]
    images: int
    agreement: float
    before: float


class SumFacts(ResultPart):
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


class RestFacts(ResultPart):
    """What rounding can do to layers that were not emulated, the `longest` sum of which is given.

    `bounds`: by order, the error in percent of a layer's largest result, null where nothing bounds
    it. `may_overflow` lists layers whose terms' magnitudes add up to more than 65504.
    """

    layers: int
    longest: int
    bounds: dict[str, float | None]
    may_overflow: list[str]


class AccumulationFacts(ResultPart):
    """What float16 sums change (`validate.accumulation`); `macs_share` (0-1) was emulated."""

    images: int
    layers: int
    macs_share: float
    sums: list[SumFacts]
    rest: RestFacts | None


class SearchBudget(ResultPart):
    """`limit`: points of mIoU ("max_drop") or percent of pixels as in fp32 ("min_agreement")."""

    kind: Literal["max_drop", "min_agreement"]
    limit: float


class SearchRow(ResultPart):
    """What a candidate of a precision search came to: share (0-1), score in the budget's unit."""

    int8_macs_share: float
    score: float
    latency_ms: float | None


class SearchFacts(ResultPart):
    """The search that chose which layers of an artifact are in int8, as its manifest tells."""

    budget: SearchBudget
    candidates: list[SearchRow]
    frontier: list[SearchRow]
    chosen: SearchRow
