"""Padding that is not multiplied."""

from typing import Any

import pytest

from export.onnx_graph.graph import with_input_shape
from export.onnx_graph.onnx_cost import graph_cost
from export.ort.sessions import open_session, session_options
from quantize.lossless import padding
from quantize.lossless.padding import Block, blocks, skip_padding
from tests.quantize.lossless.graphs import assert_same, quantized

WEIGHTS = (8, 4, 3, 3)


@pytest.fixture(autouse=True)
def small_layers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(padding, "MACS", 0)


def dilated(size: tuple[int, int], rate: int, weights: tuple[int, ...] = WEIGHTS) -> Any:
    return quantized(size, weights, dilations=[rate] * 2, pads=[rate] * 4)


@pytest.mark.parametrize(
    ("size", "rate"), [((33, 33), 18), ((33, 33), 12), ((33, 25), 9), ((9, 30), 12)]
)
def test_the_integers_are_the_same(size: tuple[int, int], rate: int) -> None:
    made = dilated(size, rate)
    changed = assert_same(made, skip_padding)
    macs = [graph_cost(with_input_shape(one, (1, 4, *size))).macs for one in (made, changed)]
    inside = [sum(0 <= p + d < n for p in range(n) for d in (-rate, 0, rate)) for n in size]
    assert macs == [8 * 4 * 9 * size[0] * size[1], 8 * 4 * inside[0] * inside[1]]


def test_one_scale_for_all_rows() -> None:
    made = quantized((33, 33), WEIGHTS, "per-tensor", dilations=[18] * 2, pads=[18] * 4)
    assert_same(made, skip_padding)


@pytest.mark.parametrize("target", ["cpu", "per-tensor"])
def test_cpus_whose_products_saturate_load_the_file(target: str) -> None:
    """There sessions get this setting; onnxruntime refused weights that shared a zero point."""
    made = quantized((33, 33), WEIGHTS, target, dilations=[18] * 2, pads=[18] * 4)
    assert skip_padding(made) == ["conv"]
    options = session_options()
    options.add_session_config_entry("session.x64quantprecision", "1")
    open_session(made.SerializeToString(), options=options)


def test_the_file_holds_the_weight_once() -> None:
    made = dilated((33, 33), 18, (256, 64, 3, 3))
    changed = assert_same(made, skip_padding)  # its blocks have 25 taps together
    assert changed.ByteSize() < made.ByteSize() + 256 * 64 * 9 // 2


def test_blocks_by_hand() -> None:
    # of 33 pixels the first 15 lack the tap 18 before, the last 15 the one 18 after them
    assert blocks(33, 3, 18, 18, 18) == [
        Block(0, 15, 1, 3),
        Block(15, 18, 1, 2),
        Block(18, 33, 0, 2),
    ]
    assert blocks(10, 3, 1, 1, 1) == [Block(0, 1, 1, 3), Block(1, 9, 0, 3), Block(9, 10, 0, 2)]
    assert blocks(10, 3, 2, 0, 0) == [Block(0, 6, 0, 3)]


@pytest.mark.parametrize("rate", [1, 3, 6])
def test_little_padding_stays(rate: int) -> None:
    assert skip_padding(dilated((33, 33), rate)) == []


def test_padding_beyond_the_kernel_stays() -> None:
    made = quantized((12, 12), WEIGHTS, dilations=[9, 9], pads=[18] * 4)
    assert skip_padding(made) == []


@pytest.mark.parametrize(("kernel", "rate", "pad"), [(2, 30, 12), (4, 12, 16)])
def test_pixels_that_see_the_padding_alone_stay(kernel: int, rate: int, pad: int) -> None:
    """A kernel of even size has no tap in its centre: of 9 pixels some see none at all."""
    attributes = {"dilations": [rate] * 2, "pads": [pad, pad, pad + 2, pad + 2]}
    assert skip_padding(quantized((9, 9), (8, 4, kernel, kernel), **attributes)) == []


def test_blocks_without_a_tap_by_hand() -> None:
    # two taps 4 apart, 2 pixels, 3 of padding: one tap sees the first pixel, the other the last
    assert blocks(2, 2, 4, 3, 3) == [Block(0, 1, 1, 2), Block(1, 3, 0, 0), Block(3, 4, 0, 1)]


def test_small_layers_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(padding, "MACS", 8 * 4 * 9 * 33 * 33 + 1)
    assert skip_padding(dilated((33, 33), 18)) == []
