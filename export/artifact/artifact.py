"""The artifact every stage passes on: an ONNX file and the manifest beside it."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
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
from export.common.errors import ArtifactError, UsageError
from export.common.escaping import visible
from export.common.files import file_bytes, new_files, sha256_of
from export.common.memory import refuse_beyond
from export.common.names import LONGEST, is_file_name, is_plain
from export.common.validation import first_wrong
from export.onnx_graph.graph import dims, dtype_name

FORMAT = 1
_FACTS: dict[str, TypeAdapter[Any]] = {
    "int8": TypeAdapter(Int8Facts),
    "fp16": TypeAdapter(Fp16Facts),
}
_MADE = TypeAdapter(MadeFacts)
"""Of a precision that is somebody's own."""
INPUT_NAME = "input"


class Sample(NamedTuple):
    """One preprocessed image: `image` is float32 (1, 3, H, W), normalised as the network wants.

    `sha256` is that of the image file, so that a copy under another name is still recognised.
    """

    id: str
    image: NDArray[np.float32]
    sha256: str


class Origin(NamedTuple):
    """How images were prepared, and the seed they were drawn by; None: nobody knows."""

    protocol: str | None = None
    seed: int | None = None


def origin_of(samples: Sequence[Sample]) -> Origin:
    """Return what samples say of themselves; a plain list says nothing."""
    return getattr(samples, "origin", Origin())


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
_INPUT_BYTES = 8
"""Of each number of an input: a float32 and its copy, where images are put together."""
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


@dataclass(frozen=True)
class Artifact:
    """An ONNX file whose bytes match its manifest."""

    path: Path
    manifest: Manifest


def artifact_name(text: str) -> str:
    """Return `text` (a model or a user's name) as a file name part."""
    name = re.sub(r"[/:.]", "-", text)
    if len(name) > LONGEST:
        raise UsageError(
            f"name '{text[:20]}...': has {len(name)} characters, at most {LONGEST} are allowed"
        )
    if not is_file_name(name):
        raise UsageError(f"name '{text}': use letters, digits, '-' and '_' only")
    return name


def write_artifact(data: bytes, manifest: Manifest, folder: Path) -> Artifact:
    """Write `<stem>.onnx` and `<stem>.json`, both or neither, and return the artifact.

    Raises ArtifactError when they cannot be written, or the manifest's name is no file's.
    """
    if not all(map(is_file_name, (manifest.name, manifest.target or "cpu"))):
        raise ArtifactError(f"name '{visible(manifest.stem)}' cannot be that of a file")
    manifest = manifest.model_copy(update={"sha256": hashlib.sha256(data).hexdigest()})
    path = folder / f"{manifest.stem}.onnx"
    with new_files(path, path.with_suffix(".json")) as (onnx_file, json_file):
        onnx_file.write_bytes(data)
        json_file.write_text(json.dumps(manifest.model_dump(mode="json"), indent=1) + "\n")
    return Artifact(path, manifest)


def load_artifact(path: Path) -> Artifact:
    """Read and verify an artifact.

    Raises ArtifactError when the file or its manifest is missing or unreadable, or when the
    file's sha256 is not the one in the manifest; DataError for one whose input memory is not
    enough for.
    """
    path = Path(path)
    if not path.is_file():
        raise ArtifactError(f"{path}: no such file; 'segport export' makes artifacts")
    manifest_path = path.with_suffix(".json")
    if path.suffix != ".onnx":
        raise ArtifactError(f"{path}: not an .onnx file; give the .onnx, not its manifest")
    if not manifest_path.is_file():
        raise ArtifactError(
            f"{path}: its manifest {manifest_path.name} is missing; 'segport import' makes one"
        )
    try:
        manifest = Manifest.model_validate_json(file_bytes(manifest_path))
    except (ValidationError, OSError) as error:
        wrong = first_wrong(error) if isinstance(error, ValidationError) else str(error)
        raise ArtifactError(
            f"{manifest_path}: not a segport manifest ({wrong}); "
            "'segport import' makes a new one for a third-party file"
        ) from error
    if sha256_of(path) != manifest.sha256:
        raise ArtifactError(
            f"{path}: its sha256 differs from the manifest's, so the file was changed after it was "
            "written; make it again with segport export, quantize or import"
        )
    batch, channels, *_ = manifest.input.shape
    shape = (batch or 1, channels, *manifest.size)
    shown = "x".join(map(str, shape))
    refuse_beyond(_INPUT_BYTES * prod(shape), f"{path}: an input of {shown} numbers")
    return Artifact(path, manifest)
