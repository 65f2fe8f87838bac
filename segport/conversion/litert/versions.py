"""Which version of an operator a file needs: older runtimes refuse those they do not know.

Source: LiteRT's tflite/tools/versioning/op_version.cc (22f0209), for the types and the forms that
files of Segport have.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segport.conversion.litert.flatbuffer import Tensor


@dataclass(frozen=True)
class Use:
    """One operator of a file: what it reads, what it gives, its attributes."""

    inputs: Sequence["Tensor"]
    outputs: Sequence["Tensor"]
    fields: Mapping[str, Any]

    @property
    def int8(self) -> bool:
        """Whether what is read first is int8."""
        return self.inputs[0].dtype == "int8"

    @property
    def rank(self) -> int:
        """Axes of what is read first."""
        return len(self.inputs[0].shape)

    @property
    def broadcasts(self) -> bool:
        """Whether the first two inputs differ in shape and one has more than four axes."""
        shapes = [tensor.shape for tensor in self.inputs[:2]]
        return len(set(shapes)) > 1 and max(map(len, shapes)) > 4


def version_of(
    code: str,
    inputs: Sequence["Tensor"],
    outputs: Sequence["Tensor"],
    fields: Mapping[str, Any],
) -> int:
    """Return the first version of an operator that has what is asked of it."""
    rule = _RULES.get(code)
    return rule(Use(inputs, outputs, fields)) if rule else 1


def _typed(use: Use) -> int:
    return 2 if use.int8 else 1


def _convolution(use: Use) -> int:
    grouped = use.inputs[0].shape[3] != use.inputs[1].shape[3]
    return 6 if grouped else 3 if use.int8 else 1


def _depthwise(use: Use) -> int:
    dilated = (use.fields["dilationHFactor"], use.fields["dilationWFactor"]) != (1, 1)
    return 3 if use.int8 else 2 if dilated else 1


def _transposed_convolution(use: Use) -> int:
    return 3 if len(use.inputs) == 4 else 2 if use.inputs[1].dtype == "int8" else 1


def _fully_connected(use: Use) -> int:
    if len(use.inputs) == 2:
        return 6
    return 5 if use.fields.get("keepNumDims") else 4 if use.int8 else 1


def _product(use: Use) -> int:
    """A product that is requantized by 1 or more came later than int8."""
    grids = [tensor.grid for tensor in (*use.inputs[:2], use.outputs[0])]
    first, second, result = (grid.scales[0] if grid else 0.0 for grid in grids)
    return 3 if result and first * second / result >= 1 else _typed(use)


def _dequantized(use: Use) -> int:
    grid = use.inputs[0].grid
    return 5 if use.int8 and grid and len(grid.scales) > 1 else _typed(use)


def _quantized(use: Use) -> int:
    grid = use.outputs[0].grid
    return 3 if grid and len(grid.scales) > 1 else 1


def _centered(use: Use) -> int:
    return 3 if use.fields.get("halfPixelCenters") else _typed(use)


def _nearest(use: Use) -> int:
    return 3 if use.fields.get("alignCorners") else _centered(use)


def _broadcast(use: Use) -> int:
    return 3 if use.broadcasts else _typed(use)


def _divided(use: Use) -> int:
    return 2 if use.broadcasts else 1


def _gathered(use: Use) -> int:
    return 5 if use.fields.get("batchDims") else _typed(use)


def _cast(use: Use) -> int:
    return 3 if "int8" in (use.inputs[0].dtype, use.outputs[0].dtype) else 1


def _from_five_axes(version: int) -> Callable[[Use], int]:
    return lambda use: version if use.rank > 4 else _typed(use)


def _transposed(use: Use) -> int:
    return 6 if use.rank > 5 else _from_five_axes(4)(use)


_RULES: Mapping[str, Callable[[Use], int]] = {
    "ABS": _typed,
    "ADD": _typed,
    "ARG_MAX": _typed,
    "AVERAGE_POOL_2D": _typed,
    "BATCH_MATMUL": _typed,
    "CAST": _cast,
    "CONCATENATION": _typed,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "DEPTH_TO_SPACE": _typed,
    "DEQUANTIZE": _dequantized,
    "DIV": _divided,
    "EXP": _typed,
    "FULLY_CONNECTED": _fully_connected,
    "GATHER": _gathered,
    "GELU": _typed,
    "LOGISTIC": _typed,
    "MAXIMUM": _broadcast,
    "MAX_POOL_2D": _typed,
    "MEAN": _typed,
    "MINIMUM": _broadcast,
    "MIRROR_PAD": _typed,
    "MUL": _product,
    "PAD": _from_five_axes(4),
    "PADV2": _from_five_axes(4),
    "QUANTIZE": _quantized,
    "REDUCE_MAX": _typed,
    "RELU": _typed,
    "RELU6": _typed,
    "RESIZE_BILINEAR": _centered,
    "RESIZE_NEAREST_NEIGHBOR": _nearest,
    "SLICE": _from_five_axes(5),
    "SOFTMAX": _typed,
    "SPACE_TO_DEPTH": _typed,
    "SPLIT_V": _typed,
    "STRIDED_SLICE": _from_five_axes(4),
    "SUB": _broadcast,
    "SUM": _typed,
    "TANH": _typed,
    "TRANSPOSE": _transposed,
    "TRANSPOSE_CONV": _transposed_convolution,
}
"""By operator; the others have had one version since they exist."""
