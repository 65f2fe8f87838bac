import numpy as np
import onnxruntime
import pytest

from export.ort.sessions import open_session, run
from quantize.graph.plan import build, really_float
from quantize.search.sources import merged, sources, units, with_source
from tests.quantize.search.chains import chain, logits, plan, samples

IMAGES = samples(2)


def test_layers_without_macs_go_with_the_one_before_them() -> None:
    macs = {"conv1": 1.0, "conv2": 1.0}
    layers = ["pad", "conv1", "relu1", "conv2", "add"]
    assert units(layers, macs) == [("pad", "conv1", "relu1"), ("conv2", "add")]


@pytest.mark.parametrize(
    ("count", "expected"),
    [(9, ["a", "b", "c", "d"]), (3, ["a", "b", "cd"]), (2, ["ab", "cd"]), (0, ["abcd"])],
)
def test_neighbours_are_joined_until_so_many_are_left(count: int, expected: list[str]) -> None:
    assert merged([("a",), ("b",), ("c",), ("d",)], count) == [tuple(one) for one in expected]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("cpu", [({0}, ["A"], ["input"]), ({0, 1}, [], ["A_relu"]), ({1}, ["B"], ["B_relu"])]),
        # a tensor is rounded only for what reads it in int8
        ("openvino", [({0}, ["A"], ["input"]), ({1}, ["B"], ["A_relu"])]),
    ],
)
def test_an_error_is_there_for_the_layers_around_it(target: str, expected: object) -> None:
    made = plan(chain("AB"), IMAGES, target)
    found = sources(made, build(made), [("A", "relu_A"), ("B", "relu_B")])
    assert [
        (set(one.holders), [w.layer for w in one.weights], [q.tensor for q in one.tensors])
        for one in found
    ] == expected


def test_a_rounded_tensor_changes_what_all_behind_it_make_of_it() -> None:
    made = plan(chain("AB"), IMAGES)
    found = sources(made, build(made), [("A", "relu_A"), ("B", "relu_B")])
    first = found[0]
    rounded, _ = with_source(made, type(first)(first.holders, (), first.tensors))
    # uint8 over the images' range, which holds 0
    scale = np.float32(max(float(one.image.max()) for one in IMAGES) / 255)
    inputs = [
        type(one)(one.id, (np.rint(one.image / scale) * scale).astype(np.float32), "")
        for one in IMAGES
    ]
    np.testing.assert_allclose(logits(rounded, IMAGES), logits(made.model, inputs), rtol=1e-5)
    assert not np.allclose(logits(rounded, IMAGES), logits(made.model, IMAGES), rtol=1e-5)


def test_all_errors_together_are_those_of_the_int8_network() -> None:
    made = plan(chain("ABC"), IMAGES)
    parts = units(made.layers, dict.fromkeys("ABC", 1.0))
    exact = logits(made.model, IMAGES)
    summed = np.zeros_like(exact)
    for source in sources(made, build(made), parts):
        summed += logits(with_source(made, source)[0], IMAGES) - exact
    # what comes later is rounded another way behind what was rounded before, but as much
    assert np.std(summed) == pytest.approx(np.std(logits(build(made), IMAGES) - exact), rel=0.2)


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        ("B", ""),  # what A gives and C reads is rounded on both sides
        ("AB", "AB"),  # only what B gives is
        ("C", "C"),  # only what C reads is: what it gives has a float reader
        ("BC", "BC"),
        ("AC", "AC"),
    ],
)
def test_a_layer_between_rounded_tensors_is_not_really_float(kept: str, expected: str) -> None:
    made = plan(chain("ABC"), IMAGES, "npu")
    found = really_float(made, [name for one in kept for name in (one, f"relu_{one}")])
    assert found == {name for one in expected for name in (one, f"relu_{one}")}


def test_a_layer_that_is_left_in_float_runs_as_it_is_written() -> None:
    made = plan(chain("ABCDE"), IMAGES)
    kept = [name for one in "BD" for name in (one, f"relu_{one}")]
    assert really_float(made, kept) == set(kept)
    exact = onnxruntime.SessionOptions()
    exact.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    model = build(made, kept)
    session = open_session(model.SerializeToString(), options=exact)
    as_written = np.concatenate([run(session, image.image)[0] for image in IMAGES])
    # weights of B and D that onnxruntime rounds make more than that
    assert np.abs(as_written - logits(model, IMAGES)).max() < 0.01
