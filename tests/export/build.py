"""Hand-made ONNX graphs for tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

Shape = Sequence[int | str | None]


def value(name: str, shape: Shape, kind: int = TensorProto.FLOAT) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def constant(name: str, array: Any) -> TensorProto:
    return numpy_helper.from_array(np.asarray(array), name)


def weight(name: str, *shape: int, seed: int = 0) -> TensorProto:
    return constant(name, np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def model(
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    constants: Sequence[TensorProto] = (),
    opset: int = 18,
) -> ModelProto:
    graph = helper.make_graph(nodes, "graph", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def saved(graph: ModelProto, folder: Path, name: str = "net") -> Path:
    path = folder / f"{name}.onnx"
    onnx.save(graph, path)
    return path


def plain_session(graph: ModelProto | Path) -> ort.InferenceSession:
    """Return a session of plain onnxruntime, without Segport's session code."""
    source = str(graph) if isinstance(graph, Path) else graph.SerializeToString()
    options = ort.SessionOptions()
    if "vnni" not in Path("/proc/cpuinfo").read_text():
        # or sums of u8 x s8 saturate at 16 bits, and a file gives other numbers than elsewhere
        options.add_session_config_entry("session.x64quantprecision", "1")
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def computed(graph: ModelProto | Path, **inputs: NDArray[Any]) -> list[NDArray[Any]]:
    """What plain onnxruntime gives, without Segport's session code."""
    return list(plain_session(graph).run(None, inputs))


def image(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def operators(graph: ModelProto | Path) -> list[str]:
    loaded = onnx.load(graph) if isinstance(graph, Path) else graph
    return [node.op_type for node in loaded.graph.node]
