"""Dead channels: what the int8 file of a network with some looks like, repaired or not."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from quantize.calibration.channel_statistics import ChannelMinMax
from quantize.graph.plan import Plan, build
from quantize.rewrites.dead_channels import repair_dead_channels, suspicious_inputs
from quantize.targets import TARGETS
from tests.export.build import constant
from tests.quantize.rewrites.graphs import (
    assert_follows,
    constants,
    conv,
    graph,
    images,
    node,
    tensors,
    weights,
)

DEAD = 2


def network(magnitude: float | None = None, bias: float = 0.5, **attributes: Any) -> ModelProto:
    """Channel DEAD of convolution `a` has weights of `magnitude` and a bias of its own."""
    groups = attributes.get("group", 1)
    values = {t.name: numpy_helper.to_array(t).copy() for t in weights("a", 6, 3 // groups, 3, 3)}
    if magnitude is not None:
        values["a.w"][DEAD] *= np.float32(magnitude / np.abs(values["a.w"][DEAD]).max())
        values["a.b"][DEAD] = bias
    nodes = [
        conv("a", "input", pads=[1] * 4, **attributes),
        node("Relu", ["a"], "y"),
        conv("b", "y", "logits"),
    ]
    first = [constant(name, array) for name, array in values.items()]
    return graph(nodes, [*first, *weights("b", 3, 6, 1, 1, seed=1)])


def int8(made: ModelProto) -> ModelProto:
    ranges = {
        name: (float(values.min()), float(values.max()))
        for name, values in tensors(made, ["a", "y"], images()).items()
    } | {"input": (float(np.min(images())), float(np.max(images())))}
    ranges["a"] = ranges["y"]
    return build(Plan(made, TARGETS["cpu"], ("conv_a", "node_y"), ranges, {}))


def grids(quantized: ModelProto) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Scales of the weight and integers of the bias of `a`."""
    found = constants(quantized)
    producers = {name: n for n in quantized.graph.node for name in n.output}
    layer = next(n for n in quantized.graph.node if n.name == "conv_a")
    weight, bias = (producers[name] for name in layer.input[1:])
    return found[weight.input[1]], np.asarray(found[bias.input[0]], np.int32)


def extremes(pictures: list[NDArray[np.float32]]) -> ChannelMinMax:
    found = ChannelMinMax()
    found.low, found.high = np.min(pictures, (0, 1, 3, 4)), np.max(pictures, (0, 1, 3, 4))
    return found


def repaired(made: ModelProto) -> ModelProto:
    change = repair_dead_channels(made, {"input": extremes(images())})
    assert not change.rescaled
    return change.model


@pytest.mark.parametrize(("magnitude", "bias"), [(1e-12, 0.0), (1e-12, 0.5), (1e-30, -3.0)])
def test_weights_next_to_zero_become_zero(magnitude: float, bias: float) -> None:
    made = network(magnitude, bias)
    after = constants(repaired(made))
    assert not after["a.w"][DEAD].any()
    rest = [i for i in range(6) if i != DEAD]
    np.testing.assert_array_equal(after["a.w"][rest], constants(made)["a.w"][rest])
    np.testing.assert_array_equal(after["a.b"], constants(made)["a.b"])


@pytest.mark.parametrize(("magnitude", "bias"), [(1e-12, 0.5), (1e-6, 40.0)])
def test_the_int8_file_of_the_repaired_network_is_sound(magnitude: float, bias: float) -> None:
    made = network(magnitude, bias)
    scales, integers = grids(int8(made))
    # without the repair the bias is pressed against the end of int32, or the scale is dead
    assert scales[DEAD] < 1e-9 or abs(int(integers[DEAD])) > 0.99 * 2**31
    sound = repaired(made)
    scales, integers = grids(int8(sound))
    assert scales.min() > 1e-9
    assert np.abs(integers.astype(np.int64)).max() < 2**24
    expected, found = (tensors(m, ["logits"], images())["logits"] for m in (made, int8(sound)))
    noise = float(((found - expected) ** 2).mean() / expected.var())
    assert 10 * np.log10(noise) < -30


def test_the_function_stays() -> None:
    made = network(1e-6, 40.0)
    change = repair_dead_channels(made, {"input": extremes(images())})
    assert change.summary == "1 layers with dead channels in conv_a (1)"
    assert_follows(made, change, images())


def test_a_small_weight_that_large_inputs_make_matter_is_no_dead_channel() -> None:
    made = network(1e-6, 40.0)
    loud = extremes([image * 1e6 for image in images()])
    change = repair_dead_channels(made, {"input": loud})
    assert change.model.graph == made.graph
    assert change.summary == "0 layers with dead channels"


def test_each_group_looks_at_its_own_inputs() -> None:
    made = network(1e-6, 40.0, group=3)  # channels 2 and 3 see input 1 only
    loud = extremes(images())
    loud.high = loud.high * np.array([1e6, 1, 1e6], np.float32)
    change = repair_dead_channels(made, {"input": loud})
    assert not constants(change.model)["a.w"][DEAD].any()
    loud.high = loud.high * np.array([1, 1e6, 1], np.float32)
    assert repair_dead_channels(made, {"input": loud}).model.graph == made.graph


def test_healthy_networks_need_no_images_and_stay_as_they_are() -> None:
    made = network()
    assert suspicious_inputs(made) == set()
    change = repair_dead_channels(made, {})
    assert change.model.graph == made.graph and not change.rescaled


def test_only_layers_with_a_bias_far_above_their_weights_need_images() -> None:
    assert suspicious_inputs(network(1e-6, 40.0)) == {"input"}
    assert suspicious_inputs(network(1e-12, 0.0)) == set()  # dead without looking
    zero = network(0.5)
    for tensor in zero.graph.initializer:
        if tensor.name == "a.w":
            values = constants(zero)["a.w"].copy()
            values[DEAD] = 0
            tensor.CopyFrom(constant("a.w", values))
    assert suspicious_inputs(zero) == set()  # repaired already


def test_repairing_twice_changes_nothing_more() -> None:
    once = repaired(network(1e-12, 0.5))
    assert repaired(once).graph == once.graph
