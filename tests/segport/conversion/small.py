"""Networks of a node or two, and what onnxruntime and LiteRT compute of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from export.onnx_graph.graph import infer_shapes, normalise
from export.ort.sessions import open_session, run
from segport.conversion.litert.running import open_litert
from segport.conversion.litert.writing import write

IMAGE = (1, 4, 9, 8)


def network(
    nodes: Sequence[str],
    shape: Sequence[int] = IMAGE,
    kind: int = TensorProto.FLOAT,
    opset: int = 18,
    **constants: Any,
) -> ModelProto:
    """A network from `x` to `y` of nodes in ONNX's own text, such as "y = Relu (x)"."""
    parsed = [onnx.parser.parse_node(text) for text in nodes]
    for index, node in enumerate(parsed):
        node.name = f"{node.op_type.lower()}_{index}"
    graph = helper.make_graph(
        parsed,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    return infer_shapes(
        normalise(helper.make_model(graph, opset_imports=opsets, ir_version=10)), data_prop=True
    )


def values(shape: Sequence[int], seed: int = 0, low: float = -2, high: float = 2) -> Any:
    """Seeded float32 numbers."""
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def shape_of(model: ModelProto) -> list[int]:
    return [one.dim_value for one in model.graph.input[0].type.tensor_type.shape.dim]


class _Images(CalibrationDataReader):
    def __init__(self, shape: Sequence[int]) -> None:
        self._left = [{"x": values(shape, seed)} for seed in range(3)]

    def get_next(self) -> dict[str, Any] | None:
        return self._left.pop() if self._left else None


def quantized(model: ModelProto, folder: Path, activation: QuantType = QuantType.QInt8) -> Any:
    """The network as onnxruntime's own quantizer writes it."""
    before, after = folder / "before.onnx", folder / "after.onnx"
    onnx.save(model, before)
    quantize_static(
        before,
        after,
        _Images(shape_of(model)),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=activation,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=[*QDQRegistry, *QLinearOpsRegistry, "PRelu"],
    )
    return infer_shapes(normalise(onnx.load(after)))


def both(model: ModelProto) -> tuple[NDArray[Any], NDArray[Any], dict[str, int]]:
    """What onnxruntime and LiteRT give, and the operators of the .tflite."""
    content, operators = write(model)
    image = values(shape_of(model), 7)
    (expected, *_) = run(open_session(model.SerializeToString()), image)
    return expected, open_litert(content)(image)[0], operators
