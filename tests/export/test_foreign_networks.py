"""Files of other makes: what comes out gives the masks that the file itself gives.

Expected masks are computed here, with plain onnxruntime on the untouched file and on pictures
prepared by hand.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper
from onnxruntime.transformers.float16 import convert_float_to_float16
from PIL import Image

from export.artifact.artifact import Artifact
from export.artifact.image import synthetic_images
from export.common.errors import ArtifactError, ExportError, UsageError
from export.onnx_graph.graph import opset
from export.onnx_import import import_model
from quantize.quantization import quantize
from tests.export.build import (
    computed,
    constant,
    model,
    operators,
    plain_session,
    saved,
    value,
    weight,
)

SIDE = 48
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
Array = NDArray[Any]


pytestmark = pytest.mark.usefixtures("unsimplified")
"""tests/segport has files simplified, and run in a process of their own."""


def _nodes(source: str = "x", out: str = "y") -> list[NodeProto]:
    return [
        helper.make_node("Conv", [source, "w"], ["a"], pads=[1] * 4, name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Conv", ["b", "h"], [out], name="head"),
    ]


def _weights(classes: int = 3, channels: int = 3) -> list[TensorProto]:
    return [weight("w", 8, channels, 3, 3), weight("h", classes, 8, 1, 1, seed=1)]


def _network(
    nodes: Sequence[NodeProto],
    constants: Sequence[TensorProto],
    given: Sequence[int | str | None] = (1, 3, SIDE, SIDE),
    kind: int = TensorProto.FLOAT,
    gives: Sequence[int | str | None] | None = None,
    gives_kind: int = TensorProto.FLOAT,
    opset: int = 17,
) -> onnx.ModelProto:
    return model(
        nodes, [value("x", given, kind)], [value("y", gives, gives_kind)], constants, opset=opset
    )


def _picture() -> Array:
    return next(synthetic_images(1, (SIDE, SIDE), seed=5))


def _artifact_mask(artifact: Artifact, picture: Array | None = None) -> Array:
    """The artifact's mask of the picture, fed as its manifest says."""
    spec = artifact.manifest.input
    shown = Image.fromarray(_picture() if picture is None else picture).convert(spec.colour_order)
    pixels = np.asarray(shown, np.float32).reshape(SIDE, SIDE, -1) / 255
    fed = (pixels - np.float32(spec.mean)) / np.float32(spec.std)
    batch = np.repeat(fed.transpose(2, 0, 1)[None], spec.shape[0] or 1, 0)
    (found,) = computed(artifact.path, input=batch.astype(np.float32))
    return found[0].argmax(0) if artifact.manifest.outputs[0].kind == "logits" else found[0]


def _rgb(mean: Sequence[float] = MEAN, std: Sequence[float] = STD) -> Array:
    fed = (_picture().astype(np.float32) / 255 - np.float32(mean)) / np.float32(std)
    return fed.transpose(2, 0, 1)[None].astype(np.float32)


def _import(file: Path, tmp_path: Path, classes: str = "3", **options: Any) -> Artifact:
    return import_model(file, tmp_path / "out", classes=classes, **options)


STATISTICS = {"mean": MEAN, "std": STD}

# ------------------------------------------------------------------------------ the input


