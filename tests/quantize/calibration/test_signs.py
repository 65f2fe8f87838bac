"""Which tensors are known to hold no negative values, operator by operator."""

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper

from quantize.calibration.signs import nonnegative
from tests.export.build import constant, model, value

node = helper.make_node
SCALARS = {"zero": 0.0, "six": 6.0, "minus": -1.0}


def _known(*nodes: NodeProto) -> bool:
    """Whether the last node's output is, in a graph with input `x` and its relu `r`."""
    graph = model(
        [node("Relu", ["x"], ["r"]), *nodes],
        [value("x", (1, 3, 8, 8))],
        [value(nodes[-1].output[0], None)],
        [
            *(constant(name, np.float32(number)) for name, number in SCALARS.items()),
            constant("pads", np.array([0, 0, 1, 1, 0, 0, 1, 1])),
            constant("scales", np.array([1, 1, 2, 2], np.float32)),
            helper.make_tensor("shape", TensorProto.INT64, [2], [1, -1]),
        ],
    )
    return nodes[-1].output[0] in nonnegative(graph)


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (node("Relu", ["x"], ["y"]), True),
        (node("Sigmoid", ["x"], ["y"]), True),
        (node("Clip", ["x", "zero", "six"], ["y"]), True),
        (node("Clip", ["x", "", "six"], ["y"]), False),
        (node("Clip", ["x", "minus", "six"], ["y"]), False),
        (node("Clip", ["x"], ["y"], min=0.0, max=6.0), True),  # before operator set 11
        (node("LeakyRelu", ["r"], ["y"]), False),  # true, but nothing is known of it
        (node("MaxPool", ["r"], ["y"], kernel_shape=[2, 2]), True),
        (node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2]), False),
        (node("Add", ["r", "r"], ["y"]), True),
        (node("Add", ["r", "x"], ["y"]), False),
        (node("Add", ["r", "minus"], ["y"]), False),
        (node("Concat", ["r", "x"], ["y"], axis=1), False),
        (node("Concat", ["r", "r"], ["y"], axis=1), True),
        (node("Reshape", ["r", "shape"], ["y"]), True),
        (node("Pad", ["r", "pads"], ["y"]), True),
        (node("Pad", ["r", "pads", "minus"], ["y"]), False),
        (node("Pad", ["x", "pads"], ["y"]), False),
        (node("Resize", ["r", "", "scales"], ["y"], mode="linear"), True),
        (node("Resize", ["r", "", "scales"], ["y"], mode="cubic"), False),  # overshoots
        (node("Neg", ["r"], ["y"]), False),
    ],
    ids=lambda given: given.op_type if isinstance(given, NodeProto) else str(given),
)
def test_operators_that_rule_negative_values_out(last: NodeProto, expected: bool) -> None:
    assert _known(last) is expected


def test_knowledge_passes_through_a_chain_and_ends_at_a_convolution() -> None:
    pool = node("GlobalAveragePool", ["r"], ["p"])
    assert _known(pool, node("Flatten", ["p"], ["y"]))
    assert not _known(node("Conv", ["r", "w"], ["y"]))
