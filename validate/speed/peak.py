"""The machine's own speed limit: the fastest matrix products onnxruntime reaches on it."""

from collections.abc import Callable
from functools import partial
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from export.sessions import open_session, run
from validate.latency import WARM_UP

SIDE = 1024
"""Rows, columns and depth: 1.07 GMACs over 3 matrices, far more work than memory traffic."""

_PIXELS = 32
"""SIDE pixels are a square of this height and width."""

_RUNS = 25

Build = Callable[[], ModelProto]


def _float_matmul() -> ModelProto:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    return _model([node], (SIDE, SIDE), (SIDE, SIDE), np.float32)


def _float_conv() -> ModelProto:
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    return _model([node], (1, SIDE, _PIXELS, _PIXELS), (SIDE, SIDE, 1, 1), np.float32)


def _int8_matmul() -> ModelProto:
    inputs = ["x", "s", "zx", "w", "s", "zw", "s", "zx"]
    node = helper.make_node("QLinearMatMul", inputs, ["y"])
    return _model([node], (SIDE, SIDE), (SIDE, SIDE), np.int8)


def _int8_conv() -> ModelProto:
    inputs = ["x", "s", "zx", "w", "s", "zw", "s", "zx"]
    node = helper.make_node("QLinearConv", inputs, ["y"])
    return _model([node], (1, SIDE, _PIXELS, _PIXELS), (SIDE, SIDE, 1, 1), np.int8)


CANDIDATES: dict[str, dict[str, Build]] = {
    "float": {"MatMul": _float_matmul, "Conv 1x1": _float_conv},
    "int8": {"QLinearMatMul": _int8_matmul, "QLinearConv 1x1": _int8_conv},
}
"""By kind of kernel (see `kernels.Kernel`); int8 is unsigned activations, signed weights."""


def measure_peak(kind: str) -> float:
    """Return GMAC/s of the fastest of CANDIDATES[kind] on the CPUs of the calling thread.

    Each is a product of two SIDE x SIDE matrices with fixed weights, as a network's are, timed
    in turns; the fastest tenth of its runs counts, because a limit is not what a busy moment
    leaves of it.
    """
    runs = [_runner(build()) for build in CANDIDATES[kind].values()]
    times: list[list[float]] = [[] for _ in runs]
    for done in range(WARM_UP + _RUNS):
        for once, taken in zip(runs, times, strict=True):
            start = perf_counter()
            once()
            if done >= WARM_UP:
                taken.append(perf_counter() - start)
    best = min(float(np.percentile(taken, 10)) for taken in times)
    return SIDE**3 / best / 1e9


def _runner(model: ModelProto) -> Callable[[], object]:
    session = open_session(model.SerializeToString())
    spec = session.get_inputs()[0]
    rng = np.random.default_rng(0)
    if spec.type == "tensor(uint8)":
        data: NDArray[np.generic] = rng.integers(0, 256, spec.shape, dtype=np.uint8)
    else:
        data = rng.normal(size=spec.shape).astype(np.float32)
    return partial(run, session, data)


def _model(
    nodes: list[NodeProto], source: tuple[int, ...], weight: tuple[int, ...], dtype: type
) -> ModelProto:
    rng = np.random.default_rng(0)
    quantized = dtype is np.int8
    values = rng.integers(-127, 128, weight) if quantized else rng.normal(size=weight)
    constants = [numpy_helper.from_array(values.astype(dtype), "w")]
    if quantized:
        constants += [
            numpy_helper.from_array(np.asarray(value), name)
            for name, value in (("s", np.float32(0.02)), ("zx", np.uint8(128)), ("zw", np.int8(0)))
        ]
    kind = TensorProto.UINT8 if quantized else TensorProto.FLOAT
    ends = [helper.make_tensor_value_info(name, kind, source) for name in "xy"]
    graph = helper.make_graph(nodes, "peak", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
