"""Several pixels at once."""

from typing import Any

import numpy as np
import pytest

from quantize.lossless.pixels import merge_pixels, merged, separated
from tests.quantize.lossless.graphs import assert_same, quantized


@pytest.mark.parametrize("target", ["cpu", "per-tensor"])
@pytest.mark.parametrize(
    ("size", "weights", "attributes"),
    [
        ((33, 33), (8, 3, 3, 3), {"strides": [2, 2]}),
        ((33, 33), (8, 3, 3, 3), {"strides": [2, 2], "pads": [1] * 4}),
        ((33, 34), (8, 3, 7, 7), {"strides": [2, 2], "pads": [3] * 4}),
        ((32, 35), (8, 3, 7, 7), {"strides": [2, 2], "pads": [3] * 4}),
        ((20, 24), (4, 1, 3, 3), {"pads": [1, 0, 2, 1]}),
        ((20, 24), (4, 4, 1, 5), {"strides": [1, 3]}),
        ((20, 24), (4, 3, 2, 2), {"strides": [4, 4]}),
    ],
)
def test_the_integers_are_the_same(
    size: tuple[int, int], weights: tuple[int, ...], attributes: dict[str, Any], target: str
) -> None:
    changed = assert_same(quantized(size, weights, target, **attributes), merge_pixels)
    assert [n.op_type for n in changed.graph.node].count("Conv") == 1


def test_weights_by_hand() -> None:
    # stride 2, kernel 3: the second result starts two pixels later and needs one of the next group
    weight = np.array([1, 2, 3], np.int8).reshape(1, 1, 1, 3)
    found = merged(weight, stride=2)  # (2 results, 4 pixels, 1, 2 groups)
    assert found.shape == (2, 4, 1, 2)
    assert found[:, :, 0, 0].tolist() == [[1, 2, 3, 0], [0, 0, 1, 2]]
    assert found[:, :, 0, 1].tolist() == [[0, 0, 0, 0], [3, 0, 0, 0]]


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (7, 2), (5, 3), (2, 4)])
def test_weights_are_found_again(kernel: int, stride: int) -> None:
    weight = np.random.default_rng(0).integers(-127, 128, (6, 3, kernel, kernel)).astype(np.int8)
    found = separated(merged(weight, stride), weight.shape)
    np.testing.assert_array_equal(found, weight)
    np.testing.assert_array_equal(separated(weight, weight.shape), weight)


@pytest.mark.parametrize(
    ("weights", "attributes"),
    [
        ((8, 5, 3, 3), {}),
        ((8, 3, 1, 1), {}),
        ((8, 3, 3, 3), {"dilations": [2, 2]}),
        ((8, 1, 3, 3), {"group": 2}),
    ],
)
def test_other_layers_stay(weights: tuple[int, ...], attributes: dict[str, Any]) -> None:
    made = quantized((20, 20), weights, **attributes)
    before = made.SerializeToString(deterministic=True)
    assert merge_pixels(made) == []
    assert made.SerializeToString(deterministic=True) == before
