import pytest
from onnx import ModelProto

from quantize.search.evaluator import Effect
from quantize.search.order import ELEMENT, Shares, float_sets, shares
from quantize.search.ranker import Ranked
from tests.quantize.search.chains import CHANNELS, SIZE, chain


def _ranked(name: str, layers: str, damage: float) -> Ranked:
    return Ranked(name, frozenset(layers), Effect(0.0, 0.0), None, damage)


EVEN = Shares(dict.fromkeys("abcd", 0.25), dict.fromkeys("abcd", 0.25))


def test_each_step_adds_the_most_damage_per_work() -> None:
    ranked = [_ranked("first", "ab", 6.0), _ranked("second", "c", 4.0), _ranked("third", "d", 1.0)]
    # 6 / 0.5 = 12 loses against 4 / 0.25 = 16
    assert float_sets(ranked, EVEN, 1.0) == [
        frozenset(),
        frozenset("c"),
        frozenset("abc"),
        frozenset("abcd"),
    ]


def test_damage_undone_along_the_way_counts_too() -> None:
    ranked = [_ranked("ab", "ab", 3.0), _ranked("c", "c", 2.0), _ranked("b", "b", 1.5)]
    # a and b together undo 3.0 + 1.5 for 0.5, which beats c (2.0 for 0.25); b alone does not
    assert float_sets(ranked, EVEN, 1.0) == [frozenset(), frozenset("ab"), frozenset("abc")]


def test_layers_already_in_float_cost_nothing() -> None:
    ranked = [_ranked("a", "a", 9.0), _ranked("ab", "ab", 2.0), _ranked("cd", "cd", 3.0)]
    # after a, ab costs b only: 2 / 0.25 against 3 / 0.5
    assert float_sets(ranked, EVEN, 1.0)[2] == frozenset("ab")


def test_what_would_cost_too_many_macs_is_passed_over() -> None:
    found = Shares({"a": 0.6, "b": 0.1}, {"a": 0.6, "b": 0.1})
    ranked = [_ranked("a", "a", 9.0), _ranked("b", "b", 0.1)]
    assert float_sets(ranked, found, 0.5) == [frozenset(), frozenset("b")]
    assert float_sets(ranked, found, 0.05) == [frozenset()]


def test_ties_go_to_the_first() -> None:
    ranked = [_ranked("b", "b", 1.0), _ranked("a", "a", 1.0)]
    assert float_sets(ranked, EVEN, 1.0)[1] == frozenset("b")


@pytest.fixture(scope="module")
def model() -> ModelProto:
    return chain("AB")


def test_work_counts_macs_and_values_written(model: ModelProto) -> None:
    found = shares(model, (1, CHANNELS, SIZE, SIZE))
    # per pixel: A and B have 4 * 4 MACs and write 4 values, out 4 * 3 and 3, each Relu writes 4
    macs = {"A": 16, "B": 16, "out": 12}
    assert found.macs == pytest.approx({name: count / 44 for name, count in macs.items()})
    work = {
        "A": 16 + 4 * ELEMENT,
        "relu_A": 4 * ELEMENT,
        "B": 16 + 4 * ELEMENT,
        "relu_B": 4 * ELEMENT,
        "out": 12 + 3 * ELEMENT,
    }
    total = sum(work.values())
    assert found.work == pytest.approx({name: count / total for name, count in work.items()})
