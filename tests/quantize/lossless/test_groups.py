"""Several groups at once."""

from typing import Any

import numpy as np
import pytest

from export.onnx_graph.onnx_cost import graph_cost
from quantize.lossless.groups import joined, merge_groups, parted
from tests.quantize.lossless.graphs import assert_same, quantized


@pytest.mark.parametrize("target", ["cpu", "per-tensor"])
@pytest.mark.parametrize(
    ("weights", "attributes", "groups"),
    [
        ((10, 5, 3, 3), {"group": 10, "pads": [1] * 4}, 1),
        ((16, 1, 3, 3), {"group": 8, "strides": [2, 2], "pads": [0, 1, 1, 0]}, 1),
        ((128, 16, 1, 1), {"group": 8}, 4),  # two groups of 16 channels make one of 32
        ((96, 8, 3, 3), {"group": 12, "dilations": [2, 2], "pads": [2] * 4}, 3),
        ((32, 8, 1, 1), {"group": 3 + 1}, 1),
    ],
)
def test_the_integers_are_the_same(
    weights: tuple[int, ...], attributes: dict[str, Any], groups: int, target: str
) -> None:
    made = quantized((12, 14), weights, target, **attributes)
    changed = assert_same(made, merge_groups)
    before, after = (graph_cost(one).macs for one in (made, changed))
    assert after * groups == before * attributes["group"]


def test_weights_by_hand() -> None:
    # four groups of one row and one channel; two become one, zero where the other's channel is
    weight = np.array([1, 2, 3, 4], np.int8).reshape(4, 1, 1, 1)
    found = joined(weight, groups=4, count=2)
    assert found[..., 0, 0].tolist() == [[1, 0], [0, 2], [3, 0], [0, 4]]
    np.testing.assert_array_equal(parted(found, 1, 4), weight)
    np.testing.assert_array_equal(parted(weight, 1, 4), weight)


@pytest.mark.parametrize(
    ("weights", "attributes"),
    [
        ((8, 1, 3, 3), {"group": 8}),  # depthwise
        ((64, 32, 1, 1), {"group": 2}),  # large enough
        ((8, 8, 3, 3), {}),
    ],
)
def test_other_layers_stay(weights: tuple[int, ...], attributes: dict[str, Any]) -> None:
    assert merge_groups(quantized((12, 12), weights, **attributes)) == []
