import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import ModelProto
from PIL import Image

from export.artifact.artifact import Artifact, load_artifact
from export.artifact.class_map import class_map
from export.artifact.image import normalised, synthetic_images
from export.artifact.sample import Sample
from export.common.errors import (
    ExportError,
    SegportError,
    UsageError,
)
from export.common.files import sha256_of
from export.onnx_export import export_model
from export.onnx_graph.graph import dims
from tests import networks
from tests.export import odd_networks
from tests.export.build import computed, operators

MODEL = "tests.networks:tiny"
ODD = "tests.export.odd_networks"
SIZE = (65, 65)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _image(height: int, width: int, batch: int = 1) -> NDArray[np.float32]:
    pictures = synthetic_images(batch, (height, width), seed=1000)
    return np.concatenate([normalised(picture, MEAN, STD) for picture in pictures])


def _torch(image: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.no_grad():
        return networks.tiny()(torch.from_numpy(image)).numpy()


# ------------------------------------------------------------------------- what is exported


def test_manifest(tiny: Artifact) -> None:
    manifest = tiny.manifest

    assert (manifest.name, manifest.model, manifest.precision) == ("tiny", MODEL, "fp32")
    assert tiny.path.name == "tiny-fp32.onnx"
    assert manifest.input.model_dump() == {
        "name": "input",
        "shape": (1, 3, 65, 65),
        "layout": "NCHW",
        "dtype": "float32",
        "mean": MEAN,
        "std": STD,
        "colour_order": "RGB",
    }
    assert [(o.name, o.kind, o.shape, o.dtype) for o in manifest.outputs] == [
        ("logits", "logits", (1, 21, 65, 65), "float32")
    ]
    assert len(manifest.classes) == len(manifest.palette) == 21
    assert (manifest.weights.how, manifest.weights.file) == ("default", None)
    assert (manifest.opset, manifest.parent_sha256, manifest.target) == (18, None, None)
    assert manifest.images == ()
    assert manifest.sha256 == sha256_of(tiny.path)
    assert {"python", "segport", "torch", "onnx", "numpy"} <= set(manifest.versions)
    assert any(name.startswith("onnxruntime") for name in manifest.versions)
    assert load_artifact(tiny.path).manifest.model_dump(mode="json") == manifest.model_dump(
        mode="json"
    )


def test_cost_in_the_manifest(tiny: Artifact) -> None:
    # at 65x65 the stem (stride 2, padding 1) gives 33x33 = 1089 positions
    stem, depthwise, pointwise = 1089 * 8 * 27, 1089 * 8 * 9, 1089 * 8 * 8
    pool, head = 8 * 8, 1089 * 21 * 16
    params = (8 * 27 + 8) + 2 * 8 + (8 * 9 + 8) + (8 * 8 + 8) * 2 + (21 * 16 + 21)

    assert tiny.manifest.macs == stem + depthwise + pointwise + pool + head
    assert tiny.manifest.macs_shape == (3, 65, 65)
    assert tiny.manifest.params == params
    # two ReLU6, one ReLU, one sum, two resizes
    uncounted = {"Add": 1, "Clip": 2, "GlobalAveragePool": 1, "Relu": 1, "Resize": 2}
    assert tiny.manifest.uncounted == uncounted


def test_parity_is_measured_and_recorded(tiny: Artifact) -> None:
    parity = tiny.manifest.checks["parity"]

    assert (parity["images"], parity["on"]) == (2, "synthetic images")
    assert 0 <= parity["max_abs_diff"] <= 1e-3 * parity["max_abs_logit"]
    assert parity["argmax_agreement"] >= 99.99
    # the same two images through torch and plain onnxruntime
    images = [normalised(next(synthetic_images(1, SIZE, seed)), MEAN, STD) for seed in (0, 1)]
    largest = max(np.abs(_torch(image)).max() for image in images)
    assert parity["max_abs_logit"] == pytest.approx(largest, rel=1e-5)
    for image in images:
        (found,) = computed(tiny.path, input=image)
        assert np.abs(found - _torch(image)).max() <= 1e-3 * largest


def test_file_says_what_the_manifest_says(tiny: Artifact) -> None:
    graph = onnx.load(tiny.path, load_external_data=False)

    onnx.checker.check_model(graph, full_check=True)
    assert [(o.domain, o.version) for o in graph.opset_import] == [("", 18)]
    assert graph.ir_version == tiny.manifest.ir_version <= 10
    assert [(v.name, dims(v)) for v in graph.graph.input] == [("input", (1, 3, 65, 65))]
    assert [(v.name, dims(v)) for v in graph.graph.output] == [("logits", (1, 21, 65, 65))]


def test_weights_are_in_the_file(tiny: Artifact) -> None:
    graph = onnx.load(tiny.path, load_external_data=False)

    default = onnx.TensorProto.DEFAULT
    assert all(t.data_location == default for t in graph.graph.initializer)
    # BatchNorm is folded into the stem, so its 16 values are gone
    floats = [t for t in graph.graph.initializer if t.name.startswith("network.")]
    assert sum(int(np.prod(t.dims)) for t in floats) == (tiny.manifest.params or 0) - 16
    assert {path.suffix for path in tiny.path.parent.iterdir()} == {".onnx", ".json"}


def test_image_pooling_is_a_global_average_pool(tiny: Artifact) -> None:
    assert operators(tiny.path).count("GlobalAveragePool") == 1
    assert "ReduceMean" not in operators(tiny.path)
    assert tiny.manifest.checks["global_average_pools"] == 1


def test_no_trace_of_its_making(tiny: Artifact) -> None:
    raw = tiny.path.read_bytes()
    graph = onnx.load(tiny.path)

    for trace in ("/work", "/tmp", "/home", "site-packages", ".py", "torch", 'File "', "stack"):
        assert trace.encode() not in raw, trace
    assert str(Path.cwd()).encode() not in raw
    # at least three parts make an absolute path
    assert re.search(rb"/[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+/", raw) is None
    assert graph.doc_string == graph.graph.doc_string == ""
    for holder in (graph, graph.graph, *graph.graph.node, *graph.graph.value_info):
        assert len(holder.metadata_props) == 0
        assert holder.doc_string == ""


@pytest.mark.slow
@pytest.mark.processes
def test_a_crash_of_onnxsim_changes_no_byte(
    tiny: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.simplify._CHILD", "import os; os.abort()")

    crashed = export_model(MODEL, "default", tmp_path, size=SIZE, name="tiny")

    assert crashed.manifest.checks["onnxsim"] == "not used: onnxsim ended with exit code -6"
    assert tiny.manifest.checks["onnxsim"] == "not used: nothing to simplify"
    assert crashed.path.read_bytes() == tiny.path.read_bytes()


@pytest.mark.slow
def test_another_process_writes_the_same_bytes(tiny: Artifact, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\n"
        "from export.onnx_export import export_model\n"
        f"export_model({MODEL!r}, 'default', Path({str(tmp_path)!r}), size={SIZE}, name='tiny')\n"
    )
    # another hash seed shuffles the order of sets
    environment = os.environ | {"PYTHONHASHSEED": "12345"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)

    for name in ("tiny-fp32.onnx", "tiny-fp32.json"):
        assert (tmp_path / name).read_bytes() == (tiny.path.parent / name).read_bytes()


@pytest.mark.slow
@pytest.mark.usefixtures("unsimplified")
def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    given = Sample("mine", _image(*SIZE), "0" * 64)
    artifact = export_model(MODEL, "default", tmp_path, size=SIZE, images=[given])

    assert capfd.readouterr() == ("", "")
    assert artifact.path.name == "tests-networks-tiny-fp32.onnx"
    # the images given are what is compared on
    parity = artifact.manifest.checks["parity"]
    assert (parity["images"], parity["on"]) == (1, "images")
    assert parity["max_abs_logit"] == pytest.approx(float(np.abs(_torch(given.image)).max()))


# ------------------------------------------------------------------------- size and outputs


@pytest.fixture(scope="module")
def dynamic(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Free size and batch, both outputs."""
    folder = tmp_path_factory.mktemp("dynamic")
    return export_model(MODEL, "default", folder, size=None, batch=None, output="both", name="free")


@pytest.mark.slow
def test_dynamic_manifest(dynamic: Artifact) -> None:
    manifest = dynamic.manifest

    assert manifest.input.shape == (None, 3, None, None)
    assert [(o.kind, o.shape, o.dtype) for o in manifest.outputs] == [
        ("logits", (None, 21, None, None), "float32"),
        ("mask", (None, None, None), "uint8"),
    ]
    # costs need a size: that of the published tables, where the stem gives 257x257
    assert manifest.macs_shape == (3, 513, 513)
    assert manifest.macs == 257**2 * (8 * 27 + 8 * 9 + 8 * 8 + 21 * 16) + 8 * 8
    assert manifest.checks["onnxsim"].startswith("used: ")
    assert "GlobalAveragePool" in operators(dynamic.path)


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 65, 65), (3, 65, 97), (2, 33, 120)])
def test_dynamic_file_takes_any_size(
    dynamic: Artifact, batch: int, height: int, width: int
) -> None:
    image = _image(height, width, batch)

    logits, mask = computed(dynamic.path, input=image)

    wanted = _torch(image)
    assert logits.shape == (batch, 21, height, width)
    np.testing.assert_allclose(logits, wanted, atol=1e-3 * np.abs(wanted).max())
    assert mask.dtype == np.uint8
    assert mask.shape == (batch, height, width)
    np.testing.assert_array_equal(mask, logits.argmax(1))
    assert len(np.unique(mask)) > 2  # not vacuous


@pytest.mark.slow
def test_mask_alone(tiny: Artifact, tmp_path: Path) -> None:
    artifact = export_model(
        MODEL, "default", tmp_path, size=(65, 97), batch=2, output="mask", name="tiny"
    )

    assert artifact.path.name == "tiny-fp32-mask.onnx"
    assert artifact.manifest.input.shape == (2, 3, 65, 97)
    assert [(o.name, o.kind, o.shape, o.dtype) for o in artifact.manifest.outputs] == [
        ("mask", "mask", (2, 65, 97), "uint8")
    ]
    parity = artifact.manifest.checks["parity"]
    assert parity["max_abs_diff"] is None
    assert parity["argmax_agreement"] >= 99.99
    image = _image(65, 97, 2)
    (mask,) = computed(artifact.path, input=image)
    assert mask.dtype == np.uint8
    assert (mask == class_map(_torch(image))).mean() >= 0.9999


@pytest.mark.slow
@pytest.mark.shared
def test_a_real_checkpoint_on_a_real_image(shared: Path, trained: Artifact) -> None:
    checkpoint = shared / "checkpoints/deeplabv3_mobilenet_voc_os16.pth"
    voc = shared / "voc/VOCdevkit/VOC2012"
    name = (voc / "ImageSets/Segmentation/val.txt").read_text().split()[0]
    size = (257, 257)

    manifest = trained.manifest
    assert (manifest.output_stride, manifest.weights.how) == (16, "file")
    assert manifest.weights.sha256 == sha256_of(checkpoint)
    assert (manifest.params, manifest.checks["global_average_pools"]) == (5_113_877, 1)
    assert "BatchNormalization" not in operators(trained.path)
    picture = Image.open(voc / f"JPEGImages/{name}.jpg").convert("RGB").resize(size)
    label = Image.open(voc / f"SegmentationClass/{name}.png").resize(size, Image.Resampling.NEAREST)
    (logits,) = computed(trained.path, input=normalised(np.asarray(picture), MEAN, STD))
    wanted = np.asarray(label)
    right = (logits[0].argmax(0) == wanted)[wanted != 255]
    assert right.mean() > 0.8  # a wrong weight or a wrong preprocessing gives far less


# --------------------------------------------------------------------------------- bad input


def _refused(kind: type[Exception], folder: Path, *parts: str, **options: Any) -> None:
    """Exporting gives one line with all `parts` and leaves no file."""
    given: dict[str, Any] = {"model": MODEL, "weights": "default", "size": SIZE} | options
    model, weights = given.pop("model"), given.pop("weights")
    with pytest.raises(kind) as caught:
        export_model(model, weights, folder / "out", **given)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message
    assert list(folder.rglob("*.onnx")) == list(folder.rglob("*fp32*")) == []
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"size": (32, 65)}, "size 32 65: both must be at least 33"),
        ({"size": (65, 32)}, "size 65 32: both must be at least 33"),
        ({"size": (0, 0)}, "size 0 0"),
        ({"size": (-65, 65)}, "size -65 65"),
        ({"batch": 0}, "batch 0: give a positive number or 'dynamic'"),
        ({"batch": -1}, "batch -1"),
        ({"output": "masks"}, "unknown output 'masks': did you mean 'mask'?"),
        ({"model": "deeplabv3_mobilnet"}, "did you mean 'deeplabv3_mobilenet'?"),
        ({"output_stride": 8}, "--output-stride does not apply"),
        ({"model": "no_such:thing"}, "no_such:thing"),
        ({"name": "../escape"}, "name '../escape'"),
    ],
)
def test_bad_arguments(options: dict[str, Any], reason: str, tmp_path: Path) -> None:
    _refused(UsageError, tmp_path, reason, **options)


@pytest.mark.parametrize("output", ["logits", "mask", "both"])
def test_wrong_class_count(output: str, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("road\nsky\ncar\n")

    _refused(
        ExportError, tmp_path, "21 classes", "3", "--classes", classes=str(names), output=output
    )


@pytest.mark.parametrize("output", ["logits", "mask", "both"])
def test_a_network_that_gives_nan(output: str, tmp_path: Path) -> None:
    _refused(ExportError, tmp_path, "not finite", model=f"{ODD}:NotFinite", output=output)


@pytest.mark.parametrize("name", ["Branching", "Silent"])
def test_networks_that_cannot_be_exported(name: str, tmp_path: Path) -> None:
    _refused(ExportError, tmp_path, f"{ODD}:{name}", model=f"{ODD}:{name}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [("InTuple", {}), ("InNamedTuple", {}), ("TwoAlike", {"output_name": "fine"})],
)
@pytest.mark.usefixtures("unsimplified")
def test_networks_that_give_more_than_a_tensor(
    name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    artifact = export_model(f"{ODD}:{name}", "default", tmp_path, size=SIZE, name="n", **options)

    plain = odd_networks._Plain().eval()
    batch = _image(*SIZE)
    wanted = plain(torch.from_numpy(batch)).detach().numpy()
    np.testing.assert_allclose(computed(artifact.path, input=batch)[0], wanted, atol=1e-5)
    assert artifact.manifest.answer == (
        {"name": "fine", "kind": None, "threshold": 0.5} if options else None
    )


def test_of_two_alike_maps_the_user_says_which(tmp_path: Path) -> None:
    _refused(UsageError, tmp_path, "coarse", "fine", "--output-name", model=f"{ODD}:TwoAlike")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind"), [("OneChannel", "binary-logit"), ("OneProbability", "binary-probability")]
)
@pytest.mark.usefixtures("unsimplified")
def test_one_channel_becomes_background_and_a_class(name: str, kind: str, tmp_path: Path) -> None:
    _refused(UsageError, tmp_path, "--kind", model=f"{ODD}:{name}", classes="background,person")

    artifact = export_model(
        f"{ODD}:{name}", "default", tmp_path, size=SIZE, name="n", kind=kind, classes="person",
        threshold=0.4,
    )  # fmt: skip

    batch = _image(*SIZE)
    logit = odd_networks._Plain().eval()(torch.from_numpy(batch))[0, 0].detach().numpy()
    wanted = 1 / (1 + np.exp(-logit)) > 0.4
    assert 0.05 < wanted.mean() < 0.95
    np.testing.assert_array_equal(computed(artifact.path, input=batch)[0][0].argmax(0), wanted)
    assert artifact.manifest.classes == ("background", "person")


@pytest.mark.usefixtures("unsimplified")
def test_a_network_without_parameters(tmp_path: Path) -> None:
    artifact = export_model(f"{ODD}:WithoutParameters", "default", tmp_path, size=SIZE)

    assert (artifact.manifest.params, artifact.manifest.macs) == (0, 0)


@pytest.mark.parametrize("spoiled", ["classes", "logits"])
@pytest.mark.usefixtures("unsimplified")
def test_parity_is_enforced(spoiled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(graph: ModelProto) -> int:
        """Change the head: other classes, or the same classes with other logits."""
        for tensor in graph.graph.initializer:
            if "head" in tensor.name:
                array = onnx.numpy_helper.to_array(tensor)
                array = array[::-1].copy() if spoiled == "classes" else array * np.float32(1.01)
                tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
        return 0

    monkeypatch.setattr("export.onnx_export.pool_means", spoil)
    reason = "argmax agreement" if spoiled == "classes" else "logits differ by"

    _refused(ExportError, tmp_path, f"{MODEL}: torch against onnxruntime: {reason}")


@pytest.mark.slow
@pytest.mark.usefixtures("unsimplified")
def test_a_dynamic_dimension_that_became_fixed_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what the exporter does when it cannot keep a dimension free: it fixes it and says nothing
    real = torch.onnx.export

    def fixed(*args: Any, **options: Any) -> Any:
        return real(*args, **options | {"dynamic_shapes": None})

    monkeypatch.setattr("torch.onnx.export", fixed)
    _refused(SegportError, tmp_path, "exported file: inputs", batch=None)
