from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper
from torch.nn import functional as F

from export.artifact.artifact import Artifact, load_artifact
from export.artifact.image import normalised, synthetic_images
from export.common.errors import ArtifactError, ExportError, UsageError
from export.common.files import sha256_of
from export.onnx_graph.graph import dims, opset
from export.onnx_import import import_model
from tests.export.build import computed, constant, image, model, operators, saved, value, weight

MEAN = (0.5, 0.4, 0.3)
STD = (0.2, 0.25, 0.3)
SIZE = 64
CLASSES = 21


def _conv(source: str, kernel: str, out: str, stride: int = 1) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, kernel], [out], strides=[stride, stride])


def _coarse(
    *, stride: int = 4, height: Any = SIZE, width: Any = SIZE, batch: Any = 1, opset: int = 17
) -> ModelProto:
    """The usual third-party network: 'x' to logits smaller than the image, called 'scores'."""
    small = [-(-side // stride) if isinstance(side, int) else None for side in (height, width)]
    return model(
        [_conv("x", "w", "scores", stride)],
        [value("x", (batch, 3, height, width))],
        [value("scores", (batch, CLASSES, *small))],
        [weight("w", CLASSES, 3, 1, 1)],
        opset=opset,
    )


def _import(graph: ModelProto, folder: Path, **options: Any) -> Artifact:
    given: dict[str, Any] = {"mean": MEAN, "std": STD} | options
    return import_model(saved(graph, folder), folder / "out", **given)


def _refused(
    kind: type[Exception], graph: ModelProto | bytes, folder: Path, *parts: str, **options: Any
) -> None:
    """Importing `graph` gives one line with all `parts` and leaves no file."""
    path = folder / "net.onnx"
    path.write_bytes(graph if isinstance(graph, bytes) else graph.SerializeToString())
    given: dict[str, Any] = {"mean": MEAN, "std": STD} | options
    with pytest.raises(kind) as caught:
        import_model(path, folder / "out", **given)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message
    assert [p.name for p in folder.rglob("*") if p.is_file()] == ["net.onnx"]


def _enlarged(logits: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    tensor = torch.from_numpy(logits)
    size = (height, width)
    return F.interpolate(tensor, size=size, mode="bilinear", align_corners=False).numpy()


@pytest.fixture(autouse=True)
def _without_onnxsim(request: pytest.FixtureRequest) -> None:
    """test_simplify.py, `imported` and the real files have onnxsim."""
    if not request.node.get_closest_marker("shared"):
        request.getfixturevalue("unsimplified")


# --------------------------------------------------------------------------- what is written


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(_coarse(), tmp_path_factory.mktemp("third"), "third-party")


@pytest.fixture(scope="module")
def imported(source: Path) -> Artifact:
    return import_model(source, source.parent / "out", mean=MEAN, std=STD)


def test_manifest_says_what_the_file_does_not(imported: Artifact, source: Path) -> None:
    manifest = imported.manifest

    assert manifest.name == "third-party"
    assert manifest.model == "third-party.onnx"
    assert imported.path == source.parent / "out/third-party-fp32.onnx"
    assert (manifest.input.name, manifest.input.shape) == ("input", (1, 3, SIZE, SIZE))
    assert (manifest.input.mean, manifest.input.std) == (MEAN, STD)
    assert [(o.name, o.kind, o.shape, o.dtype) for o in manifest.outputs] == [
        ("logits", "logits", (1, CLASSES, SIZE, SIZE), "float32")
    ]
    assert manifest.weights.how == "import"
    assert manifest.weights.sha256 == sha256_of(source)
    assert manifest.opset == 17
    assert manifest.ir_version <= 10
    # 16 x 16 positions of 21 kernels with 3 weights
    assert manifest.macs == 256 * CLASSES * 3
    assert manifest.checks["parity"]["argmax_agreement"] == 100
    assert manifest.checks["onnxsim"] == "not used: nothing to simplify"
    assert load_artifact(imported.path).manifest.sha256 == manifest.sha256


def test_small_logits_are_resized_to_the_images_size(imported: Artifact, source: Path) -> None:
    for seed in range(2):
        picture = next(synthetic_images(1, (SIZE, SIZE), seed=50 + seed))
        batch = normalised(picture, MEAN, STD)

        (found,) = computed(imported.path, input=batch)

        (original,) = computed(source, x=batch)
        assert original.shape == (1, CLASSES, 16, 16)
        np.testing.assert_allclose(found, _enlarged(original, SIZE, SIZE), atol=1e-4)


def test_the_graph_itself_bears_the_shapes(imported: Artifact) -> None:
    graph = onnx.load(imported.path)

    assert dims(graph.graph.input[0]) == (1, 3, SIZE, SIZE)
    assert dims(graph.graph.output[0]) == (1, CLASSES, SIZE, SIZE)
    onnx.checker.check_model(graph, full_check=True)


# 8 -> 64 is exact in float32; the factors of 25, 41 and 61 are rounded down to less than 64 rows
@pytest.mark.parametrize("small", [8, 17, 25, 41, 61])
def test_logits_of_any_size_are_resized(small: int, tmp_path: Path) -> None:
    kernel = SIZE - small + 1
    graph = model(
        [_conv("x", "w", "scores")],
        [value("x", (1, 3, SIZE, SIZE))],
        [value("scores", (1, CLASSES, small, small))],
        [weight("w", CLASSES, 3, kernel, kernel)],
        opset=17,
    )

    artifact = _import(graph, tmp_path)

    batch = image(1, 3, SIZE, SIZE)
    (found,) = computed(artifact.path, input=batch)
    wanted = _enlarged(computed(graph, x=batch)[0], SIZE, SIZE)
    assert found.shape == (1, CLASSES, SIZE, SIZE)
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


def test_logits_of_the_images_size_stay_as_they_are(tmp_path: Path) -> None:
    graph = _coarse(stride=1)

    artifact = _import(graph, tmp_path, name="other")

    batch = image(1, 3, SIZE, SIZE)
    assert operators(artifact.path) == ["Conv"]
    assert artifact.path.name == "other-fp32.onnx"
    (wanted,) = computed(graph, x=batch)
    np.testing.assert_allclose(computed(artifact.path, input=batch)[0], wanted, atol=1e-5)


def test_free_sizes_take_the_given_one(tmp_path: Path) -> None:
    graph = _coarse(batch="n", height="h", width="w", stride=1)

    artifact = _import(graph, tmp_path, size=(48, 80))

    assert artifact.manifest.input.shape == (None, 3, 48, 80)
    assert artifact.manifest.outputs[0].shape == (None, CLASSES, 48, 80)
    assert artifact.manifest.macs == 48 * 80 * CLASSES * 3
    batch = image(2, 3, 48, 80)
    np.testing.assert_allclose(
        computed(artifact.path, input=batch)[0], computed(graph, x=batch)[0], atol=1e-5
    )


def test_old_opset_is_converted(tmp_path: Path) -> None:
    graph = _coarse(opset=13)

    artifact = _import(graph, tmp_path)

    assert opset(onnx.load(artifact.path)) == artifact.manifest.opset == 18
    batch = image(1, 3, SIZE, SIZE)
    wanted = _enlarged(computed(graph, x=batch)[0], SIZE, SIZE)
    np.testing.assert_allclose(computed(artifact.path, input=batch)[0], wanted, atol=1e-4)


@pytest.mark.parametrize("opset", [13, 17])
def test_mean_over_the_map_becomes_a_global_pooling(opset: int, tmp_path: Path) -> None:
    pooled = helper.make_node("ReduceMean", ["x"], ["p"], axes=[2, 3], keepdims=1)
    nodes = [pooled, _conv("x", "w", "a"), _conv("p", "w", "b")]
    nodes.append(helper.make_node("Add", ["a", "b"], ["y"]))
    graph = model(
        nodes,
        [value("x", (1, 3, SIZE, SIZE))],
        [value("y", (1, CLASSES, SIZE, SIZE))],
        [weight("w", CLASSES, 3, 1, 1)],
        opset=opset,
    )

    artifact = _import(graph, tmp_path)

    assert "GlobalAveragePool" in operators(artifact.path)
    assert "ReduceMean" not in operators(artifact.path)
    assert artifact.manifest.checks["global_average_pools"] == 1
    batch = image(1, 3, SIZE, SIZE)
    np.testing.assert_allclose(
        computed(artifact.path, input=batch)[0], computed(graph, x=batch)[0], atol=1e-5
    )


def test_inner_tensors_that_bear_the_artifacts_names_step_aside(tmp_path: Path) -> None:
    nodes = [_conv("x", "input", "logits"), helper.make_node("Neg", ["logits"], ["y"])]
    graph = model(
        nodes,
        [value("x", (1, 3, SIZE, SIZE))],
        [value("y", (1, CLASSES, SIZE, SIZE))],
        [weight("input", CLASSES, 3, 1, 1)],
    )

    artifact = _import(graph, tmp_path)

    batch = image(1, 3, SIZE, SIZE)
    np.testing.assert_allclose(
        computed(artifact.path, input=batch)[0], computed(graph, x=batch)[0], atol=1e-5
    )


def test_constants_among_the_inputs_and_outputs_nobody_asked_for_go(tmp_path: Path) -> None:
    nodes = [_conv("x", "w", "y"), _conv("x", "w", "aux", 8)]
    graph = model(
        nodes,
        [value("x", (1, 3, SIZE, SIZE)), value("w", (CLASSES, 3, 1, 1))],
        [value("y", (1, CLASSES, SIZE, SIZE)), value("aux", (1, CLASSES, 8, 8))],
        [weight("w", CLASSES, 3, 1, 1)],
    )

    artifact = _import(graph, tmp_path)

    written = onnx.load(artifact.path).graph
    assert [v.name for v in written.input] == ["input"]
    assert [v.name for v in written.output] == ["logits"]


def _with_mask() -> ModelProto:
    nodes = [
        _conv("x", "w", "y", 1),
        helper.make_node("ArgMax", ["y"], ["m"], axis=1, keepdims=0),
    ]
    return model(
        nodes,
        [value("x", (1, 3, SIZE, SIZE))],
        [value("m", (1, SIZE, SIZE), TensorProto.INT64)],
        [weight("w", CLASSES, 3, 1, 1)],
    )


def test_a_network_that_gives_a_mask(tmp_path: Path) -> None:
    graph = _with_mask()

    artifact = _import(graph, tmp_path)

    assert artifact.path.name == "net-fp32-mask.onnx"
    assert [(o.kind, o.shape, o.dtype) for o in artifact.manifest.outputs] == [
        ("mask", (1, SIZE, SIZE), "int64")
    ]
    batch = image(1, 3, SIZE, SIZE)
    np.testing.assert_array_equal(
        computed(artifact.path, input=batch)[0], computed(graph, x=batch)[0]
    )


def test_traces_of_its_making_are_removed(tmp_path: Path) -> None:
    graph = _coarse()
    graph.producer_name = graph.doc_string = graph.graph.node[0].doc_string = "/home/alice/net.py"

    artifact = _import(graph, tmp_path)

    raw = artifact.path.read_bytes()
    assert b"alice" not in raw
    assert str(tmp_path).encode() not in raw


# --------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(("height", "width"), [("h", "w"), (SIZE, "w"), (None, None)])
def test_size_is_asked_for_by_name(height: Any, width: Any, tmp_path: Path) -> None:
    graph = _coarse(height=height, width=width)

    _refused(UsageError, graph, tmp_path, "--size H W is needed", "net.onnx")


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((0, 64), "must be at least 33"),
        ((-1, 64), "must be at least 33"),
        ((32, 32), "must be at least 33"),
        ((65, 64), "fixed to 64 64"),
    ],
)
def test_sizes_that_cannot_be(size: tuple[int, int], reason: str, tmp_path: Path) -> None:
    _refused(UsageError, _coarse(), tmp_path, reason, size=size)


@pytest.mark.parametrize("content", [b"", b"hello, I am text\n", b"\x89PNG\r\n\x1a\n" + bytes(64)])
def test_no_onnx_file(content: bytes, tmp_path: Path) -> None:
    _refused(ArtifactError, content, tmp_path, "net.onnx: not a valid ONNX model")


def test_weights_in_a_file_that_is_not_there(tmp_path: Path) -> None:
    graph = _coarse()
    onnx.external_data_helper.convert_model_to_external_data(
        graph, location="net.data", size_threshold=0
    )
    tensor = graph.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")

    _refused(ArtifactError, graph, tmp_path, "net.onnx", "net.data")


def test_already_quantized(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        _conv("d", "w", "y"),
    ]
    constants = [
        weight("w", CLASSES, 3, 1, 1),
        constant("scale", np.float32(0.1)),
        constant("zero", np.uint8(128)),
    ]
    graph = model(
        nodes,
        [value("x", (1, 3, SIZE, SIZE))],
        [value("y", (1, CLASSES, SIZE, SIZE))],
        constants,
    )

    _refused(ArtifactError, graph, tmp_path, "already quantized", "import its fp32 original")


def test_wrong_class_count(tmp_path: Path) -> None:
    names = tmp_path / "net.onnx.names"
    names.write_text("road\nsky\n")
    folder = tmp_path / "files"
    folder.mkdir()

    _refused(
        ArtifactError,
        _coarse(),
        folder,
        "21 channels, the class list has 2 names",
        "--classes FILE",
        classes=str(names),
    )


def test_wrong_class_count_that_the_file_does_not_declare(tmp_path: Path) -> None:
    # four classes; Reshape's -1 hides that from whoever only reads the file
    shape = constant("shape", np.array([1, -1, SIZE, SIZE], np.int64))
    graph = model(
        [_conv("x", "w", "c"), helper.make_node("Reshape", ["c", "shape"], ["y"])],
        [value("x", (1, 3, "h", "w"))],
        [value("y", (1, None, "h", "w"))],
        [weight("w", 4, 3, 1, 1), shape],
    )

    _refused(ArtifactError, graph, tmp_path, "4", "21", "--classes", size=(SIZE, SIZE))


@pytest.mark.parametrize(
    "inputs",
    [
        [value("x", (1, 3, SIZE, SIZE)), value("other", (1, 3, SIZE, SIZE))],
        [value("x", (1, 5, SIZE, SIZE))],
        [value("x", (3, SIZE, SIZE))],
        [value("x", (1, 3, SIZE, SIZE), TensorProto.INT64)],
    ],
    ids=["two", "five channels", "no batch", "integers"],
)
def test_inputs_that_are_no_image(inputs: list[onnx.ValueInfoProto], tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", [v.name], [f"s{i}"], start=0, end=1) for i, v in enumerate(inputs)
    ]
    nodes += [
        helper.make_node("Concat", ["s0", "four"], ["s"], axis=0),
        helper.make_node("RandomNormal", [], ["y"], shape=[1, CLASSES, SIZE, SIZE]),
    ]
    graph = model(
        nodes,
        inputs,
        [value("y", (1, CLASSES, SIZE, SIZE))],
        [constant("four", np.array([4], np.int64))],
    )

    _refused(ArtifactError, graph, tmp_path, "inputs are x", "needed is one float32 (N, 3, H, W)")


def test_parity_is_enforced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(graph: ModelProto) -> int:
        kernel = onnx.numpy_helper.to_array(graph.graph.initializer[0])
        graph.graph.initializer[0].CopyFrom(constant("w", kernel[::-1].copy()))
        return 0

    monkeypatch.setattr("export.onnx_import.pool_means", spoil)

    _refused(ExportError, _coarse(), tmp_path, "net.onnx: original against imported")


# --------------------------------------------------------------------------------- real files


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "size", "means"),
    # ESPNetv2 has three global means, and four over 2x2 blocks of a 6-dimensional view
    [("espnetv2_s1.0_voc_384", 384, (3, 4)), ("tf_deeplabv3_mobilenetv2_voc_513", 513, (1, 0))],
)
def test_real_networks(
    name: str, size: int, means: tuple[int, int], shared: Path, tmp_path: Path
) -> None:
    source = shared / f"networks/{name}.onnx"
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    artifact = import_model(source, tmp_path, mean=mean, std=std)

    manifest = artifact.manifest
    assert artifact.path.name == f"{name.replace('.', '-')}-fp32.onnx"
    assert manifest.input.shape == (1, 3, size, size)
    assert manifest.outputs[0].shape == (1, 21, size, size)
    found_operators = operators(artifact.path)
    assert found_operators.count("GlobalAveragePool") == means[0]
    assert found_operators.count("ReduceMean") == means[1]
    picture = next(synthetic_images(1, (size, size), seed=77))
    batch = normalised(picture, mean, std)
    loaded = onnx.load(source).graph
    original = computed(source, **{loaded.input[0].name: batch})[0]
    if original.shape[2:] != (size, size):
        original = _enlarged(original, size, size)
    (found,) = computed(artifact.path, input=batch)
    np.testing.assert_allclose(found, original, atol=1e-3 * np.abs(original).max())
    assert (found.argmax(1) == original.argmax(1)).mean() > 0.999
