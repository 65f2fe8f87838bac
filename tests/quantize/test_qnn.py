"""Targets `qnn` and `qnn-a16w8` against the rules as onnxruntime's own tool sets them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType
from onnxruntime.quantization import quantize as ort_quantize
from onnxruntime.quantization.execution_providers.qnn import get_qnn_qdq_config

from export.artifact.artifact import Artifact, write_artifact
from export.ort.sessions import open_session, run
from quantize.graph.qdq import insert_qdq
from quantize.lint.lint import lint
from quantize.quantization import quantize
from quantize.settings import Settings
from quantize.targets import TARGETS
from validate.samples.samples import Samples

TYPES = {"qnn": QuantType.QUInt8, "qnn-a16w8": QuantType.QUInt16}
SHAPES = {"x": [1, 3, 8, 8], "c": [1, 4, 8, 8], "s": [1, 4, 8, 8], "r": [32, 8], "y": [32, 5]}


def _network(version: int) -> ModelProto:
    """A convolution, a sigmoid, something that only moves values, and a product with a matrix."""
    rng = np.random.default_rng(0)
    constants = {
        "w": rng.normal(size=(4, 3, 1, 1)).astype(np.float32),
        "b": rng.normal(size=4).astype(np.float32),
        "shape": np.array([32, 8]),
        "m": rng.normal(size=(8, 5)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv"),
        helper.make_node("Sigmoid", ["c"], ["s"], name="sigmoid"),
        helper.make_node("Reshape", ["s", "shape"], ["r"], name="reshape"),
        helper.make_node("MatMul", ["r", "m"], ["y"], name="matmul"),
    ]

    def described(*names: str) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, SHAPES[n]) for n in names]

    graph = helper.make_graph(
        nodes,
        "rules",
        described("x"),
        described("y"),
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
        value_info=described("c", "s", "r"),
    )
    opsets = [helper.make_opsetid("", version)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


class _Images(CalibrationDataReader):
    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self._left = [rng.normal(size=SHAPES["x"]).astype(np.float32) for _ in range(3)]

    def get_next(self) -> dict[str, Any] | None:
        return {"x": self._left.pop()} if self._left else None


def _grids(model: ModelProto) -> dict[str, tuple[str, int, float, int]]:
    """Type, number of scales, first scale and zero point of every tensor behind a DQ."""
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    made = {
        n.output[0]: n.input[0].removesuffix("_QuantizeLinear_Input")  # of what the graph gives
        for n in model.graph.node
        if n.op_type == "QuantizeLinear"
    }
    found = {}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear":
            scale, zero = (constants[name].reshape(-1) for name in node.input[1:3])
            name = made.get(node.input[0], node.input[0].removesuffix("_quantized"))
            found[name] = str(zero.dtype), scale.size, float(scale[0]), int(zero[0])
    return found


@pytest.mark.parametrize("name", TYPES)
def test_grids_are_those_of_onnxruntimes_configuration(name: str, tmp_path: Path) -> None:
    version = 21 if name == "qnn-a16w8" else 17
    model = _network(version)
    config = get_qnn_qdq_config(
        model, _Images(), activation_type=TYPES[name], weight_type=QuantType.QInt8, per_channel=True
    )
    ort_quantize(model, tmp_path / "theirs.onnx", config)
    theirs = _grids(onnx.load(tmp_path / "theirs.onnx"))
    session = open_session(_network(version).SerializeToString())
    seen = [run(session, image["x"])[0] for image in iter(_Images().get_next, None)]
    assert len(seen) == 3  # the ranges are theirs, so that only the rules can differ
    ranges = {
        key: _range(kind, scale, zero)
        for key, (kind, _, scale, zero) in theirs.items()
        if key in SHAPES
    }
    target = TARGETS[name]
    layers = [node.name for node in model.graph.node]
    ours = _grids(insert_qdq(_network(17), layers, target, ranges, {}))
    assert ours.keys() == theirs.keys()
    for key, (kind, scales, scale, zero) in theirs.items():
        assert ours[key][:2] == (kind, scales), key
        # 127 steps here, 127.5 there: a weight of -128 would not be symmetric
        assert ours[key][2] == pytest.approx(scale, rel=5e-3), key
        assert abs(ours[key][3] - zero) <= 1, key
    assert ours["w"][1] == 4 and ours["m"][1] == 1
    if name == "qnn-a16w8":
        assert ours["s"][2:] == (1 / 65536, 0)


def _range(kind: str, scale: float, zero: int) -> tuple[float, float]:
    return -zero * scale, (np.iinfo(kind).max - zero) * scale


@pytest.mark.parametrize("name", TYPES)
def test_files_keep_the_rules_and_lint_sees_those_that_do_not(
    name: str, tiny: Artifact, samples: Samples, tmp_path: Path
) -> None:
    made = quantize(tiny, "int8", tmp_path, samples=samples, settings=Settings(target=name))
    assert lint(made) == []
    assert "Qualcomm" in (made.manifest.int8 or {})["int8_unverified"]
    other = next(one for one in TYPES if one != name)
    manifest = made.manifest.model_copy(update={"target": other})
    swapped = write_artifact(made.path.read_bytes(), manifest, tmp_path / "swapped")
    rules = {finding.rule for finding in lint(swapped)}
    assert "types" in rules and ("opset" in rules) == (other == "qnn-a16w8")
