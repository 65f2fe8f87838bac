"""The versions that LiteRT's own op_version.cc gives the same operators (22f0209)."""

import pytest

from segport.conversion.litert.flatbuffer import Tensor
from segport.conversion.litert.grid import Grid
from segport.conversion.litert.versions import version_of


def _tensor(shape: tuple[int, ...], dtype: str = "float32", *scales: float) -> Tensor:
    return Tensor(0, shape, dtype, Grid(scales, (0,) * len(scales)) if scales else None)


_IMAGE, _INT8 = _tensor((1, 9, 9, 4)), _tensor((1, 9, 9, 4), "int8", 0.5)
_STILL = {"dilationHFactor": 1, "dilationWFactor": 1}
_APART = {"dilationHFactor": 2, "dilationWFactor": 2}
_FIVE = _tensor((1, 2, 3, 4, 5))


@pytest.mark.parametrize(
    ("code", "read", "result", "fields", "version"),
    [
        ("CONV_2D", [_IMAGE, _tensor((8, 3, 3, 4))], _IMAGE, {}, 1),
        ("CONV_2D", [_INT8, _tensor((8, 3, 3, 4), "int8")], _INT8, {}, 3),
        ("CONV_2D", [_INT8, _tensor((8, 3, 3, 2), "int8")], _INT8, {}, 6),
        ("DEPTHWISE_CONV_2D", [_IMAGE], _IMAGE, _STILL, 1),
        ("DEPTHWISE_CONV_2D", [_IMAGE], _IMAGE, _APART, 2),
        ("DEPTHWISE_CONV_2D", [_INT8], _INT8, _APART, 3),
        ("TRANSPOSE_CONV", [_IMAGE] * 4, _IMAGE, {}, 3),
        ("FULLY_CONNECTED", [_INT8] * 3, _INT8, {"keepNumDims": False}, 4),
        ("FULLY_CONNECTED", [_INT8] * 3, _INT8, {"keepNumDims": True}, 5),
        ("MUL", [_INT8, _INT8], _tensor((1, 9, 9, 4), "int8", 0.5), {}, 2),
        ("MUL", [_INT8, _INT8], _tensor((1, 9, 9, 4), "int8", 0.25), {}, 3),
        ("MUL", [_IMAGE, _IMAGE], _IMAGE, {}, 1),
        ("QUANTIZE", [_IMAGE], _INT8, {}, 1),
        ("QUANTIZE", [_INT8], _INT8, {}, 1),
        ("DEQUANTIZE", [_INT8], _IMAGE, {}, 2),
        ("DEQUANTIZE", [_tensor((2, 1), "int8", 0.5, 0.25)], _IMAGE, {}, 5),
        ("LEAKY_RELU", [_INT8], _INT8, {}, 1),
        ("RELU", [_INT8], _INT8, {}, 2),
        ("RESIZE_BILINEAR", [_INT8], _INT8, {"alignCorners": True}, 2),
        ("RESIZE_BILINEAR", [_INT8], _INT8, {"halfPixelCenters": True}, 3),
        ("RESIZE_NEAREST_NEIGHBOR", [_IMAGE], _IMAGE, {"alignCorners": True}, 3),
        ("MAXIMUM", [_FIVE, _FIVE], _FIVE, {}, 1),
        ("MAXIMUM", [_FIVE, _tensor((1,))], _FIVE, {}, 3),
        ("SUB", [_INT8, _tensor((1,), "int8")], _INT8, {}, 2),
        ("SLICE", [_FIVE], _FIVE, {}, 5),
        ("TRANSPOSE", [_FIVE], _FIVE, {}, 4),
        ("TRANSPOSE", [_INT8], _INT8, {}, 2),
        ("CAST", [_INT8], _IMAGE, {}, 3),
        ("FLOOR", [_IMAGE], _IMAGE, {}, 1),
    ],
)
def test_an_operator_has_the_version_that_litert_gives_it(
    code: str, read: list[Tensor], result: Tensor, fields: dict[str, bool], version: int
) -> None:
    assert version_of(code, read, [result], fields) == version