def test_channels_last_and_the_transposes_go(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        *_nodes("t", "l"),
        helper.make_node("Transpose", ["l"], ["y"], perm=[0, 2, 3, 1]),
    ]
    file = saved(_network(nodes, _weights(), (1, SIDE, SIDE, 3)), tmp_path)

    artifact = _import(file, tmp_path, **STATISTICS)

    wanted = computed(file, x=_rgb().transpose(0, 2, 3, 1).copy())[0][0].argmax(-1)
    np.testing.assert_array_equal(_artifact_mask(artifact), wanted)
    assert len(np.unique(wanted)) > 1
    assert artifact.manifest.input.shape == (1, 3, SIDE, SIDE)
    assert artifact.manifest.outputs[0].shape == (1, 3, SIDE, SIDE)
    assert operators(artifact.path) == ["Conv", "Relu", "Conv"]
    assert artifact.manifest.source is not None
    assert artifact.manifest.source.layout == "nhwc"


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
def test_bytes_that_are_normalised_inside(channels: str, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["t"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["f", "scale"], ["s"]),
        *_nodes("s"),
    ]
    constants = [*_weights(), constant("scale", np.float32(255))]
    file = saved(_network(nodes, constants, (1, SIDE, SIDE, 3), TensorProto.UINT8), tmp_path)

    artifact = _import(file, tmp_path, channels=channels)

    picture = _picture()[..., ::-1] if channels == "bgr" else _picture()
    wanted = computed(file, x=picture[None].copy())[0][0].argmax(0)
    np.testing.assert_array_equal(_artifact_mask(artifact), wanted)
    assert artifact.manifest.input.dtype == "float32"
    moving = ["Gather"] if channels == "bgr" else []
    assert operators(artifact.path) == [*moving, "Div", "Conv", "Relu", "Conv"]


def test_bgr_goes_into_the_first_weights(tmp_path: Path) -> None:
    file = saved(_network(_nodes(), _weights()), tmp_path)

    artifact = _import(file, tmp_path, channels="bgr", **STATISTICS)

    wanted = computed(file, x=_rgb()[:, ::-1].copy())[0][0].argmax(0)
    np.testing.assert_array_equal(_artifact_mask(artifact), wanted)
    assert operators(artifact.path) == ["Conv", "Relu", "Conv"]


def test_one_channel_is_grey_as_pillow_makes_it(tmp_path: Path) -> None:
    file = saved(_network(_nodes(), _weights(channels=1), (1, 1, SIDE, SIDE)), tmp_path)

    artifact = _import(file, tmp_path, mean=[0.5], std=[0.25])

    grey = np.asarray(Image.fromarray(_picture()).convert("L"), np.float32)[None, None] / 255
    wanted = computed(file, x=((grey - 0.5) / 0.25).astype(np.float32))[0][0].argmax(0)
    np.testing.assert_array_equal(_artifact_mask(artifact), wanted)
    assert (artifact.manifest.input.colour_order, artifact.manifest.input.shape[1]) == ("L", 1)
    assert artifact.manifest.macs_shape == (1, SIDE, SIDE)


def test_four_channels_end_in_alpha(tmp_path: Path) -> None:
    file = saved(_network(_nodes(), _weights(channels=4), (1, 4, SIDE, SIDE)), tmp_path)

    artifact = _import(file, tmp_path, mean=[0.5], std=[0.5])

    opaque = np.dstack([_picture(), np.full((SIDE, SIDE, 1), 255, np.uint8)])
    fed = ((opaque.astype(np.float32) / 255 - 0.5) / 0.5).transpose(2, 0, 1)[None]
    wanted = computed(file, x=fed.astype(np.float32))[0][0].argmax(0)
    np.testing.assert_array_equal(_artifact_mask(artifact), wanted)


def test_statistics_above_one_are_those_of_0_255(tmp_path: Path) -> None:
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    file = saved(_network(_nodes(), _weights()), tmp_path)

    artifact = _import(file, tmp_path, mean=mean, std=std)

    fed = ((_picture().astype(np.float32) - np.float32(mean)) / np.float32(std)).transpose(2, 0, 1)
    wanted = computed(file, x=fed[None])[0][0].argmax(0)
    np.testing.assert_array_equal(_artifact_mask(artifact), wanted)
    assert artifact.manifest.input.mean == pytest.approx((0.485, 0.456, 0.406))
    assert artifact.manifest.input.std == pytest.approx((0.229, 0.224, 0.225))
    assert any("0-255" in note for note in artifact.manifest.checks["notes"])


