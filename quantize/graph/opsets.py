"""Bring a graph to a newer operator set."""

import onnx
from onnx import ModelProto

from export.common.errors import QuantizeError, first_line
from export.onnx_graph.graph import infer_shapes, opset


def at_opset(model: ModelProto, least: int) -> ModelProto:
    """Return a copy, of operator set `least` where the model's is older.

    Names of tensors stay. Raises QuantizeError where onnx cannot convert it.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    if opset(model) >= least:
        return copy
    try:
        newer = onnx.version_converter.convert_version(copy, least)
    except (RuntimeError, onnx.version_converter.ConvertError) as error:
        raise QuantizeError(
            f"the target needs opset {least}, to which onnx cannot convert this file of opset "
            f"{opset(model)} ({first_line(error)}); export it with opset {least}"
        ) from error
    return infer_shapes(newer)
