from collections.abc import Callable

import pytest

from export.onnx_graph.graph import with_input_shape
from export.onnx_graph.onnx_cost import graph_cost
from export.ort.sessions import open_session
from validate.profiling import peak
from validate.profiling.peak import KINDS, PRODUCTS, Product, measure_peak, product_model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("product", PRODUCTS.values(), ids=PRODUCTS.keys())
def test_every_product_has_the_macs_that_it_says(product: Product, kind: str) -> None:
    model = product_model(product, KINDS[kind])
    session = open_session(model.SerializeToString())
    shape = tuple(session.get_inputs()[0].shape)
    cost = graph_cost(with_input_shape(model, shape))
    assert cost.macs == product.macs > 5e8
    assert not cost.uncounted


def test_macs_by_hand() -> None:
    assert PRODUCTS["MatMul"].macs == PRODUCTS["Conv 1x1, 1024"].macs == 1024 * 1024 * 1024
    assert PRODUCTS["Conv 3x3, 256"].macs == 33 * 33 * 9 * 256 * 256


def test_the_fastest_run_of_the_fastest_product_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is disturbed for a second, and later for two runs out of three."""
    now = 0.0
    runs = 0

    def runner(slowness: float) -> Callable[[], None]:
        def once() -> None:
            nonlocal now, runs
            runs += 1
            disturbed = now < 0.2 or runs % 3
            now += 0.005 * slowness * (3 if disturbed else 1)

        return once

    products = {"slow": Product(1024, 1024), "fast": Product(1024, 1024, 32)}
    monkeypatch.setattr(peak, "PRODUCTS", products)
    monkeypatch.setattr(peak, "product_model", lambda product, dtype: product)
    monkeypatch.setattr(peak, "_runner", lambda product: runner(1 if product.side else 4))
    monkeypatch.setattr(peak, "perf_counter", lambda: now)
    # 1024^3 MACs in 5 ms
    assert measure_peak("int8") == pytest.approx(214.748, abs=0.001)
    assert 0.7 < now < peak.MOST_SECONDS


def test_it_ends_on_a_machine_that_always_gets_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    now, step = 0.0, 0.1

    def once() -> None:
        nonlocal now, step
        now += step
        step *= 0.98

    monkeypatch.setattr(peak, "PRODUCTS", {"one": Product(8, 8)})
    monkeypatch.setattr(peak, "_runner", lambda model: once)
    monkeypatch.setattr(peak, "perf_counter", lambda: now)
    assert measure_peak("float") > 0
    # three runs to warm up, then runs 2 % shorter each until the time is over
    assert peak.MOST_SECONDS < now - 0.1 * (1 + 0.98 + 0.98**2) < peak.MOST_SECONDS + 0.1


def test_this_machine_has_one() -> None:
    # any CPU that onnxruntime runs on does more than 0.1 and less than a million
    assert 0.1 < measure_peak("int8") < 1e6