@pytest.mark.parametrize(("range_", "white"), [("0-1", 1.0), ("0-255", 255.0)])
def test_pictures_that_go_in_as_they_are(range_: str, white: float, tmp_path: Path) -> None:
    file = saved(_network(_nodes(), _weights()), tmp_path)

    artifact = _import(file, tmp_path, range_=range_)

    fed = (_picture().astype(np.float32) * np.float32(white / 255)).transpose(2, 0, 1)[None]
    wanted = computed(file, x=fed)[0][0].argmax(0)
    np.testing.assert_array_equal(_artifact_mask(artifact), wanted)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mean": (120, 110, 100), "std": (1, 1, 1), "range_": "0-1"}, "--range 0-255"),
        ({"mean": (0.5, 0.5, 0.5, 0.5), "std": STD}, "--mean has 4 values"),
        ({"channels": "grey", **STATISTICS}, "--channels grey, but net.onnx takes 3"),
        ({"layout": "hwc", **STATISTICS}, "did you mean 'nhwc'"),
        ({"range_": "0-2", **STATISTICS}, "unknown range"),
        ({"output_name": "z", **STATISTICS}, "unknown output"),
        ({"kind": "logit", **STATISTICS}, "did you mean 'logits'"),
        ({"threshold": 1.0, **STATISTICS}, "--threshold 1 is not a probability"),
        ({"size": "dynamic", **STATISTICS}, "fixed to 48 48"),
        ({"mean": (0.5, float("nan"), 0.5), "std": STD}, "not finite"),
    ],
)
def test_what_cannot_be_meant(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    file = saved(_network(_nodes(), _weights()), tmp_path)
    with pytest.raises(UsageError) as caught:
        _import(file, tmp_path, **options)
    assert said in str(caught.value)
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------ the output


def _binary(*tail: NodeProto, given: str = "l", **options: Any) -> onnx.ModelProto:
    return _network([*_nodes(out=given), *tail], _weights(1), **options)


Judge = Callable[[Array], Array]


@pytest.mark.parametrize(
    ("network", "judge", "options"),
    [
        (_binary(given="y"), lambda y: y[0, 0] > 0, {}),
        (_binary(helper.make_node("Sigmoid", ["l"], ["y"])), lambda y: y[0, 0] > 0.5, {}),
        (
            _binary(helper.make_node("Sigmoid", ["l"], ["y"])),
            lambda y: y[0, 0] > 0.8,
            {"threshold": 0.8},
        ),
        (
            _binary(
                helper.make_node("Sigmoid", ["l"], ["p"]),
                helper.make_node("Transpose", ["p"], ["y"], perm=[0, 2, 3, 1]),
            ),
            lambda y: y[0, ..., 0] > 0.5,
            {},
        ),
        (
            _binary(
                helper.make_node("Sigmoid", ["l"], ["p"]),
                helper.make_node("Clip", ["p"], ["c"]),
                helper.make_node("Reshape", ["c", "shape"], ["y"]),
                gives=(1, SIDE, SIDE),
            ),
            lambda y: y[0] > 0.3,
            {"threshold": 0.3},
        ),
        (
            _binary(
                helper.make_node("Greater", ["l", "zero"], ["y"]),
                gives_kind=TensorProto.BOOL,
            ),
            lambda y: y[0, 0],
            {},
        ),
        (
            _binary(
                helper.make_node("Greater", ["l", "zero"], ["g"]),
                helper.make_node("Where", ["g", "white", "black"], ["y"]),
                gives_kind=TensorProto.UINT8,
            ),
            lambda y: y[0, 0] == 255,
            {},
        ),
    ],
    ids=[
        "logit",
        "probability",
        "threshold",
        "channels last",
        "no axis of channels",
        "bool",
        "0 and 255",
    ],
)
def test_one_channel_against_background(
    network: onnx.ModelProto, judge: Judge, options: dict[str, Any], tmp_path: Path
) -> None:
    network.graph.initializer.append(constant("zero", np.float32(0)))
    network.graph.initializer.append(constant("shape", np.array([1, SIDE, SIDE])))
    network.graph.initializer.append(constant("white", np.uint8(255)))
    network.graph.initializer.append(constant("black", np.uint8(0)))
    file = saved(network, tmp_path)

    artifact = _import(file, tmp_path, "person", **STATISTICS, **options)

    wanted = judge(computed(file, x=_rgb())[0]).astype(np.int64)
    assert 0.02 < wanted.mean() < 0.98
    np.testing.assert_array_equal(_artifact_mask(artifact), wanted)
    assert artifact.manifest.classes == ("background", "person")


def test_softmax_of_a_binary_networks_logits_is_its_probability(tmp_path: Path) -> None:
    file = saved(_binary(helper.make_node("Sigmoid", ["l"], ["y"])), tmp_path)

    artifact = _import(file, tmp_path, "person", **STATISTICS)

    (logits,) = computed(artifact.path, input=_rgb())
    softmax = np.exp(logits[:, 1:]) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(softmax, computed(file, x=_rgb())[0], atol=1e-5)


def test_a_binary_value_that_may_be_either_is_asked_for(tmp_path: Path) -> None:
    squashed = [helper.make_node("Softsign", ["l"], ["s"]), helper.make_node("Abs", ["s"], ["y"])]
    file = saved(_binary(*squashed), tmp_path)
    with pytest.raises(UsageError, match="--kind binary-probability or --kind binary-logit"):
        _import(file, tmp_path, "person", **STATISTICS)

    artifact = _import(file, tmp_path, "person", kind="binary-probability", **STATISTICS)

    wanted = computed(file, x=_rgb())[0][0, 0] > 0.5
    np.testing.assert_array_equal(_artifact_mask(artifact), wanted)


def test_one_channel_and_many_names(tmp_path: Path) -> None:
    file = saved(_binary(given="y"), tmp_path)
    with pytest.raises(ArtifactError, match=r"one channel.*--classes person"):
        _import(file, tmp_path, **STATISTICS)


@pytest.mark.parametrize("axis", [1, 3])
def test_a_mask_that_keeps_its_axis(axis: int, tmp_path: Path) -> None:
    moved = [helper.make_node("Transpose", ["l"], ["m"], perm=[0, 2, 3, 1])] if axis == 3 else []
    source = "m" if axis == 3 else "l"
    nodes = [
        *_nodes(out="l"),
        *moved,
        helper.make_node("ArgMax", [source], ["y"], axis=axis, keepdims=1),
    ]
    file = saved(_network(nodes, _weights(), gives_kind=TensorProto.INT64), tmp_path)

    artifact = _import(file, tmp_path, **STATISTICS)

    np.testing.assert_array_equal(_artifact_mask(artifact), computed(file, x=_rgb())[0].squeeze())
    assert artifact.manifest.outputs[0].shape == (1, SIDE, SIDE)
    assert "Squeeze" not in operators(artifact.path)


def test_a_map_of_another_shape_than_the_image_is_none(tmp_path: Path) -> None:
    """(1, classes, pixels), as some give it, must not pass for a mask of one class."""
    flat = helper.make_node("Reshape", ["l", "shape"], ["y"])
    graph = _network([*_nodes(out="l"), flat], [*_weights(), constant("shape", [1, 3, SIDE**2])])
    for classes in ("3", "person"):
        with pytest.raises(
            ArtifactError, match=r"outputs are y \(1, 3, 2304\) float32; needed are"
        ):
            _import(saved(graph, tmp_path), tmp_path, classes, **STATISTICS)


def test_outputs_that_bear_each_others_names(tmp_path: Path) -> None:
    """What is called mask are the logits, and the other way about."""
    nodes = [
        *_nodes(out="mask"),
        helper.make_node("ArgMax", ["mask"], ["logits"], axis=1, keepdims=0),
    ]
    gives = [value("mask", None), value("logits", None, TensorProto.INT64)]
    graph = model(nodes, [value("x", (1, 3, SIDE, SIDE))], gives, _weights(), opset=17)
    file = saved(graph, tmp_path)

    artifact = _import(file, tmp_path, **STATISTICS)

    scores, indices = computed(file, x=_rgb())
    session = plain_session(artifact.path)
    mask, logits = session.run(["mask", "logits"], {"input": _rgb()})
    np.testing.assert_array_equal(mask, indices)
    np.testing.assert_allclose(logits, scores, atol=1e-5)
    for name, wanted in (("mask", scores[0].argmax(0)), ("logits", indices[0])):
        chosen = _import(file, tmp_path / name, output_name=name, **STATISTICS)
        np.testing.assert_array_equal(_artifact_mask(chosen), wanted)


def test_sides_of_minus_one_are_free(tmp_path: Path) -> None:
    """So older converters write them; onnx's checker refuses such a file."""
    file = saved(_network(_nodes(), _weights(), (-1, 3, -1, -1), gives=(-1, 3, -1, -1)), tmp_path)

    artifact = _import(file, tmp_path, size="dynamic", **STATISTICS)

    assert artifact.manifest.input.shape == (None, 3, None, None)
    wanted = computed(file, x=_rgb())[0][0].argmax(0)
    np.testing.assert_array_equal(_artifact_mask(artifact), wanted)


def test_constants_that_are_numbers_are_lifted(tmp_path: Path) -> None:
    """A Constant may hold a float or a list instead of a tensor; all later steps know tensors."""
    nodes = [
        helper.make_node("Constant", [], ["low"], value_float=0.0),
        helper.make_node("Constant", [], ["high"], value_float=6.0),
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1] * 4, name="first"),
        helper.make_node("Clip", ["a", "low", "high"], ["b"], name="relu6"),
        helper.make_node("Conv", ["b", "h"], ["y"], name="head"),
    ]
    artifact = _import(saved(_network(nodes, _weights()), tmp_path), tmp_path, **STATISTICS)

    assert "Constant" not in operators(artifact.path)
    half = quantize(artifact, "fp16", tmp_path / "out")
    wanted = computed(artifact.path, input=_rgb())[0]
    found = computed(half.path, input=_rgb())[0]
    assert np.abs(found - wanted).max() < 0.01 * np.abs(wanted).max()


