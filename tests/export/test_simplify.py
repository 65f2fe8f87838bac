import re

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper

from export import simplify as subject
from export.ort.parity import Outputs
from export.simplify import simplify
from tests.export.build import computed, image, model, operators, value, weight

IMAGE = image(1, 3, 8, 8)

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def wasteful() -> ModelProto:
    """An Identity that does nothing, and a convolution."""
    nodes = [
        helper.make_node("Identity", ["input"], ["same"], name="identity"),
        helper.make_node("Conv", ["same", "w"], ["logits"], name="conv"),
    ]
    shapes = [value("input", (1, 3, 8, 8))], [value("logits", (1, 4, 8, 8))]
    return model(nodes, *shapes, [weight("w", 4, 3, 1, 1)])


@pytest.fixture(scope="module")
def probes(wasteful: ModelProto) -> list[Outputs]:
    return [{"input": IMAGE, "logits": computed(wasteful, input=IMAGE)[0]}]


def test_what_is_superfluous_goes(wasteful: ModelProto, probes: list[Outputs]) -> None:
    simpler, note = simplify(wasteful, probes)

    assert operators(simpler) == ["Conv"]
    assert note == "used: 2 to 1 nodes"
    np.testing.assert_allclose(computed(simpler, input=IMAGE)[0], probes[0]["logits"], rtol=1e-6)


@pytest.mark.slow
def test_where_nothing_is_superfluous_the_graph_is_the_given_one(probes: list[Outputs]) -> None:
    node = helper.make_node("Conv", ["input", "w"], ["logits"], name="conv")
    shapes = [value("input", (1, 3, 8, 8))], [value("logits", (1, 4, 8, 8))]
    plain = model([node], *shapes, [weight("w", 4, 3, 1, 1)])

    result = simplify(plain, probes)

    assert result.model is plain
    assert result.note == "not used: nothing to simplify"


_READ = """
import sys, onnx
from onnx import numpy_helper
model = onnx.load(sys.argv[1])
graph = model.graph
del graph.node[0]
graph.node[0].input[0] = "input"
def shrink(value):
    for axis in (2, 3):
        value.type.tensor_type.shape.dim[axis].dim_value = 4
"""
_SAVE = "\nonnx.save(model, sys.argv[2])\n"
_WRONG = {
    "other weights": (
        _READ
        + "w = numpy_helper.to_array(graph.initializer[0]) * 1.01\n"
        + "graph.initializer[0].CopyFrom(numpy_helper.from_array(w.astype('float32'), 'w'))"
        + _SAVE,
        "logits differ",
    ),
    "other classes": (
        _READ
        + "w = numpy_helper.to_array(graph.initializer[0])[::-1].copy()\n"
        + "graph.initializer[0].CopyFrom(numpy_helper.from_array(w, 'w'))"
        + _SAVE,
        "argmax agreement",
    ),
    "other output name": (
        _READ + "graph.node[0].output[0] = graph.output[0].name = 'scores'" + _SAVE,
        "",
    ),
    "other input size": (_READ + "shrink(graph.input[0]); shrink(graph.output[0])" + _SAVE, ""),
    "contradicting shapes": (_READ + "shrink(graph.output[0])" + _SAVE, ""),
    "missing weights": (_READ + "del graph.initializer[:]" + _SAVE, "invalid"),
    "unknown operator": (_READ + "graph.node[0].op_type = 'Konv'" + _SAVE, "invalid"),
    "no bytes": ("import sys; open(sys.argv[2], 'wb').close()", "invalid"),
    "no ONNX": ("import sys; open(sys.argv[2], 'w').write('oh dear, oh dear')", "invalid"),
    "no file": ("pass", "exit code 0"),
    "crash": ("import os; os.abort()", "exit code -6"),
    "exception": ("raise MemoryError", "exit code 1"),
}


@pytest.mark.parametrize("how", _WRONG)
def test_a_wrong_result_is_not_used(
    how: str, wasteful: ModelProto, probes: list[Outputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, reason = _WRONG[how]
    monkeypatch.setattr(subject, "_CHILD", code)
    before = wasteful.SerializeToString(deterministic=True)

    result = simplify(wasteful, probes)

    assert result.model.SerializeToString(deterministic=True) == before
    assert re.match(f"not used: .*{reason}", result.note)


def test_the_wrong_children_are_wrong_only_where_they_say(
    wasteful: ModelProto, probes: list[Outputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "_CHILD", _READ + _SAVE)

    assert simplify(wasteful, probes).note == "used: 2 to 1 nodes"


def test_a_child_that_hangs_is_given_up(
    wasteful: ModelProto, probes: list[Outputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "_CHILD", "import time; time.sleep(60)")
    monkeypatch.setattr(subject, "_TIMEOUT_S", 0.5)

    result = simplify(wasteful, probes)

    assert result.model is wasteful
    assert result.note == "not used: onnxsim ran longer than 0.5 s"


def test_a_result_that_loses_an_output_is_not_used(
    wasteful: ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = onnx.ModelProto()
    both.CopyFrom(wasteful)
    both.graph.node.append(helper.make_node("ArgMax", ["logits"], ["mask"], axis=1, keepdims=0))
    both.graph.output.append(value("mask", (1, 8, 8), onnx.TensorProto.INT64))
    logits, mask = computed(both, input=IMAGE)
    lost = _READ + "del graph.node[1]; del graph.output[1]" + _SAVE
    monkeypatch.setattr(subject, "_CHILD", lost)

    result = simplify(both, [{"input": IMAGE, "logits": logits, "mask": mask}])

    assert result.model is both
    assert result.note.startswith("not used: ")
