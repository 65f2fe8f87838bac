"""The machine's own speed limit: the fastest matrix products onnxruntime reaches on it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from export.ort.sessions import open_session, run
from validate.speed.latency import WARM_UP

KINDS: Mapping[str, type] = {"float": np.float32, "int8": np.int8}
"""By kind of kernel (see `kernels.Kernel`), the weights' type; int8 has unsigned activations."""

QUIET_SECONDS = 0.5
"""A peak is reached when no run in this time was `_GAIN` faster than the best before."""

MOST_SECONDS = 4.0
_GAIN = 1.01


@dataclass(frozen=True)
class Product:
    """A convolution with `kernel` x `kernel` weights that keeps its image's size, `side` squared.

    Without a side it is the product of two matrices, inputs x inputs and inputs x outputs.
    """

    inputs: int
    outputs: int
    side: int | None = None
    kernel: int = 1

    @property
    def macs(self) -> int:
        """Those with padding count, as they do for the layers of a file."""
        rows = self.inputs if self.side is None else (self.side * self.kernel) ** 2
        return rows * self.inputs * self.outputs


PRODUCTS = {
    "MatMul": Product(1024, 1024),
    "Conv 1x1, 1024": Product(1024, 1024, 32),
    "Conv 3x3, 256": Product(256, 256, 33, 3),
    "Conv 3x3, 512": Product(512, 512, 33, 3),
    "Conv 3x3, 512 at 65": Product(512, 512, 65, 3),
}
"""More than one, because none is the fastest everywhere: the longer the sums (1x1 of 1024 inputs
1024 products, 3x3 of 512 inputs 4608), the less the work per output counts, int8's requantization
above all; but the larger a matrix, the less of it stays in the caches."""


def measure_peak(kind: str) -> float:
    """Return GMAC/s of the fastest of PRODUCTS on the CPUs of the calling thread.

    All have fixed weights, as a network's layers do, and are timed interleaved until none gets
    faster. The one fastest run counts: a limit is not what a busy moment leaves of it.
    """
    runs = {
        name: _runner(product_model(product, KINDS[kind])) for name, product in PRODUCTS.items()
    }
    for once in runs.values():
        for _ in range(WARM_UP):
            once()
    best = 0.0
    start = risen = perf_counter()
    while perf_counter() - risen < QUIET_SECONDS and perf_counter() - start < MOST_SECONDS:
        for name, once in runs.items():
            begin = perf_counter()
            once()
            end = perf_counter()
            speed = PRODUCTS[name].macs / (end - begin) / 1e9
            if speed > _GAIN * best:
                risen = end
            best = max(best, speed)
    return best


def product_model(product: Product, dtype: type) -> ModelProto:
    """Return a file of one node; `dtype` is the weights'."""
    kernel, side = product.kernel, product.side
    source: tuple[int, ...] = (product.inputs, product.inputs)
    target: tuple[int, ...] = (product.inputs, product.outputs)
    weight, operator = target, "MatMul"
    if side is not None:
        source, target = (1, product.inputs, side, side), (1, product.outputs, side, side)
        weight, operator = (product.outputs, product.inputs, kernel, kernel), "Conv"
    inputs = ["x", "w"]
    if dtype is np.int8:
        inputs, operator = ["x", "s", "zx", "w", "s", "zw", "s", "zx"], f"QLinear{operator}"
    node = helper.make_node(operator, inputs, ["y"])
    if side is not None:
        node.attribute.append(helper.make_attribute("pads", [kernel // 2] * 4))
    return _model(node, source, target, weight, dtype)


def _model(
    node: NodeProto,
    source: tuple[int, ...],
    target: tuple[int, ...],
    weight: tuple[int, ...],
    dtype: type,
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
    x, y = (helper.make_tensor_value_info(n, kind, s) for n, s in (("x", source), ("y", target)))
    graph = helper.make_graph([node], "peak", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def _runner(model: ModelProto) -> Callable[[], object]:
    session = open_session(model.SerializeToString())
    spec = session.get_inputs()[0]
    rng = np.random.default_rng(0)
    if spec.type == "tensor(uint8)":
        data: NDArray[np.generic] = rng.integers(0, 256, spec.shape, dtype=np.uint8)
    else:
        data = rng.normal(size=spec.shape).astype(np.float32)
    return partial(run, session, data)