@pytest.mark.parametrize("free", [False, True], ids=["one size", "any size"])
def test_a_small_mask_is_brought_to_the_images_size_as_pil_does_it(
    free: bool, tmp_path: Path
) -> None:
    nodes = [*_nodes(out="l"), helper.make_node("ArgMax", ["l"], ["y"], axis=1, keepdims=0)]
    nodes[0].attribute.append(helper.make_attribute("strides", [5, 5]))
    given = (1, 3, "h", "w") if free else (1, 3, SIDE, SIDE)
    file = saved(_network(nodes, _weights(), given, gives_kind=TensorProto.INT64), tmp_path)

    artifact = _import(file, tmp_path, **STATISTICS, **({"size": "dynamic"} if free else {}))

    small = Image.fromarray(computed(file, x=_rgb())[0][0].astype(np.uint8))
    assert small.size == (10, 10)
    wanted = np.asarray(small.resize((SIDE, SIDE), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(_artifact_mask(artifact), wanted)
    assert artifact.manifest.outputs[0].shape == ((1, None, None) if free else (1, SIDE, SIDE))


def test_of_two_alike_outputs_the_user_says_which(tmp_path: Path) -> None:
    nodes = [*_nodes(), helper.make_node("Neg", ["y"], ["aux"])]
    graph = _network(nodes, _weights())
    graph.graph.output.insert(0, value("aux", (1, 3, SIDE, SIDE)))
    file = saved(graph, tmp_path)
    with pytest.raises(UsageError, match=r"aux .*, y .*--output-name"):
        _import(file, tmp_path, **STATISTICS)

    artifact = _import(file, tmp_path, output_name="y", **STATISTICS)

    wanted = computed(file, x=_rgb())[1][0].argmax(0)
    np.testing.assert_array_equal(_artifact_mask(artifact), wanted)
    assert artifact.manifest.source is not None and artifact.manifest.source.unused == ("aux",)


def test_any_size_stays_any_size(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "h"], ["y"]),
    ]
    file = saved(_network(nodes, _weights(), ("n", 3, "h", "w")), tmp_path)

    artifact = _import(file, tmp_path, size="dynamic", **STATISTICS)

    assert artifact.manifest.input.shape == (None, 3, None, None)
    for height, width in ((64, 96), (41, 77)):
        found = computed(artifact.path, input=np.ones((2, 3, height, width), np.float32))[0]
        assert found.shape == (2, 3, height, width)


