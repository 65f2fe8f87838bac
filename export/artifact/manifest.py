"""The manifest: everything about an artifact that its bytes do not say."""

from typing import Annotated, Any, Literal

from onnx import ValueInfoProto
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from export.artifact.classes import MAX_CLASSES
from export.artifact.count import Count
from export.artifact.facts import Fp16Facts, Int8Facts, MadeFacts
from export.common.escaping import visible
from export.common.names import LONGEST, is_file_name, is_plain
from export.common.validation import first_wrong
from export.onnx_graph.graph import dims, dtype_name

_FACTS: dict[str, TypeAdapter[Any]] = {
    "int8": TypeAdapter(Int8Facts),
    "fp16": TypeAdapter(Fp16Facts),
}
_MADE = TypeAdapter(MadeFacts)
"""Of a precision that is somebody's own."""
INPUT_NAME = "input"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _file_name(text: str) -> str:
    if not is_file_name(text):
        raise ValueError(f"{visible(text)[:LONGEST]!r} cannot be part of a file's name")
    return text


def _plain(text: str) -> str:
    if not is_plain(text):
        raise ValueError(f"'{visible(text)}' holds control characters")
    return text


FileName = Annotated[str, AfterValidator(_file_name)]
Plain = Annotated[str, AfterValidator(_plain)]
Length = Annotated[int, Field(ge=1, lt=2**31)]
Deviation = Annotated[FiniteFloat, Field(gt=0)]


class Weights(_Strict):
    """Where the weights came from; `sha256` is that of the checkpoint file.

    Those of a "module" came with the object; `sha256` is then that of its state_dict's values.

    `key` says where in it they lie, if there were several, `prefix` what their names had more.
    """

    how: Literal["file", "default", "random", "import", "module"]
    file: str | None = None
    seed: int | None = None
    sha256: str | None = None
    key: str | None = None
    prefix: str | None = None


ColourOrder = Literal["RGB", "L", "RGBA"]
"""Channels of an input, by the name that PIL gives to such images; L is grey."""


class InputSpec(_Strict):
    """The input tensor; null in `shape` may vary. `mean` and `std` (positive) in 0-1 units.

    They have an entry per channel. Channels are RGB, or one of grey, or RGB and alpha.
    """

    name: str = INPUT_NAME
    shape: tuple[Length | None, Length, Length | None, Length | None]
    layout: Literal["NCHW"] = "NCHW"
    dtype: Literal["float32", "float16"] = "float32"
    mean: tuple[FiniteFloat, ...]
    std: tuple[Deviation, ...]
    colour_order: ColourOrder = "RGB"


class OutputSpec(_Strict):
    """An output tensor: logits (N, classes, H, W) float, or mask (N, H, W) of class indices."""

    name: str
    kind: Literal["logits", "mask"]
    shape: tuple[int | None, ...]
    dtype: str


def output_spec(value: ValueInfoProto) -> OutputSpec:
    """Describe a graph output named `logits` or `mask`."""
    return OutputSpec(
        name=value.name,
        kind="mask" if value.name == "mask" else "logits",
        shape=dims(value),
        dtype=dtype_name(value),
    )


class SourceOutput(_Strict):
    """An output that was kept; `threshold` is the probability of a binary one's class."""

    name: str
    kind: str
    layout: str
    threshold: float | None = None


class SourceSpec(_Strict):
    """How an imported file itself took pictures and answered; inside, the artifact is alike.

    `shape` is the input's as declared, `mean` and `std` are in units of `range`. `unused` names
    its other outputs.
    """

    input: str
    shape: tuple[int | None, ...]
    layout: str
    channels: str
    dtype: str
    range: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    outputs: tuple[SourceOutput, ...]
    unused: tuple[str, ...] = ()
    opset: int


class ImageRef(_Strict):
    """An image that influenced the file; `sha256` is that of the image file."""

    id: str
    sha256: str


def artifact_id(precision: str, target: str | None) -> str:
    """Return what tells artifacts of a network apart; `target` is None for all but int8."""
    return precision if target in (None, "cpu") else f"{precision}@{target}"


class Manifest(_Strict):
    """Everything about an artifact that its bytes do not say. MACs are of one image.

    `source` describes an imported file, `answer` (see `export.networks.answer`) what is meant of
    what a torch network gives.
    """

    format: Literal[1] = 1
    name: FileName
    model: Plain
    output_stride: int | None
    weights: Weights
    precision: FileName
    target: FileName | None = None
    input: InputSpec
    outputs: tuple[OutputSpec, ...]
    source: SourceSpec | None = None
    answer: dict[str, Any] | None = None
    classes: tuple[Plain, ...]
    palette: tuple[tuple[int, int, int], ...]
    opset: int
    ir_version: int
    params: Count | None
    macs: Count
    macs_shape: tuple[Length, Length, Length]
    uncounted: dict[str, int]
    flops_published: float | None
    sha256: str = ""
    parent_sha256: str | None = None
    calibration_protocol: str | None = None
    images: tuple[ImageRef, ...] = ()
    settings: dict[str, Any]
    checks: dict[str, Any]
    versions: dict[str, str]

    @model_validator(mode="after")
    def _check_precision(self) -> "Manifest":
        if self.precision != "fp32" and self.precision not in self.checks:
            raise ValueError(
                f"precision: {self.precision} is not fp32, and no check says how it was made"
            )
        return self

    @model_validator(mode="after")
    def _check_fact_types(self) -> "Manifest":
        for precision in {*_FACTS, self.precision}:
            if precision in self.checks:
                try:
                    _FACTS.get(precision, _MADE).validate_python(self.checks[precision])
                except ValidationError as error:
                    raise ValueError(first_wrong(error, "checks", precision)) from error
        return self

    @model_validator(mode="after")
    def _check_unique_classes(self) -> "Manifest":
        logits = self.output("logits")
        channels = logits.shape[1:2] if logits else ()
        counts = {len(self.classes), len(self.palette), *(c for c in channels if c is not None)}
        if len(counts) > 1 or not 2 <= len(self.classes) <= MAX_CLASSES:
            raise ValueError(
                f"{len(self.classes)} classes, {len(self.palette)} colours and "
                f"{channels[0] if channels else 'no'} channels of logits do not fit together"
            )
        return self

    def output(self, kind: str) -> OutputSpec | None:
        """Return the output of `kind`, or None."""
        return next((spec for spec in self.outputs if spec.kind == kind), None)

    @property
    def int8(self) -> Int8Facts | None:
        """What quantization found of an int8 file; None for others."""
        return self.checks.get("int8")

    @property
    def fp16(self) -> Fp16Facts | None:
        """What quantization found of an fp16 file; None for others."""
        return self.checks.get("fp16")

    @property
    def kept_float(self) -> list[str]:
        """Names of layers that are not in the file's precision."""
        return list(self.checks.get(self.precision, {}).get("kept_float", ()))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width images are prepared at: the file's, or `macs_shape`'s where free."""
        _, _, height, width = self.input.shape
        return height or self.macs_shape[1], width or self.macs_shape[2]

    @property
    def id(self) -> str:
        """`fp32`, `fp16`, `int8`, or `int8@<target>` for a target other than cpu."""
        return artifact_id(self.precision, self.target)

    @property
    def stem(self) -> str:
        """File name without its ending."""
        parts = [self.name, self.id.replace("@", "-")]
        if [spec.kind for spec in self.outputs] == ["mask"]:
            parts.append("mask")
        return "-".join(parts)
