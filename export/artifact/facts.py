"""What the checks of a manifest say of each precision: written by quantization, read by all.

They are the JSON of a manifest as it is; `Manifest.int8` and `Manifest.fp16` give them typed.
"""

from typing import (
    Any,
    Literal,
    NotRequired,  # pydantic reads no other before Python 3.12
)

from pydantic import FiniteFloat
from typing_extensions import TypedDict


class RewriteFacts(TypedDict):
    """A rewrite of the float network, and how far logits and classes (percent alike) moved."""

    rewrite: str
    summary: str
    max_abs_diff: float | None
    argmax_agreement: float


class RescaledFacts(TypedDict):
    """How a tensor follows, per channel: original = factor * rewritten + offset."""

    factor: list[FiniteFloat]
    offset: NotRequired[list[FiniteFloat]]


class FloatLayerFacts(TypedDict):
    """A layer of an int8 file that stays in float, why, and its share of all MACs, 0-1."""

    layer: str
    operator: str
    reason: str
    macs_share: float


class CandidateFacts(TypedDict):
    """A file that a search tried: how many layers it keeps in float, its score on how many images.

    `latency_ms` is None where it was not timed.
    """

    kept_float: int
    int8_macs_share: float
    score: float
    images: int
    accepted: bool
    latency_ms: float | None


class BudgetFacts(TypedDict):
    """What a search was to keep to: points of mIoU lost, or percent of pixels as in fp32."""

    kind: Literal["max_drop", "min_agreement"]
    limit: float


class SearchFacts(TypedDict):
    """What a search for the layers to keep in float tried and found."""

    verdict: str
    budget: BudgetFacts
    candidates: list[CandidateFacts]
    frontier: list[CandidateFacts]
    chosen: CandidateFacts
    ranking: list[dict[str, Any]]


class MaskHeadFacts(TypedDict):
    """The form a file's Resize and ArgMax have, and how many of the pixels compared were tied."""

    form: str
    pixels: int
    ties: int


class FormFacts(TypedDict, total=False):
    """What was done to the finished file: integers stay the same, classes but for ties."""

    lossless: dict[str, list[str]]
    left_out: list[str]
    mask_head: MaskHeadFacts


class MadeFacts(TypedDict, total=False):
    """Of a file in a precision that is somebody's own entry."""

    kept_float: list[str]


class Int8Facts(FormFacts):
    """Of an int8 file. Shares are 0-1, of multiply-accumulates.

    `quantized_macs_share` is what stands between Q/DQ pairs, `int8_macs_share` what onnxruntime
    really runs in int8; None with the reason in `int8_unverified` where this host cannot tell.
    `fused` counts [fused, quantized] layers by operator, `ranges` are (low, high) by tensor.
    `inference_precision` is what OpenVINO is to compute float layers in. `wide_weights` are layers
    whose weights have more than 8 bits.
    """

    int8_macs_share: float | None
    quantized_macs_share: float
    int8_verified: bool | None
    int8_unverified: str | None
    foreseen_time: NotRequired[float | None]
    fused: dict[str, list[int]]
    kept_float: list[str]
    wide_weights: NotRequired[list[str]]
    calibration: NotRequired[dict[str, Any]]
    float_layers: NotRequired[list[FloatLayerFacts]]
    prepared: list[RewriteFacts]
    rescaled: dict[str, RescaledFacts]
    reweighted: NotRequired[list[str]]
    rounding_gain_db: dict[str, float]
    ranges: dict[str, list[float]]
    search: NotRequired[SearchFacts]
    inference_precision: NotRequired[Literal["f32", "bf16", "f16"]]


class GuardedFacts(TypedDict):
    """A layer of an fp16 file left in fp32: `reason` names the tensor, `value` what it reached."""

    layer: str
    reason: str
    value: float


class EmulationFacts(TypedDict):
    """Whether outputs are finite with float16 rounding, and the percent of pixels alike."""

    finite: bool
    argmax_agreement: float


class Fp16Facts(TypedDict):
    """Of an fp16 file: `range_checked` on calibration images, `kept_float` are layers in fp32."""

    prepared: NotRequired[list[RewriteFacts]]
    range_checked: bool
    kept_float: list[str]
    guarded: list[GuardedFacts]
    rounding_gain_db: NotRequired[dict[str, float]]
    emulated: EmulationFacts | None