# ------------------------------------------------------------------------------ hygiene


def _unnamed(graph: onnx.ModelProto) -> None:
    for node in graph.graph.node:
        node.name = ""


def _same_names(graph: onnx.ModelProto) -> None:
    for node in graph.graph.node:
        node.name = "node"


def _backwards(graph: onnx.ModelProto) -> None:
    nodes = list(graph.graph.node)[::-1]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)


def _without_output_shape(graph: onnx.ModelProto) -> None:
    graph.graph.output[0].type.tensor_type.ClearField("shape")


def _without_output_type(graph: onnx.ModelProto) -> None:
    graph.graph.output[0].ClearField("type")


def _weights_as_inputs(graph: onnx.ModelProto) -> None:
    graph.ir_version = 3
    graph.opset_import[0].version = 11
    graph.graph.input.extend(value(t.name, list(t.dims)) for t in graph.graph.initializer)


def _weights_as_nodes(graph: onnx.ModelProto) -> None:
    for index, tensor in enumerate(graph.graph.initializer):
        graph.graph.node.insert(
            index, helper.make_node("Constant", [], [tensor.name], value=tensor)
        )
    del graph.graph.initializer[:]


@pytest.mark.parametrize(
    "spoil",
    [
        _unnamed, _same_names, _backwards, _without_output_shape, _without_output_type,
        _weights_as_inputs, _weights_as_nodes,
    ],
)  # fmt: skip
def test_untidy_files(spoil: Callable[[onnx.ModelProto], None], tmp_path: Path) -> None:
    graph = _network(_nodes(), _weights())
    spoil(graph)
    file = saved(graph, tmp_path)

    artifact = _import(file, tmp_path, **STATISTICS)

    wanted = computed(_network(_nodes(), _weights()), x=_rgb())[0][0].argmax(0)
    np.testing.assert_array_equal(_artifact_mask(artifact), wanted)
    names = [node.name for node in onnx.load(artifact.path).graph.node]
    assert all(names) and len(set(names)) == len(names)


