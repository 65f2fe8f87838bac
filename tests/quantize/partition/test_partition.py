"""What int8 pays for."""

import numpy as np
from onnx import ModelProto, helper

from export.onnx_graph.graph import infer_shapes
from quantize.partition.partition import estimate, paying
from tests.export.build import model, value, weight

VNNI = "vnni"


def chain(channels: int, kernel: int) -> ModelProto:
    """Two convolutions, with an activation between them that no target computes in int8."""
    conv = {"kernel_shape": [kernel] * 2, "pads": [kernel // 2] * 4}
    shape = (channels, channels, kernel, kernel)
    made = model(
        [
            helper.make_node("Conv", ["input", "v"], ["a"], name="first", **conv),
            helper.make_node("Softplus", ["a"], ["b"], name="between"),
            helper.make_node("Conv", ["b", "w"], ["logits"], name="second", **conv),
        ],
        [value("input", (1, channels, 48, 48))],
        [value("logits", (1, channels, 48, 48))],
        [weight("v", *shape), weight("w", *shape)],
    )
    return infer_shapes(made)


def chosen(made: ModelProto) -> list[str]:
    layers = [node for node in made.graph.node if node.op_type == "Conv"]
    return [node.name for node in paying(made, layers, estimate(made, VNNI), VNNI)]


def test_large_convolutions_pay_for_their_conversions() -> None:
    # 1.06 ms in float, 0.27 in int8, 0.19 for both conversions
    assert chosen(chain(64, 3)) == ["first", "second"]


def test_small_ones_do_not() -> None:
    # 37 us in float, 40 in int8
    assert chosen(chain(16, 1)) == []


def test_the_same_network_gets_the_same_layers() -> None:
    assert len({tuple(chosen(chain(64, 3))) for _ in range(3)}) == 1
    assert np.isclose(estimate(chain(64, 3), VNNI), estimate(chain(64, 3), VNNI))
