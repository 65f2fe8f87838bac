import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from export.artifact.sample import Sample
from export.onnx_graph.graph import normalise
from quantize.search.sensitivity import Margins, Sensitivity, measure
from quantize.search.sources import units
from tests.quantize.search.chains import chain, plan, samples


def _adds(*offsets: float) -> ModelProto:
    """Logits that are the image's three channels, with `offsets` added."""
    constant = numpy_helper.from_array(np.float32(offsets).reshape(1, 3, 1, 1), "offsets")
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 3, 1, 4))
        for name in ("input", "logits")
    ]
    node = helper.make_node("Add", ["input", "offsets"], ["logits"])
    graph = helper.make_graph([node], "adds", values[:1], values[1:], [constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    return onnx.shape_inference.infer_shapes(normalise(model))


def test_leads_are_looked_at_where_int8_can_use_them_up() -> None:
    # leads: 0.05 of class 0 over 1, 0.3 of 1 over 0, 10 of 0 over 1, 0.2 of 2 over 1
    logits = np.float32([[1.05, 1.0, 11.0, 0.0], [1.0, 1.3, 1.0, 1.0], [0.0, 0.0, 0.0, 1.2]])
    image = Sample("one", logits.reshape(1, 3, 1, 4), "")
    # int8 adds 0.1 to class 0: errors 0.1, -0.1, 0.1, 0, of which 4 root mean squares are 0.346
    margins = Margins(_adds(0, 0, 0), _adds(0.1, 0, 0), [image])
    # the leads looked at, the first, second and last, change by -0.2, 0.2 and 0.1
    found = margins.error(_adds(-0.1, 0.1, 0.2), {})
    assert found == pytest.approx((0.04 + 0.04 + 0.01) / 3, rel=1e-4)


def test_an_error_goes_with_the_last_of_its_units_and_squares_add_up() -> None:
    squares = np.array([9.0, 16.0])
    made = Sensitivity((("a",), ("b",)), (frozenset({0}), frozenset({0, 1})), squares)
    sets = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.bool_)
    losses = [made.loss(floating) for floating in sets]
    assert losses == [5.0, 5.0, 4.0, 0.0]


@pytest.mark.parametrize(("names", "spread"), [("ABCDE", "B"), ("ABCDE", "A")])
def test_the_planted_tensor_has_nearly_all_of_the_error(names: str, spread: str) -> None:
    images = samples(2)
    made = plan(chain(names, spread), images)
    parts = units(made.layers, dict.fromkeys(names, 1.0))
    found = measure(made, parts, images, 60.0, lambda text: None)
    behind = names[names.index(spread) + 1]
    first = found.rows()[0]
    assert first["share"] > 0.9
    assert first["layers"] == [f"{spread} ... relu_{spread}", f"{behind} ... relu_{behind}"]


def test_too_little_time_measures_few_blocks_of_neighbours() -> None:
    images = samples(2)
    made = plan(chain("ABCDEFGH"), images)
    parts = units(made.layers, dict.fromkeys("ABCDEFGH", 1.0))
    found = measure(made, parts, images, 0.0, lambda text: None)
    assert len(found.units) == 1
    assert [layer for unit in found.units for layer in unit] == list(made.layers)
