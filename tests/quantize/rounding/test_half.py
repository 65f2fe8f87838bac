"""Which weights of a network become float16's values, and which stay as they are."""

import numpy as np
from onnx import helper, numpy_helper

from export.onnx_graph.graph import infer_shapes
from quantize.rounding.half import round_to_half
from quantize.rounding.rounding import input_moments
from tests.export.build import constant, model, value


def test_layers_without_moments_and_the_network_given_stay_as_they_are() -> None:
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=(4, 4, 1, 1)).astype(np.float32) for name in ("w1", "w2")}
    made = model(
        [
            helper.make_node("Conv", ["x", "w1"], ["h"], name="first"),
            helper.make_node("Conv", ["h", "w2"], ["y"], name="second"),
        ],
        [value("x", (1, 4, 6, 6))],
        [value("y", (1, 4, 6, 6))],
        [constant(name, one) for name, one in weights.items()],
    )
    before = made.SerializeToString(deterministic=True)
    moments = input_moments(infer_shapes(made), list(made.graph.node))
    for _ in range(4):
        moments["first"].update(rng.normal(size=(1, 4, 6, 6)).astype(np.float32))

    rounded, gains = round_to_half(made, {"first": moments["first"]})

    assert made.SerializeToString(deterministic=True) == before
    assert list(gains) == ["first"]
    after = {one.name: numpy_helper.to_array(one) for one in rounded.graph.initializer}
    np.testing.assert_array_equal(after["w2"], weights["w2"])
    assert after["w1"].dtype == np.float32 and after["w1"].shape == (4, 4, 1, 1)
    np.testing.assert_array_equal(after["w1"], after["w1"].astype(np.float16))
    np.testing.assert_allclose(after["w1"], weights["w1"], rtol=2**-9)
    assert [len(node.input) for node in rounded.graph.node] == [3, 2]  # the shift is a bias now
