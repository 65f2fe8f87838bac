from collections.abc import Mapping, Sequence
from math import inf, log10, sqrt

import pytest

from quantize.search.evaluator import Effect
from quantize.search.ranker import BLOCKS, MEASUREMENTS, SUSPECTS, rank
from quantize.search.switchable import Unit


def _units(count: int) -> list[Unit]:
    return [Unit(f"t{index}", (f"layer{index}",)) for index in range(count)]


class Network:
    """Independent errors: disagreement is the root of the units' summed squares."""

    def __init__(self, amplitudes: Mapping[int, float], noise: Mapping[int, float] | None = None):
        self._amplitudes = amplitudes
        self._noise = noise or {}
        self.asked: list[tuple[int, ...]] = []

    def __call__(self, quantized: Sequence[int]) -> Effect:
        self.asked.append(tuple(quantized))
        power = sum(self._amplitudes.get(unit, 0.0) ** 2 for unit in quantized)
        noise = power + sum(self._noise.get(unit, 0.0) for unit in quantized)
        return Effect(sqrt(power), -10 * log10(noise) if noise else inf)


def test_the_worst_comes_first_and_what_does_nothing_is_left_out() -> None:
    ranked = rank(_units(6), Network({1: 0.5, 2: 4.0, 4: 2.0}))
    assert [unit.name for unit in ranked] == ["t2", "t4", "t1"]
    assert [unit.damage for unit in ranked] == pytest.approx([16.0, 4.0, 0.25])
    assert ranked[0].layers == {"layer2"}


def test_each_is_measured_alone_and_the_worst_by_leaving_them_out() -> None:
    network = Network({index: 1.0 + index for index in range(40)})
    ranked = rank(_units(40), network)
    assert network.asked[0] == tuple(range(40))
    assert network.asked[1:41] == [(index,) for index in range(40)]
    left_out = [set(range(40)) - set(asked) for asked in network.asked[41:]]
    assert left_out == [{39 - index} for index in range(SUSPECTS)]
    assert [unit.without is not None for unit in ranked] == [i < SUSPECTS for i in range(40)]


def test_errors_that_need_each_other_count_by_what_leaving_them_out_saves() -> None:
    # t0 does nothing much alone, but without it the network is right
    def measure(quantized: Sequence[int]) -> Effect:
        both = {0, 1} <= set(quantized)
        return Effect(6.0 if both else 1.0 * len({0, 1} & set(quantized)), 10.0)

    first, second = rank(_units(3), measure)[:2]
    # the mean of 1**2 and 6**2 - 1**2
    assert (first.name, second.name) == ("t0", "t1")
    assert first.damage == pytest.approx((1 + 35) / 2)


def test_noise_decides_where_no_pixel_changes() -> None:
    ranked = rank(_units(4), Network({}, {0: 1e-6, 1: 1e-3, 3: 1e-5}))
    assert [unit.name for unit in ranked] == ["t1", "t3", "t0"]


def test_noise_never_outweighs_a_pixel() -> None:
    # one pixel of a megapixel, against logits that are noise through and through
    ranked = rank(_units(2), Network({0: 1e-4}, {1: 1.0}))
    assert [unit.name for unit in ranked] == ["t0", "t1"]


def test_ties_keep_the_order_of_the_graph() -> None:
    ranked = rank(_units(5), Network(dict.fromkeys(range(5), 1.0)))
    assert [unit.name for unit in ranked] == ["t0", "t1", "t2", "t3", "t4"]


@pytest.mark.parametrize("count", [BLOCKS + 1, 1000, 5000])
def test_culprits_among_many_units_are_found_in_few_measurements(count: int) -> None:
    culprits = {17: 3.0, count // 2: 2.0, count - 1: 1.0}
    network = Network(culprits | {5: 1e-3})
    ranked = rank(_units(count), network)
    assert len(network.asked) <= 1 + MEASUREMENTS + SUSPECTS
    assert [unit.name for unit in ranked[:3]] == ["t17", f"t{count // 2}", f"t{count - 1}"]
    assert [unit.layers for unit in ranked[:3]] == [{f"layer{index}"} for index in culprits]


def test_neighbours_not_told_apart_become_float_together() -> None:
    count = 100 * BLOCKS
    ranked = rank(_units(count), Network(dict.fromkeys(range(count), 1.0)))
    assert {layer for unit in ranked for layer in unit.layers} == {
        f"layer{index}" for index in range(count)
    }
    assert "t12700 ... t12799" in [unit.name for unit in ranked]


def test_progress_reaches_its_total() -> None:
    seen: list[tuple[int, int]] = []
    rank(_units(7), Network({}), lambda done, total: seen.append((done, total)))
    assert seen == [(index, 7) for index in range(1, 8)]
