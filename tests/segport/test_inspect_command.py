"""`segport inspect`: what it proposes works as it is printed."""

import shlex
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.export.build import constant, model, saved, value, weight
from tests.segport.command import segport

SIDE = 48


def _network(
    given: tuple[object, ...] = (1, 3, SIDE, SIDE),
    kind: int = TensorProto.FLOAT,
    classes: int = 3,
    tail: str | None = None,
    channels: int = 3,
) -> onnx.ModelProto:
    first = helper.make_node("Conv", ["f", "w"], ["a"], pads=[1] * 4)
    enter = (
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2])
        if given[-1] in (1, 3, 4)
        else helper.make_node("Identity", ["x"], ["t"])
    )
    nodes = [
        enter,
        helper.make_node("Cast", ["t"], ["f"], to=TensorProto.FLOAT),
        first,
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "h"], ["l" if tail else "y"]),
        *([helper.make_node(tail, ["l"], ["y"])] if tail else []),
    ]
    gives = value("y", None, TensorProto.INT64 if tail == "ArgMax" else TensorProto.FLOAT)
    return model(
        nodes,
        [value("x", given, kind)],  # type: ignore[arg-type]
        [gives],
        [weight("w", 8, channels, 3, 3), weight("h", classes, 8, 1, 1, seed=1)],
        opset=17,
    )


def _two_outputs() -> onnx.ModelProto:
    graph = _network()
    graph.graph.node.append(helper.make_node("Neg", ["y"], ["aux"]))
    graph.graph.output.insert(0, value("aux", (1, 3, SIDE, SIDE)))
    return graph


def _normalised_inside() -> onnx.ModelProto:
    graph = _network()
    graph.graph.node[0].CopyFrom(helper.make_node("Sub", ["x", "mean"], ["t"]))
    graph.graph.initializer.append(constant("mean", np.float32([[[123.0]], [[116.0]], [[103.0]]])))
    return graph


def _small_mask() -> onnx.ModelProto:
    graph = _network(tail="ArgMax")
    graph.graph.node[2].attribute.append(helper.make_attribute("strides", [2, 2]))
    graph.graph.node[-1].attribute.append(helper.make_attribute("axis", 1))
    return graph


def _white_on_black() -> onnx.ModelProto:
    graph = _network(classes=1, tail="Relu")
    graph.graph.node[-1].output[0] = "r"
    graph.graph.node.append(helper.make_node("Cast", ["r"], ["g"], to=TensorProto.BOOL))
    graph.graph.node.append(helper.make_node("Where", ["g", "white", "black"], ["y"]))
    graph.graph.initializer.extend(
        [constant("white", np.uint8(255)), constant("black", np.uint8(0))]
    )
    graph.graph.output[0].CopyFrom(value("y", None, TensorProto.UINT8))
    return graph


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (_network(), ["--mean 0.485 0.456 0.406", "--classes 3"]),
        (_network((1, SIDE, SIDE, 3), TensorProto.UINT8), ["--classes 3"]),
        (_network((1, 1, SIDE, SIDE), channels=1), ["--mean 0.5 --std 0.5"]),
        (_network(classes=1, tail="Sigmoid"), ["--classes background,foreground"]),
        (_network(classes=21), ["--classes voc"]),
        (_network(("n", 3, "h", "w")), ["--size dynamic"]),
        (_network((1, 3, SIDE, "w")), ["--size 48 512"]),
        (_two_outputs(), ["--output-name"]),
        (_normalised_inside(), ["--range 0-255"]),
        (_network((-1, 3, -1, -1)), ["--size dynamic"]),
        (_small_mask(), ["--classes 3"]),
        (_white_on_black(), ["--kind binary-mask", "--classes background,foreground"]),
    ],
    ids=[
        "plain",
        "bytes",
        "grey",
        "binary",
        "voc",
        "any size",
        "any width",
        "two",
        "inside",
        "minus one",
        "small mask",
        "0 and 255",
    ],
)
@pytest.mark.usefixtures("unsimplified")
def test_the_command_works(
    network: onnx.ModelProto, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = saved(network, tmp_path, "my net (v1.2)")

    answer = segport("inspect", file)

    assert answer.code == 0, answer.err
    command = answer.out.splitlines()[-1]
    for text in said:
        assert text in command
    words = shlex.split(command)
    assert words[0] == "segport"
    made = segport(*words[1:])
    assert made.code == 0, made.err
    assert list((tmp_path / "artifacts").glob("my-net-v1-2-fp32*.onnx"))
    assert segport("inspect", file, "--json").json["command"] == command


def _classes_last() -> onnx.ModelProto:
    """Five classes, of which the last is nowhere, and the mask's axis at the end."""
    graph = _network(classes=5, tail="ArgMax")
    never = onnx.numpy_helper.to_array(weight("h", 5, 8, 1, 1, seed=1)).copy()
    never[4] = -99  # of what a ReLU gives
    graph.graph.initializer[1].CopyFrom(constant("h", never))
    graph.graph.node[-1].CopyFrom(helper.make_node("ArgMax", ["l"], ["m"], axis=1, keepdims=1))
    graph.graph.node.append(helper.make_node("Transpose", ["m"], ["y"], perm=[0, 2, 3, 1]))
    return graph


def test_classes_of_a_mask_that_is_laid_out_anew(tmp_path: Path) -> None:
    answer = segport("inspect", saved(_classes_last(), tmp_path))
    assert "--classes 5" in answer.out


def test_what_it_sees(tmp_path: Path) -> None:
    graph = _network()
    graph.ir_version, graph.opset_import[0].version = 3, 11
    graph.graph.input.append(value("w", (8, 3, 3, 3)))
    answer = segport("inspect", saved(graph, tmp_path))
    assert "opset      11, IR 3" in answer.out
    assert "x float32 (1, 3, 48, 48)" in answer.out
    assert "2 float32 (1 of them also inputs)" in answer.out
    assert "2 Conv" in answer.out


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"no onnx")
    answer = segport("inspect", tmp_path / "a.onnx")
    assert (answer.code, answer.out) == (2, "")
    assert "a.onnx: not a valid ONNX model" in answer.errors[0]
