from collections.abc import Callable

import pytest
from onnx import ModelProto

from export.graph import with_input_shape
from export.onnx_cost import graph_cost
from export.sessions import open_session
from validate.speed import peak
from validate.speed.peak import CANDIDATES, SIDE, measure_peak


@pytest.mark.parametrize(
    "build", [pytest.param(b, id=n) for kind in CANDIDATES.values() for n, b in kind.items()]
)
def test_every_candidate_is_one_product_of_the_same_size(build: Callable[[], ModelProto]) -> None:
    model = build()
    session = open_session(model.SerializeToString())
    shape = tuple(session.get_inputs()[0].shape)
    cost = graph_cost(with_input_shape(model, shape))
    assert cost.macs == SIDE**3 == 1024 * 1024 * 1024
    assert not cost.uncounted


def test_the_fastest_candidate_in_its_fastest_tenth_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    seconds = {"slow": 0.020, "fast": 0.005}
    runs = dict.fromkeys(seconds, 0)

    def runner(name: str) -> Callable[[], None]:
        def once() -> None:
            nonlocal now
            runs[name] += 1
            # every third run is disturbed
            now += seconds[name] * (3 if runs[name] % 3 == 0 else 1)

        return once

    monkeypatch.setattr(peak, "CANDIDATES", {"int8": {n: lambda n=n: n for n in seconds}})
    monkeypatch.setattr(peak, "_runner", runner)
    monkeypatch.setattr(peak, "perf_counter", lambda: now)
    # 1024^3 MACs in 5 ms
    assert measure_peak("int8") == pytest.approx(214.748, abs=0.001)
    assert runs["slow"] == runs["fast"] > 10


def test_this_machine_has_one() -> None:
    # any CPU that onnxruntime runs on does more than 0.1 and less than a million
    assert 0.1 < measure_peak("int8") < 1e6
