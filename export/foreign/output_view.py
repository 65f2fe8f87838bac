"""How a third-party file gives its answer: logits, probabilities, or a mask, in which layout."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto

from export.artifact.outputs import BINARY_KINDS, OUTPUT_KINDS
from export.common.errors import ArtifactError, UsageError, unknown
from export.common.tables import known
from export.foreign.view import InputView

_SIGMOIDS = ("Sigmoid", "HardSigmoid")
_PASSING = (
    "Identity", "Cast", "Squeeze", "Unsqueeze", "Transpose", "Reshape", "Resize", "Upsample",
    "Clip", "Gather", "Slice", "Flatten", "Dropout",
)  # fmt: skip
"""Operators behind which a Sigmoid still makes a value a probability."""


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
        return OUTPUT_KINDS[self.kind].binary

    @property
    def becomes(self) -> str:
        """Return the kind it has in an artifact: logits or mask."""
        return OUTPUT_KINDS[self.kind].becomes

    def seen(self, array: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Turn what the file gives into what an artifact would, by kind.

        Of a binary probability only the mask: its logits are beyond float32 where it is 0 or 1.
        """
        if self.becomes == "mask":
            flat = array.reshape(_without_channels(array.shape, self.layout))
            whole = flat if self.kind == "mask" else flat != 0
            return {"mask": whole.astype(np.int64)}
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


@dataclass(frozen=True)
class OutputRequest:
    """What the user said about the output; None: see for yourself."""

    name: str | None = None
    kind: str | None = None
    threshold: float = 0.5


def chosen_outputs(
    file: Path,
    graph: GraphProto,
    arrays: Mapping[str, NDArray[Any]],
    classes: int,
    view: InputView,
    request: OutputRequest,
    sides: tuple[int, int],
) -> list[OutputView]:
    """Return the outputs to keep: logits, a mask, or both.

    `arrays` are what the file gave for an image of height and width `sides`. Raises UsageError
    where several could be meant, ArtifactError where none can.
    """
    if request.kind is not None:
        known("kind", request.kind, OUTPUT_KINDS)
    if not 0 < request.threshold < 1:
        raise UsageError(
            f"import: --threshold {request.threshold:g} is not a probability between 0 and 1"
        )
    if request.name is not None and request.name not in arrays:
        raise UsageError(unknown("output", request.name, arrays))
    looked_at = {n: a for n, a in arrays.items() if request.name in (None, n)}
    views = {
        name: seen
        for name, array in looked_at.items()
        if (seen := _output(name, array, graph, classes, view, request, sides))
    }
    if not views:
        raise ArtifactError(f"{file}: {_no_output(looked_at, classes, view)}")
    chosen = []
    for kind in ("logits", "mask"):
        alike = [seen for seen in views.values() if seen.becomes == kind]
        largest = max((_pixels(arrays[v.name], v) for v in alike), default=0)
        best = [v for v in alike if _pixels(arrays[v.name], v) == largest]
        if len(best) > 1:
            listed = ", ".join(f"{v.name} {arrays[v.name].shape}" for v in best)
            raise UsageError(
                f"import: {file.name} gives {listed}; say which with --output-name, such as "
                f"--output-name {best[0].name}"
            )
        chosen += best
    return chosen


def _wants_mask(kind: str | None) -> bool:
    return kind is not None and OUTPUT_KINDS[kind].becomes == "mask"


def _output(
    name: str,
    array: NDArray[Any],
    graph: GraphProto,
    classes: int,
    view: InputView,
    request: OutputRequest,
    sides: tuple[int, int],
) -> OutputView | None:
    """Return how one output is to be read, None for one that is not a segmentation."""
    if array.ndim not in (3, 4):
        return None
    real = array.dtype.kind == "f" or array.dtype.name == "bfloat16"
    if _wants_mask(request.kind) or (not real and request.kind is None):
        layout = _mask_layout(array)
        kind = request.kind or ("binary-mask" if classes == 2 and white(array) else "mask")
        if layout is None or not like_image(mask_sides(array), sides):
            return None
        return OutputView(name, kind, layout, array.dtype.name)
    if not real:
        return None
    layout, count = _channel_axis(array, classes, view)
    if not like_image(_map_sides(array, layout), sides):
        return None
    if count == 1 and classes == 2:
        kind = request.kind or _binary_kind(name, array, graph)
        return OutputView(name, kind, layout, array.dtype.name, request.threshold)
    if count != classes or request.kind in BINARY_KINDS:
        return None
    kind = request.kind or ("probabilities" if _ends_in(graph, name, ("Softmax",)) else "logits")
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


def white(mask: NDArray[Any]) -> bool:
    """Whether a mask holds 0 and 255 alone, as pictures of one class do."""
    return bool(mask.max(initial=0) == 255 and np.isin(mask, (0, 255)).all())


def like_image(shape: tuple[int, ...], sides: tuple[int, int]) -> bool:
    """Whether a map of (height, width) shows an image of `sides`, at whatever scale.

    A pixel or two may have been lost on the way to a small map.
    """
    (height, width), (full_height, full_width) = shape, sides
    expected = full_width * height / full_height
    return abs(width - expected) <= max(2.0, 2.0 * full_width / full_height, 0.1 * width)


def _map_sides(array: NDArray[Any], layout: str) -> tuple[int, ...]:
    return array.shape[2:4] if layout == "nchw" else array.shape[1:3]


def _mask_layout(array: NDArray[Any]) -> str | None:
    if array.ndim == 3:
        return "nhw"
    if array.ndim == 4 and array.shape[1] == 1:
        return "nchw"
    return "nhwc" if array.ndim == 4 and array.shape[3] == 1 else None


def mask_sides(array: NDArray[Any]) -> tuple[int, int]:
    """Return height and width of a mask (N, H, W), or of one with an axis for its one channel."""
    _, height, width = _without_channels(array.shape, _mask_layout(array) or "nhw")
    return height, width


def _without_channels(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    return {"nhw": shape, "nchw": (shape[0], *shape[2:]), "nhwc": shape[:3]}[layout]


def _pixels(array: NDArray[Any], view: OutputView) -> int:
    height, width = _map_sides(array, view.layout)
    return int(height) * int(width)


def _no_output(arrays: Mapping[str, NDArray[Any]], classes: int, view: InputView) -> str:
    """Say what is wrong with all of them: where one has other channels, which these are."""
    for name, array in arrays.items():
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
    names = ", ".join(f"{name} {array.shape} {array.dtype}" for name, array in arrays.items())
    return (
        f"outputs are {names}; needed are float32 logits (N, classes, h, w) or an integer mask "
        "(N, H, W)"
    )
