"""How a third-party file takes its pictures and gives its answer, beside Segport's own way.

Segport's files take float32 RGB (N, 3, H, W) and give logits (N, classes, H, W) or a mask
(N, H, W). A view says what is different in a file; `export.border` makes it alike, in the graph.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto

from export.artifact import ColourOrder
from export.errors import ArtifactError, UsageError, unknown
from export.graph import dims, dtype_name

LAYOUTS = ("nchw", "nhwc")
CHANNELS = {"rgb": 3, "bgr": 3, "grey": 1, "rgba": 4, "bgra": 4}
"""Orders of colours, and how many channels each has."""
MODES: dict[int, ColourOrder] = {1: "L", 3: "RGB", 4: "RGBA"}
"""What an artifact takes instead, by number of channels."""
KINDS = ("logits", "probabilities", "binary-logit", "binary-probability", "mask")
BINARY = ("binary-logit", "binary-probability")
_IMAGE_TYPES = ("float32", "float16", "bfloat16", "float64", "uint8")
_SIGMOIDS = ("Sigmoid", "HardSigmoid")
_PASSING = (
    "Identity", "Cast", "Squeeze", "Unsqueeze", "Transpose", "Reshape", "Resize", "Upsample",
    "Clip", "Gather", "Slice", "Flatten", "Dropout",
)  # fmt: skip
"""Operators behind which a Sigmoid still makes a value a probability."""

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class InputView:
    """The image input. `shape` is as declared, (N, C, H, W) or (N, H, W, C) by `layout`."""

    name: str
    layout: str
    channels: str
    dtype: str
    shape: Shape

    @property
    def sides(self) -> tuple[int | None, int | None]:
        """Height and width; null where free."""
        return (self.shape[1], self.shape[2]) if self.layout == "nhwc" else self.shape[2:4]  # type: ignore[return-value]

    @property
    def order(self) -> list[int]:
        """Return where each of the file's channels is among RGB, RGBA or grey."""
        return [2, 1, 0, 3][: CHANNELS[self.channels]] if self.channels[0] == "b" else []

    def fed(self, image: NDArray[np.float32]) -> NDArray[Any]:
        """Turn Segport's input, float32 (N, C, H, W), into the file's."""
        ordered = image[:, self.order] if self.order else image
        laid_out = ordered.transpose(0, 2, 3, 1) if self.layout == "nhwc" else ordered
        if self.dtype == "uint8":
            return np.ascontiguousarray(np.rint(laid_out).astype(np.uint8))
        return np.ascontiguousarray(laid_out.astype(self.dtype))


