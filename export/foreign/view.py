"""The input conventions of a third-party file, translated to Segport's.

Segport's files take float32 RGB (N, 3, H, W) and give logits (N, classes, H, W) or a mask
(N, H, W). A view says what is different in a file, of its answer that in
`export.foreign.output_view`; `export.foreign.border` makes it alike, in the graph.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, ValueInfoProto

from export.artifact.manifest import ColourOrder
from export.common.errors import ArtifactError, UsageError
from export.common.tables import known
from export.foreign.conventions import CHANNELS, LAYOUTS
from export.onnx_graph.graph import dims, dtype_name

MODES: dict[int, ColourOrder] = {1: "L", 3: "RGB", 4: "RGBA"}
"""What an artifact takes instead, by number of channels."""
_IMAGE_TYPES = ("float32", "float16", "bfloat16", "float64", "uint8")
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
        return [2, 1, 0, 3][: CHANNELS[self.channels].count] if self.channels[0] == "b" else []

    def fed(self, image: NDArray[np.float32]) -> NDArray[Any]:
        """Turn Segport's input, float32 (N, C, H, W), into the file's."""
        ordered = image[:, self.order] if self.order else image
        laid_out = ordered.transpose(0, 2, 3, 1) if self.layout == "nhwc" else ordered
        if self.dtype == "uint8":
            return np.ascontiguousarray(np.rint(laid_out).astype(np.uint8))
        return np.ascontiguousarray(laid_out.astype(self.dtype))


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
    if layout is not None:
        known("layout", layout, LAYOUTS)
    if channels is not None:
        known("channels", channels, CHANNELS)
    needed = "needed is one float32 (N, 3, H, W), or such with 1 or 4 channels, (N, H, W, C), uint8"
    if len(inputs) != 1 or not _may_be_image(inputs[0]):
        raise ArtifactError(f"{file}: inputs are {described}; {needed}")
    shape = dims(inputs[0])
    axes = layout or _layout(shape)
    count = shape[3] if axes == "nhwc" else shape[1]
    if count is None:
        count = CHANNELS[channels or "rgb"].count
    fitting = [name for name, order in CHANNELS.items() if order.count == count]
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
    return InputView(inputs[0].name, axes, channels or fitting[0], dtype_name(inputs[0]), shape)


def _layout(shape: Shape) -> str:
    last_only = shape[1] not in (1, 3, 4, None) or (shape[1] is None and shape[3] is not None)
    return "nhwc" if last_only and shape[3] in (1, 3, 4) else "nchw"


def _may_be_image(value: ValueInfoProto) -> bool:
    kind = value.type.tensor_type.elem_type
    if kind == TensorProto.UNDEFINED or dtype_name(value) not in _IMAGE_TYPES:
        return False
    return len(dims(value)) == 4
