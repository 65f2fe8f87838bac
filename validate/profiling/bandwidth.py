"""How fast this machine moves tensors: what an operator reaches that does next to nothing."""

from collections.abc import Mapping
from itertools import pairwise
from time import perf_counter

import numpy as np
from onnx import ModelProto, TensorProto, helper

from export.ort.sessions import open_session, run

SIZES = tuple(4**power for power in range(8, 14))
"""Bytes that an operator reads and writes, 64 KiB to 64 MiB: from the caches to beyond them."""

SECONDS = 0.15
"""Spent on every size."""

_CHAIN = 8
"""Operators in a row, so that starting the session does not count."""


def measure_bandwidth() -> dict[int, float]:
    """Return GB/s by bytes that an operator reads and writes, on the CPUs of the calling thread.

    The operator is Neg on float32, which onnxruntime spreads over its threads; half of the bytes
    are read, half are written. The fastest run counts, as in `peak.measure_peak`.
    """
    return {size: _measured(size) for size in SIZES}


def bandwidth_at(bandwidths: Mapping[int, float], amount: int) -> float:
    """Return GB/s that `amount` bytes reach at best: those of the next size below, or of any above.

    What is more can be moved as fast if it is less; the start of an operator counts less then.
    """
    below = max((size for size in bandwidths if size <= amount), default=min(bandwidths))
    return max(speed for size, speed in bandwidths.items() if size >= below)


def _measured(size: int) -> float:
    values = size // 2 // np.dtype(np.float32).itemsize
    session = open_session(_negations(values).SerializeToString())
    data = np.ones(values, np.float32)
    best = float("inf")
    start = perf_counter()
    while perf_counter() - start < SECONDS:
        begin = perf_counter()
        run(session, data)
        best = min(best, perf_counter() - begin)
    return _CHAIN * size / best / 1e9


def _negations(values: int) -> ModelProto:
    names = ["x", *(f"t{index}" for index in range(_CHAIN - 1)), "y"]
    nodes = [
        helper.make_node("Neg", [source], [target], name=target)
        for source, target in pairwise(names)
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [values]) for name in "xy")
    graph = helper.make_graph(nodes, "bandwidth", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