@dataclass(frozen=True)
class OutputView:
    """One output. `layout` is "nchw", "nhwc" or, without an axis of channels, "nhw".

    `threshold` is the probability from which on a binary network means its class.
    """

    name: str
    kind: str
    layout: str
    dtype: str
    threshold: float = 0.5

    @property
    def binary(self) -> bool:
        """Whether one channel decides between background and a class."""
        return self.kind in BINARY

    @property
    def becomes(self) -> str:
        """Return the kind it has in an artifact: logits or mask."""
        return "mask" if self.kind == "mask" else "logits"

    def seen(self, array: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Turn what the file gives into what an artifact would, by kind.

        Of a binary probability only the mask: its logits are beyond float32 where it is 0 or 1.
        """
        if self.kind == "mask":
            return {
                "mask": array.reshape(_without_channels(array.shape, self.layout)).astype(np.int64)
            }
        values = array.astype(np.float32)
        if self.layout == "nhw":
            values = values[:, None]
        if self.layout == "nhwc":
            values = values.transpose(0, 3, 1, 2)
        if self.kind == "binary-probability":
            return {"mask": (values[:, 0] > np.float32(self.threshold)).astype(np.int64)}
        if self.kind == "binary-logit":
            half = (values - np.float32(self.bias)) / 2
            return {"logits": np.concatenate([-half, half], 1)}
        return {"logits": np.ascontiguousarray(values)}

    @property
    def bias(self) -> float:
        """Return the logit of the threshold."""
        return float(np.log(self.threshold / (1 - self.threshold)))


def image_input(
    file: Path, model: ModelProto, layout: str | None, channels: str | None
) -> InputView:
    """Read the view of the one input; `layout` and `channels` where the user named them.

    Raises ArtifactError for inputs that are no picture, UsageError for an unknown name and for
    what contradicts the file.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    described = ", ".join(f"{v.name} {dims(v)}" for v in inputs) or "none"
    if layout is not None and layout not in LAYOUTS:
        raise UsageError(unknown("layout", layout, LAYOUTS))
    if channels is not None and channels not in CHANNELS:
        raise UsageError(unknown("channels", channels, CHANNELS))
    needed = "needed is one float32 (N, 3, H, W), or such with 1 or 4 channels, (N, H, W, C), uint8"
    if len(inputs) != 1 or not _may_be_image(inputs[0]):
        raise ArtifactError(f"{file}: inputs are {described}; {needed}")
    shape = dims(inputs[0])
    found = layout or _layout(shape)
    count = shape[3] if found == "nhwc" else shape[1]
    if count is None:
        count = CHANNELS[channels or "rgb"]
    fitting = [name for name, number in CHANNELS.items() if number == count]
    if not fitting:
        raise ArtifactError(f"{file}: inputs are {described}; {needed}")
    if channels is not None and channels not in fitting:
        raise UsageError(
            f"import: --channels {channels}, but {file.name} takes {count} in {described}"
        )
    batch = shape[0]
    if batch == 0:
        raise ArtifactError(
            f"{file}: its batch size is 0 ({described}), so it never sees an image; export it with "
            "batch 1, or with a free batch dimension"
        )
    return InputView(inputs[0].name, found, channels or fitting[0], dtype_name(inputs[0]), shape)


def _layout(shape: Shape) -> str:
    last_only = shape[1] not in (1, 3, 4, None) or (shape[1] is None and shape[3] is not None)
    return "nhwc" if last_only and shape[3] in (1, 3, 4) else "nchw"


def _may_be_image(value: ValueInfoProto) -> bool:
    kind = value.type.tensor_type.elem_type
    if kind == TensorProto.UNDEFINED or dtype_name(value) not in _IMAGE_TYPES:
        return False
    return len(dims(value)) == 4


@dataclass(frozen=True)
class Asked:
    """What the user said about the output; None: see for yourself."""

    name: str | None = None
    kind: str | None = None
    threshold: float = 0.5


def chosen_outputs(
    file: Path,
    graph: GraphProto,
    found: Mapping[str, NDArray[Any]],
    classes: int,
    view: InputView,
    asked: Asked,
) -> list[OutputView]:
    """Return the outputs to keep: logits, a mask, or both.

    `found` is what the file gave for an image. Raises UsageError where several could be meant,
    ArtifactError where none can.
    """
    if asked.kind is not None and asked.kind not in KINDS:
        raise UsageError(unknown("kind", asked.kind, KINDS))
    if not 0 < asked.threshold < 1:
        raise UsageError(
            f"import: --threshold {asked.threshold:g} is no probability between 0 and 1"
        )
    if asked.name is not None and asked.name not in found:
        raise UsageError(unknown("output", asked.name, found))
    looked_at = {n: a for n, a in found.items() if asked.name in (None, n)}
    views = {
        name: seen
        for name, array in looked_at.items()
        if (seen := _output(name, array, graph, classes, view, asked))
    }
    if not views:
        raise ArtifactError(f"{file}: {_no_output(looked_at, classes, view)}")
    chosen = []
    for kind in ("logits", "mask"):
        alike = [seen for seen in views.values() if seen.becomes == kind]
        largest = max((_pixels(found[v.name], v) for v in alike), default=0)
        best = [v for v in alike if _pixels(found[v.name], v) == largest]
        if len(best) > 1:
            listed = ", ".join(f"{v.name} {found[v.name].shape}" for v in best)
            raise UsageError(
                f"import: {file.name} gives {listed}; say which with --output-name, such as "
                f"--output-name {best[0].name}"
            )
        chosen += best
    return chosen


def _output(
    name: str,
    array: NDArray[Any],
    graph: GraphProto,
    classes: int,
    view: InputView,
    asked: Asked,
) -> OutputView | None:
    """Return how one output is to be read, None for one that is no segmentation."""
    if array.ndim not in (3, 4):
        return None
    real = array.dtype.kind == "f" or array.dtype.name == "bfloat16"
    if asked.kind == "mask" or (not real and asked.kind is None):
        layout = _mask_layout(array)
        return OutputView(name, "mask", layout, array.dtype.name) if layout else None
    if not real:
        return None
    layout, count = _channel_axis(array, classes, view)
    if count == 1 and classes == 2:
        kind = asked.kind or _binary_kind(name, array, graph)
        return OutputView(name, kind, layout, array.dtype.name, asked.threshold)
    if count != classes or asked.kind in BINARY:
        return None
    kind = asked.kind or ("probabilities" if _ends_in(graph, name, ("Softmax",)) else "logits")
    return OutputView(name, kind, layout, array.dtype.name)


def _channel_axis(array: NDArray[Any], classes: int, view: InputView) -> tuple[str, int]:
    """Return layout and number of channels of a float output."""
    if array.ndim == 3:
        return "nhw", 1
    first, last = array.shape[1], array.shape[3]
    wanted = (classes, 1) if classes == 2 else (classes,)
    if (first in wanted) == (last in wanted):
        return (view.layout, last if view.layout == "nhwc" else first)
    return ("nchw", first) if first in wanted else ("nhwc", last)


def _binary_kind(name: str, array: NDArray[Any], graph: GraphProto) -> str:
    if _ends_in(graph, name, _SIGMOIDS):
        return "binary-probability"
    if array.size and (array.min() < 0 or array.max() > 1):
        return "binary-logit"
    raise UsageError(
        f"import: output {name} lies within 0 and 1 on the check images and no Sigmoid makes it; "
        "say which it is with --kind binary-probability or --kind binary-logit"
    )


def ends_in_sigmoid(graph: GraphProto, name: str) -> bool:
    """Whether a Sigmoid makes an output, perhaps with moving and resizing behind it."""
    return _ends_in(graph, name, _SIGMOIDS)


def _ends_in(graph: GraphProto, name: str, operators: Sequence[str]) -> bool:
    """Whether one of `operators` makes a tensor, perhaps with moving and resizing behind it."""
    producers = {output: node for node in graph.node for output in node.output}
    node = producers.get(name)
    while node is not None and node.op_type in _PASSING:
        node = producers.get(node.input[0])
    return node is not None and node.op_type in operators


def _mask_layout(array: NDArray[Any]) -> str | None:
    if array.ndim == 3:
        return "nhw"
    if array.ndim == 4 and array.shape[1] == 1:
        return "nchw"
    return "nhwc" if array.ndim == 4 and array.shape[3] == 1 else None


def _without_channels(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    return {"nhw": shape, "nchw": (shape[0], *shape[2:]), "nhwc": shape[:3]}[layout]


def _pixels(array: NDArray[Any], view: OutputView) -> int:
    shape = array.shape
    height, width = shape[1:3] if view.layout in ("nhw", "nhwc") else shape[2:4]
    return int(height) * int(width)


def _no_output(found: Mapping[str, NDArray[Any]], classes: int, view: InputView) -> str:
    """Say what is wrong with all of them: where one has other channels, which these are."""
    for name, array in found.items():
        if array.ndim == 4 and array.dtype.kind == "f":
            _, channels = _channel_axis(array, classes, view)
            if channels == 1:
                return (
                    f"output {name} has one channel, which tells one class from background, and "
                    f"the class list has {classes} names; name that class, as --classes person"
                )
            return (
                f"output {name} has {channels} channels, the class list has {classes} names; give "
                "the right ones with --classes FILE"
            )
    names = ", ".join(f"{name} {array.shape} {array.dtype}" for name, array in found.items())
    return (
        f"outputs are {names}; needed are float32 logits (N, classes, h, w) or an integer mask "
        "(N, H, W)"
    )
