"""Which version of an operator a file needs: older runtimes refuse those they do not know.

Source: LiteRT's tflite/tools/versioning/op_version.cc.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segport.conversion.litert.flatbuffer import Tensor

_INT8 = {
    "ADD": 2, "ARG_MAX": 2, "AVERAGE_POOL_2D": 2, "BATCH_MATMUL": 2, "CONCATENATION": 2,
    "CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "DEPTH_TO_SPACE": 2, "DEQUANTIZE": 2,
    "FULLY_CONNECTED": 4, "GATHER": 2, "LEAKY_RELU": 2, "LOGISTIC": 2, "MAXIMUM": 2,
    "MAX_POOL_2D": 2, "MEAN": 2, "MINIMUM": 2, "MUL": 2, "PAD": 2, "PADV2": 2, "QUANTIZE": 1,
    "REDUCE_MAX": 2, "RELU": 2, "RELU6": 2, "RESIZE_BILINEAR": 2, "RESIZE_NEAREST_NEIGHBOR": 2,
    "SLICE": 2, "SOFTMAX": 2, "SPACE_TO_DEPTH": 2, "SPLIT_V": 2, "STRIDED_SLICE": 2, "SUB": 2,
    "TANH": 2, "TRANSPOSE": 2,
}  # fmt: skip
"""With an int8 tensor among what is read first and what is given; without one it is 1."""
_CENTERED = 3
_GROUPED = 6
_REQUANTIZED = 2
_FIVE_AXES = 4


def version_of(
    code: str,
    inputs: Sequence["Tensor"],
    outputs: Sequence["Tensor"],
    fields: Mapping[str, Any],
) -> int:
    """Return the first version of an operator that has what is asked of it."""
    int8 = "int8" in (inputs[0].dtype, outputs[0].dtype)
    version = _INT8.get(code, 1) if int8 else 1
    if fields.get("halfPixelCenters") or (
        code == "RESIZE_NEAREST_NEIGHBOR" and fields.get("alignCorners")
    ):
        return _CENTERED
    if code == "CONV_2D" and inputs[0].shape[3] != inputs[1].shape[3]:
        return _GROUPED
    if code == "DEPTHWISE_CONV_2D" and (fields["dilationHFactor"], fields["dilationWFactor"]) != (
        1,
        1,
    ):
        return max(version, 2)
    if code == "QUANTIZE" and inputs[0].dtype == "int8":
        return _REQUANTIZED
    if code == "TRANSPOSE" and len(inputs[0].shape) > 4:
        return _FIVE_AXES
    return version
