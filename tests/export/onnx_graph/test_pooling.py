import numpy as np
import pytest
from onnx import ModelProto, helper

from export.onnx_graph.pooling import pool_means
from tests.export.build import computed, constant, image, model, operators, value

IMAGE = image(2, 3, 5, 7)


def _mean(
    axes: list[int], *, opset: int = 18, keepdims: int = 1, node: bool = False
) -> tuple[ModelProto, tuple[int, ...]]:
    """A graph that is one ReduceMean of a (2, 3, 5, 7) tensor, and the shape of its result."""
    shape = np.mean(IMAGE, tuple(axes), keepdims=bool(keepdims)).shape
    ends = [value("x", IMAGE.shape)], [value("y", shape)]
    if opset < 18:
        reduce = helper.make_node("ReduceMean", ["x"], ["y"], axes=axes, keepdims=keepdims)
        return model([reduce], *ends, opset=opset), shape
    reduce = helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=keepdims, name="mean")
    given = constant("axes", np.array(axes, np.int64))
    if node:
        source = helper.make_node("Constant", [], ["axes"], value=given)
        return model([source, reduce], *ends, opset=opset), shape
    return model([reduce], *ends, [given], opset=opset), shape


@pytest.mark.parametrize("axes", [[2, 3], [3, 2], [-1, -2], [-2, 3]])
@pytest.mark.parametrize("opset", [17, 18])
def test_mean_over_the_map_becomes_a_pooling(axes: list[int], opset: int) -> None:
    graph, _ = _mean(axes, opset=opset)
    before = computed(graph, x=IMAGE)[0]

    assert pool_means(graph) == 1

    assert operators(graph) == ["GlobalAveragePool"]
    np.testing.assert_allclose(computed(graph, x=IMAGE)[0], before, atol=1e-6)
    np.testing.assert_allclose(before, IMAGE.mean((2, 3), keepdims=True), atol=1e-6)


def test_axes_from_a_constant_node_count_as_well() -> None:
    graph, _ = _mean([2, 3], node=True)

    assert pool_means(graph) == 1
    assert "ReduceMean" not in operators(graph)
    assert computed(graph, x=IMAGE)[0].shape == (2, 3, 1, 1)


@pytest.mark.parametrize("opset", [17, 18])
@pytest.mark.parametrize(
    ("axes", "keepdims"), [([2, 3], 0), ([1], 1), ([2], 1), ([1, 2, 3], 1), ([0, 1], 1)]
)
def test_other_means_stay(axes: list[int], keepdims: int, opset: int) -> None:
    graph, shape = _mean(axes, keepdims=keepdims, opset=opset)

    assert pool_means(graph) == 0

    assert operators(graph) == ["ReduceMean"]
    assert computed(graph, x=IMAGE)[0].shape == shape


def test_mean_of_everything_stays() -> None:
    node = helper.make_node("ReduceMean", ["x"], ["y"])
    graph = model([node], [value("x", IMAGE.shape)], [value("y", (1, 1, 1, 1))])

    assert pool_means(graph) == 0


def test_mean_of_three_dimensions_stays() -> None:
    node = helper.make_node("ReduceMean", ["x", "axes"], ["y"])
    axes = constant("axes", np.array([1, 2], np.int64))
    graph = model([node], [value("x", (3, 5, 7))], [value("y", (3, 1, 1))], [axes])

    assert pool_means(graph) == 0
