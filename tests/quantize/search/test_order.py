from quantize.search.evaluator import Effect
from quantize.search.order import Shares, float_sets, orders
from quantize.search.ranker import BLOCKS, MEASUREMENTS, Block, rank, units


def _block(layers: str, disagreement: float) -> Block:
    return Block(tuple(layers), Effect(disagreement, 0.0))


EVEN = Shares(dict.fromkeys("abcd", 0.25), dict.fromkeys("abcd", 0.25))


def _names(order: list[Block]) -> list[str]:
    return ["".join(block.layers) for block in order]


def test_each_set_adds_a_block_and_the_last_has_everything() -> None:
    order = [_block("c", 2.5), _block("ab", 3.0), _block("d", 1.0)]
    assert float_sets(order, EVEN, 1.0) == [
        frozenset(),
        frozenset("c"),
        frozenset("abc"),
        frozenset("abcd"),
    ]


def test_a_block_that_leaves_too_little_in_int8_is_passed_over() -> None:
    order = [_block("ab", 9.0), _block("c", 2.5), _block("d", 1.0)]
    assert float_sets(order, EVEN, 0.3) == [frozenset(), frozenset("c")]


def test_first_comes_damage_per_work_or_macs_then_damage_then_what_can_be_int8_alone() -> None:
    blocks = [_block("ab", 3.0), _block("c", 2.5), _block("d", 1.0)]
    macs = {"a": 0.3, "b": 0.1, "c": 0.59, "d": 0.01}
    found = [_names(order) for order in orders(blocks, Shares(macs, EVEN.work), 0.3)]
    assert found == [
        ["c", "ab", "d"],  # per work 25, 9 / 0.5 = 18, 4
        ["d", "ab", "c"],  # per MACs 100, 9 / 0.4 = 22.5, 6.25 / 0.59 = 10.6
        ["ab", "c", "d"],  # 9, 6.25, 1
        ["ab", "d", "c"],  # c alone in int8
        ["c", "d", "ab"],
    ]


def test_what_was_not_measured_becomes_float_first() -> None:
    blocks = [_block("a", 3.0), Block(("b",), None), _block("c", 5.0)]
    assert {_names(order)[0] for order in orders(blocks, EVEN, 1.0)} == {"b"}


def test_layers_without_macs_go_with_the_one_before_them() -> None:
    macs = {"conv1": 1.0, "conv2": 1.0}
    layers = ["pad", "conv1", "relu1", "conv2", "add"]
    assert units(layers, macs) == [("pad", "conv1", "relu1"), ("conv2", "add")]


def test_the_worst_block_is_halved_until_it_is_one_layer() -> None:
    parts = [(str(index),) for index in range(100)]
    measured: list[int] = []

    def measure(layers: object) -> Effect:
        names = set(layers)  # type: ignore[call-overload]
        measured.append(len(names))
        return Effect(5.0 if "37" in names else 0.1, 0.0)

    blocks = rank(parts, measure, lambda text: None, lambda: False)
    assert max(blocks, key=lambda block: block.damage).layers == ("37",)
    assert [layer for block in blocks for layer in block.layers] == [p[0] for p in parts]
    assert BLOCKS <= len(measured) <= MEASUREMENTS


def test_nothing_more_is_measured_when_time_is_over() -> None:
    parts = [(str(index),) for index in range(100)]
    measured: list[object] = []

    def measure(layers: object) -> Effect:
        measured.append(layers)
        return Effect(1.0, 0.0)

    blocks = rank(parts, measure, lambda text: None, lambda: len(measured) == 3)
    assert [block.alone is not None for block in blocks] == [True] * 3 + [False] * (BLOCKS - 3)
