from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.validate.profiling.test_layers import constant, model, saved, value, weight
from validate.profiling import bandwidth
from validate.profiling.bandwidth import SIZES, bandwidth_at, measure_bandwidth
from validate.profiling.kernels import Kernel
from validate.profiling.layers import Layers
from validate.profiling.roofline import Roof, roof_of

SPEEDS = {1000: 20.0, 4000: 40.0, 16000: 5.0}


@pytest.mark.parametrize(
    ("amount", "speed"), [(10, 40), (1000, 40), (4000, 40), (15999, 40), (16000, 5), (10**9, 5)]
)
def test_what_is_more_may_be_as_fast_but_not_what_is_less(amount: int, speed: float) -> None:
    assert bandwidth_at(SPEEDS, amount) == speed


def test_roofs_by_hand() -> None:
    # 10 M products at 100 G/s: 0.1 ms; 2000 bytes at 40 GB/s: 0.00005 ms
    assert roof_of(10_000_000, 100.0, 2000, SPEEDS) == Roof(pytest.approx(0.1), "MACs")
    # 1 MB at 5 GB/s: 0.2 ms
    assert roof_of(10_000_000, 100.0, 1_000_000, SPEEDS) == Roof(pytest.approx(0.2), "bytes")
    assert roof_of(0, None, 1_000_000, SPEEDS) == Roof(pytest.approx(0.2), "bytes")


def test_bandwidth_is_that_of_the_fastest_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight operators that move 64 KiB in 20 microseconds, and in 10 once: 52.4 GB/s."""
    now, runs = 0.0, 0

    def once(*_: object) -> None:
        nonlocal now, runs
        runs += 1
        now += 10e-6 if runs == 3 else 20e-6

    monkeypatch.setattr(bandwidth, "SIZES", (65536,))
    monkeypatch.setattr(bandwidth, "run", once)
    monkeypatch.setattr(bandwidth, "perf_counter", lambda: now)
    assert measure_bandwidth() == {65536: pytest.approx(8 * 65536 / 10e-6 / 1e9)}


@pytest.mark.slow
def test_this_machine_has_one() -> None:
    found = measure_bandwidth()
    assert list(found) == list(SIZES) and all(0.05 < speed < 1e5 for speed in found.values())


def test_bytes_by_hand(tmp_path: Path) -> None:
    """A kernel's activations are the profiler's, its weights are those of onnxruntime's graph."""
    shape = (1, 8, 4, 4)
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["y"], name="conv")]
    constants = [weight("w", 16, 8, 3, 3), constant("b", np.zeros(16, np.float32))]
    graph = model(nodes, [value("x", shape)], [value("y", (1, 16, 4, 4))], constants)
    layers = Layers(onnx.load(saved(graph, tmp_path)), graph, shape)
    activations = 4 * (8 + 16) * 16
    conv = Kernel("conv", "Conv", "float", (1, 16, 4, 4), 1.0, activations)
    assert layers.bytes_of(conv) == activations + 4 * (16 * 8 * 9 + 16)
    # what gives the memory that it reads moves nothing
    assert layers.bytes_of(Kernel("conv", "Reshape", "float", (1, 256), 1.0, 0)) == 0
