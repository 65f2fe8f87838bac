"""Whether a quantized range does what a Relu or Clip does."""

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper

from quantize.graph.clips import clipped, uncut, within
from quantize.graph.plan import Plan, build
from quantize.graph.selection import range_sources
from quantize.targets import TARGETS
from tests.export.build import computed, constant, operators
from tests.quantize.rewrites.graphs import conv, graph, images, node, tensors, weights

(IMAGE,) = images(1)


def _joined(*clipping: str) -> ModelProto:
    """Concat of Clip(conv x) or Relu(conv x) and of conv far, which reaches further."""
    bounds = [
        constant("zero", np.float32(0)),
        constant("half", np.float32(0.5)),
        constant("one", np.float32(1)),
    ]
    inputs = ["x", *clipping[1:]]
    nodes = [
        conv("x", "input"),
        node(clipping[0], inputs, "cut"),
        conv("far", "input"),
        node("Concat", ["cut", "far"], "both", axis=1),
        conv("last", "both", "logits"),
    ]
    shapes = {"x": (4, 3, 1, 1), "far": (4, 3, 1, 1), "last": (2, 8, 1, 1)}
    constants = [part for name, shape in shapes.items() for part in weights(name, *shape)]
    return graph(nodes, [*constants, *bounds])


@pytest.mark.parametrize("clipping", [("Relu",), ("Clip", "zero", "half")])
@pytest.mark.parametrize("target", ["cpu", "qnn", "litert", "npu"])
def test_what_is_cut_stays_cut_where_a_concat_reaches_further(
    target: str, clipping: tuple[str, ...]
) -> None:
    made = _joined(*clipping)
    names = ["x", "cut", "far", "both", "logits"]
    values = tensors(made, names, [IMAGE])
    seen = {name: (float(some.min()), float(some.max())) for name, some in values.items()}
    assert seen["both"][0] < -0.1 and seen["both"][1] > 0.6  # beyond both bounds
    # one scale for all that a Concat joins
    ranges = {"input": (-4.0, 4.0), "logits": seen["logits"]} | dict.fromkeys(
        names[:4], seen["both"]
    )
    layers = tuple(n.name for n in made.graph.node if n.op_type in TARGETS[target].operators)
    quantized = build(Plan(made, TARGETS[target], layers, ranges, {}))
    (wanted,), (found,) = (computed(one, input=IMAGE) for one in (made, quantized))
    assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()


def test_a_clip_goes_where_the_range_ends_as_it_does() -> None:
    made = _joined("Clip", "zero", "half")
    layers = [n.name for n in made.graph.node]
    clip = next(n.name for n in made.graph.node if n.op_type == "Clip")
    assert uncut(made, layers, {"cut": (0.0, 0.5)}, 255) == set()
    assert uncut(made, layers, {"cut": (0.0, 0.3)}, 255) == set()  # the Q cuts more
    assert uncut(made, layers, {"cut": (0.0, 0.6)}, 255) == uncut(
        made, layers, {"cut": (-0.1, 0.5)}, 255
    )
    assert uncut(made, layers, {"cut": (0.0, 0.6)}, 255) == uncut(made, layers, {}, 255) == {clip}
    assert uncut(made, [], {}, 255) == set()
    # one step further is what rounding a zero point may do, of 255 and of 65535
    assert uncut(made, layers, {"cut": (0.0, 0.501)}, 255) == set()
    assert uncut(made, layers, {"cut": (0.0, 0.501)}, 65535) == {clip}


def test_a_clip_stays_whose_bounds_leave_0_out() -> None:
    made = _joined("Clip", "half", "one")
    layers = [n.name for n in made.graph.node]
    assert uncut(made, layers, {"cut": (0.5, 1.0)}, 255) == {"node_cut"}
    ranges = {"input": (-4.0, 4.0), "x": (0.5, 1.0), "cut": (0.5, 1.0), "both": (-4.0, 4.0)}
    kept = build(Plan(made, TARGETS["qnn"], tuple(layers[:2]), ranges, {}))
    (wanted,), (found,) = (computed(one, input=IMAGE) for one in (made, kept))
    assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()


def test_bounds_that_are_kept_in_the_graph() -> None:
    made = _joined("Clip", "zero", "half")
    layers = [n.name for n in made.graph.node]
    ranges = dict.fromkeys(("input", "x", "cut", "far", "both"), (-4.0, 4.0))
    kept = build(Plan(made, TARGETS["qnn"], tuple(layers[:3]), ranges, {}))
    assert "Clip" in operators(kept)


@pytest.mark.parametrize("target", ["qnn", "litert"])
def test_what_a_pooling_chose_stays_on_its_grid_before_a_relu(target: str) -> None:
    made = graph(
        [conv("x", "input"), node("MaxPool", ["x"], "most", kernel_shape=[2, 2]),
         node("Relu", ["most"], "cut"), conv("last", "cut", "logits")],
        [*weights("x", 4, 3, 1, 1), *weights("last", 2, 4, 1, 1)],
    )  # fmt: skip
    layers = made.graph.node[:3]
    sources = range_sources(made, layers)
    assert (sources["most"], sources["cut"]) == ("most", "cut")
    ranges = {"input": (-4.0, 4.0), "x": (-3.0, 2.0), "most": (-3.0, 2.0), "cut": (0.0, 2.0)}
    plan = Plan(made, TARGETS[target], tuple(one.name for one in layers), ranges, {})
    quantized = build(plan)
    scales = {one.input[0]: one.input[1:] for one in quantized.graph.node if one.op_type[0] == "Q"}
    values = {t.name: numpy_helper.to_array(t) for t in quantized.graph.initializer}
    assert all(values[a] == values[b] for a, b in zip(scales["x"], scales["most"], strict=True))
    assert "Relu" in operators(quantized)


def test_bounds() -> None:
    assert clipped(_joined("Clip", "zero", "half")) == {"cut": (0.0, 0.5)}
    assert clipped(_joined("Clip", "", "half")) == {"cut": (-np.inf, 0.5)}
    assert clipped(_joined("Relu")) == {"cut": (0.0, np.inf)}
    assert within((-2.0, 12.0), (0.0, 6.0)) == (0.0, 6.0)
    assert within((0.0, 3.0), (0.0, 6.0)) == (0.0, 3.0)
