import numpy as np
from onnx import ModelProto, helper, numpy_helper

from quantize.graph.biases import summed, with_shifted_biases
from tests.export.build import computed, image, model, value, weight

X = image(1, 3, 5, 5)


def network() -> ModelProto:
    """Convolutions `one` and `two` share a bias, `three` has none, that of `four` is computed."""
    nodes = [
        helper.make_node("Conv", ["input", "w1", "b"], ["one"], name="one"),
        helper.make_node("Conv", ["input", "w2", "b"], ["two"], name="two"),
        helper.make_node("Conv", ["input", "w3"], ["three"], name="three"),
        helper.make_node("Neg", ["b"], ["negative"], name="negative"),
        helper.make_node("Conv", ["input", "w4", "negative"], ["four"], name="four"),
        helper.make_node("Conv", ["input", "w5", ""], ["five"], name="five"),
    ]
    constants = [weight(f"w{i}", 4, 3, 1, 1, seed=i) for i in range(1, 6)]
    outputs = [value(name, (1, 4, 5, 5)) for name in ("one", "two", "three", "four", "five")]
    return model(
        nodes, [value("input", (1, 3, 5, 5))], outputs, [*constants, weight("b", 4, seed=9)]
    )


def test_outputs_move_by_the_shift_and_no_others_do() -> None:
    made = network()
    before = made.SerializeToString()
    shift = np.array([1.0, -2.0, 0.5, 0.0])
    moved = with_shifted_biases(made, {"one": shift, "three": 2 * shift, "five": 3 * shift})
    expected = [f * shift.reshape(4, 1, 1) for f in (1, 0, 2, 0, 3)]
    for old, new, added in zip(
        computed(made, input=X), computed(moved, input=X), expected, strict=True
    ):
        np.testing.assert_allclose(new[0] - old[0], np.tile(added, (1, 5, 5)), atol=1e-5)
    assert made.SerializeToString() == before  # the original is not touched


def test_a_computed_bias_stays_as_it_is() -> None:
    made = network()
    moved = with_shifted_biases(made, {"four": np.ones(4)})
    assert moved.graph == made.graph


def test_a_bias_in_common_is_left_to_the_others() -> None:
    moved = with_shifted_biases(network(), {"one": np.full(4, 0.1)})
    constants = {t.name: numpy_helper.to_array(t) for t in moved.graph.initializer}
    assert list(moved.graph.node[0].input) == ["input", "w1", "one::bias"]
    assert constants["one::bias"].dtype == np.float32
    np.testing.assert_array_equal(constants["one::bias"], constants["b"] + np.float32(0.1))


def test_a_bias_of_ones_own_keeps_its_name() -> None:
    made = network()
    made.graph.initializer.append(weight("own", 4, seed=8))
    made.graph.node[2].input.append("own")
    moved = with_shifted_biases(made, {"three": np.full(4, 0.5)})
    assert list(moved.graph.node[2].input) == ["input", "w3", "own"]
    before, after = ({t.name: t for t in m.graph.initializer} for m in (made, moved))
    assert before.keys() == after.keys()
    own = numpy_helper.to_array(before["own"]) + np.float32(0.5)
    np.testing.assert_array_equal(numpy_helper.to_array(after["own"]), own)


def test_no_shifts_change_nothing() -> None:
    made = network()
    assert with_shifted_biases(made, {}).graph == made.graph


def test_shifts_of_the_same_layer_add_up() -> None:
    first, second = {"a": np.array([1.0, 2.0])}, {"a": np.array([0.5, -2.0]), "b": np.ones(1)}
    total = summed(first, second)
    np.testing.assert_array_equal(total["a"], [1.5, 0.0])
    np.testing.assert_array_equal(total["b"], [1.0])
    np.testing.assert_array_equal(first["a"], [1.0, 2.0])
    assert summed() == {}


def test_constants_are_left_for_others() -> None:
    moved = with_shifted_biases(network(), {"one": np.ones(4), "two": np.ones(4)})
    names = [t.name for t in moved.graph.initializer]
    assert "b" in names and len(names) == len(set(names))