def test_weights_lie_in_a_file_beside_it_wherever_the_user_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    graph = _network(_nodes(), _weights())
    wanted = computed(graph, x=_rgb())[0][0].argmax(0)
    onnx.save(
        graph, there / "net.onnx", save_as_external_data=True, location="net.bin", size_threshold=0
    )
    monkeypatch.chdir(tmp_path)

    artifact = _import(Path("there/net.onnx"), tmp_path, **STATISTICS)

    np.testing.assert_array_equal(_artifact_mask(artifact), wanted)
    assert not onnx.load(artifact.path, load_external_data=False).graph.initializer[0].external_data


@pytest.mark.parametrize("keep_io", [True, False])
def test_half_weights_are_the_same_in_float32(keep_io: bool, tmp_path: Path) -> None:
    half = convert_float_to_float16(_network(_nodes(), _weights()), keep_io_types=keep_io)
    file = saved(half, tmp_path)

    artifact = _import(file, tmp_path, **STATISTICS)

    weights = {t.name: onnx.numpy_helper.to_array(t) for t in half.graph.initializer}
    written = [onnx.numpy_helper.to_array(t) for t in onnx.load(artifact.path).graph.initializer]
    assert {a.dtype for a in weights.values()} == {np.dtype(np.float16)}
    assert {a.dtype for a in written} == {np.dtype(np.float32)}
    assert {a.tobytes() for a in written} == {
        a.astype(np.float32).tobytes() for a in weights.values()
    }
    fed = _rgb() if keep_io else _rgb().astype(np.float16)
    wanted = computed(file, x=fed)[0][0].argmax(0)
    assert (_artifact_mask(artifact) == wanted).mean() > 0.99
    assert any("float16" in note for note in artifact.manifest.checks["notes"])


def _in_type(kind: int, dtype: Any) -> onnx.ModelProto:
    """The usual network, all of it in another type."""
    weights = [
        onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(t).astype(dtype), t.name)
        for t in _weights()
    ]
    return _network(_nodes(), weights, kind=kind, gives_kind=kind, opset=22)


@pytest.mark.parametrize(
    ("kind", "dtype", "said"),
    [
        (TensorProto.BFLOAT16, ml_dtypes.bfloat16, "its bfloat16 weights are the same in float32"),
        (TensorProto.DOUBLE, np.float64, "its float64 weights are rounded to float32"),
    ],
)
def test_types_that_onnxruntime_cannot_run_become_float32(
    kind: int, dtype: Any, said: str, tmp_path: Path
) -> None:
    network = _in_type(kind, dtype)
    file = saved(network, tmp_path)
    with pytest.raises(Exception, match="NOT_IMPLEMENTED"):
        onnxruntime.InferenceSession(file)

    artifact = _import(file, tmp_path, **STATISTICS)

    assert any(note.startswith(said) for note in artifact.manifest.checks["notes"])
    weights = [
        onnx.numpy_helper.to_array(tensor).astype(np.float32)
        for tensor in network.graph.initializer
    ]
    hidden = np.maximum(_convolved(_rgb()[0], weights[0], 1), 0)
    wanted = _convolved(hidden, weights[1], 0).argmax(0)
    assert (_artifact_mask(artifact) == wanted).mean() > 0.999


def _convolved(image: Array, kernel: Array, padding: int) -> Array:
    """By the definition of a convolution, in float64."""
    side = kernel.shape[2]
    padded = np.pad(image.astype(np.float64), ((0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
    return np.asarray(np.einsum("ihwkl,oikl->ohw", windows, kernel.astype(np.float64)))


@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("version", [7, 9, 10])
def test_old_resizes_sample_where_they_did(version: int, mode: str, tmp_path: Path) -> None:
    scales = [1.0, 1.0, 2.0, 2.0]
    small = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "h"], ["s"]),
    ]
    resize = {
        7: helper.make_node("Upsample", ["s"], ["y"], mode=mode, scales=scales),
        9: helper.make_node("Upsample", ["s", "scales"], ["y"], mode=mode),
        10: helper.make_node("Resize", ["s", "scales"], ["y"], mode=mode),
    }[version]
    constants = [*_weights(), constant("scales", np.float32(scales))]
    file = saved(_network([*small, resize], constants, opset=version), tmp_path)

    artifact = _import(file, tmp_path, **STATISTICS)

    (wanted,) = computed(file, x=_rgb())
    np.testing.assert_allclose(computed(artifact.path, input=_rgb())[0], wanted, atol=1e-5)
    assert opset(onnx.load(artifact.path)) >= 17


def test_a_conversion_that_changes_results_names_the_operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As onnx's converter does by itself with the first Resize."""
    monkeypatch.setattr("export.onnx_graph.opsets._keep_positions", lambda resize: None)
    resize = helper.make_node("Resize", ["s", "scales"], ["y"], mode="linear")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["b"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Conv", ["b", "h"], ["s"]),
        resize,
    ]
    constants = [*_weights(), constant("scales", np.float32([1, 1, 2, 2]))]
    file = saved(_network(nodes, constants, opset=10), tmp_path)
    with pytest.raises(ExportError, match=r"net.onnx.*Resize of opset 10 to 11.*export it again"):
        _import(file, tmp_path, **STATISTICS)


def test_a_branch_beside_the_convolutions(tmp_path: Path) -> None:
    def branch(name: str, operator: str) -> onnx.GraphProto:
        node = helper.make_node(operator, ["a"], [name])
        return helper.make_graph([node], name, [], [value(name, None)])

    first, _, head = _nodes()
    nodes = [
        first,
        helper.make_node("ReduceMax", ["a"], ["m"], keepdims=0),
        helper.make_node("Greater", ["m", "zero"], ["c"]),
        helper.make_node(
            "If", ["c"], ["b"], then_branch=branch("t", "Relu"), else_branch=branch("e", "Abs")
        ),
        head,
    ]
    file = saved(_network(nodes, [*_weights(), constant("zero", np.float32(0))]), tmp_path)

    artifact = _import(file, tmp_path, **STATISTICS)

    wanted = computed(file, x=_rgb())[0][0].argmax(0)
    np.testing.assert_array_equal(_artifact_mask(artifact), wanted)


# ------------------------------------------------------------------------------ refusals


def _with(change: Callable[[onnx.ModelProto], None]) -> onnx.ModelProto:
    graph = _network(_nodes(), _weights())
    change(graph)
    return graph


def _batch_0(graph: onnx.ModelProto) -> None:
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 0


def _huge(graph: onnx.ModelProto) -> None:
    for dim in list(graph.graph.input[0].type.tensor_type.shape.dim)[2:]:
        dim.dim_value = 100_000


def _nan(graph: onnx.ModelProto) -> None:
    kernel = onnx.numpy_helper.to_array(graph.graph.initializer[0]).copy()
    kernel[3, 1, 0, 0] = np.nan
    graph.graph.initializer[0].CopyFrom(constant("w", kernel))


def _stranger(graph: onnx.ModelProto) -> None:
    graph.graph.node[1].op_type, graph.graph.node[1].domain = "Magic", "some.corp"
    graph.opset_import.append(helper.make_opsetid("some.corp", 1))


def _too_new(graph: onnx.ModelProto) -> None:
    graph.opset_import[0].version = 99


def _circle(graph: onnx.ModelProto) -> None:
    graph.graph.node[0].input[0] = "b"


def _no_groups(graph: onnx.ModelProto) -> None:
    graph.graph.node[0].attribute.append(helper.make_attribute("group", 0))


def _out_of_range(graph: onnx.ModelProto) -> None:
    graph.graph.initializer.append(constant("far", np.array([70])))
    graph.graph.node[1].CopyFrom(helper.make_node("Gather", ["a", "far"], ["g"], axis=1))
    graph.graph.node.insert(2, helper.make_node("Expand", ["g", "shape"], ["b"]))
    graph.graph.initializer.append(constant("shape", np.array([1, 8, SIDE, SIDE])))


def _training(graph: onnx.ModelProto) -> None:
    graph.graph.initializer.extend(constant(n, np.ones(8, np.float32)) for n in "stuv")
    graph.graph.node[1].CopyFrom(
        helper.make_node(
            "BatchNormalization", ["a", "s", "t", "u", "v"], ["b", "m", "n"], training_mode=1
        )
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_batch_0, "batch size is 0"),
        (_huge, "1x3x100000x100000, which takes 120.0 GB"),
        (_nan, "weight w is not finite"),
        (_stranger, "operator Magic of domain some.corp"),
        (_too_new, "opset 99"),
        (_circle, "circle"),
        (_no_groups, "net.onnx"),
        (_out_of_range, "net.onnx"),
        (_training, "training form"),
    ],
)
def test_one_line_that_names_the_file(
    change: Callable[[onnx.ModelProto], None], said: str, tmp_path: Path
) -> None:
    file = saved(_with(change), tmp_path)
    with pytest.raises(ArtifactError) as caught:
        _import(file, tmp_path, **STATISTICS)
    message = str(caught.value)
    assert str(file) in message and said in message and "\n" not in message
    assert not (tmp_path / "out").exists()


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    file = saved(_network(_nodes(out="yyyy"), _weights()), tmp_path)
    file.write_bytes(file.read_bytes().replace(b"yyyy", b"\xff\xfe\xfd\xfc"))
    with pytest.raises(ArtifactError, match="is no UTF-8 name"):
        _import(file, tmp_path, **STATISTICS)


def test_weights_beyond_float32s_reach_are_not_called_a_difference(tmp_path: Path) -> None:
    graph = _network(
        _nodes(), [weight("w", 8, 3, 3, 3), constant("h", np.full((3, 8, 1, 1), 3e38, np.float32))]
    )
    with pytest.raises(ArtifactError, match="output y is not finite for ordinary images"):
        _import(saved(graph, tmp_path), tmp_path, **STATISTICS)
