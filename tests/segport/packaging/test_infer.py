"""infer.py gives the masks of `segport predict`, for whatever a manifest can say."""

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import segport
from export.artifact.artifact import Artifact
from export.onnx_export import export_model
from segport.packaging.inside import infer
from tests.segport.packaging.conftest import Made

Make = Callable[[Path], Artifact]
CLASSES = 5


def _exported(**named: object) -> Make:
    def make(folder: Path) -> Artifact:
        size = named.get("size", (65, 65))
        arguments = {"size": size, "name": "net"} | named
        return export_model("tests.networks:tiny", "default", folder, **arguments)  # type: ignore[arg-type]

    return make


def _imported(channels: int, named: dict[str, object], dtype: int = TensorProto.FLOAT) -> Make:
    """A third-party file: classes are sums of channels, with biases that part the values."""

    def make(folder: Path) -> Artifact:
        rng = np.random.default_rng(channels)
        scale = 1.0 if dtype == TensorProto.FLOAT else 1 / 255
        weight = scale * rng.normal(size=(CLASSES, channels, 3, 3)).astype(np.float32)
        shape = [1, channels, 48, 64]
        cast = [helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT)]
        conv = helper.make_node("Conv", ["f", "w"], ["y"], pads=[1] * 4)
        graph = helper.make_graph(
            [*cast, conv],
            "theirs",
            [helper.make_tensor_value_info("x", dtype, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, CLASSES, 48, 64])],
            [numpy_helper.from_array(weight.astype(np.float32), "w")],
        )
        opsets = [helper.make_opsetid("", 17)]
        file = folder / "theirs.onnx"
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), file)
        names = ",".join("abcde"[:CLASSES])
        return segport.import_(file, folder, name="net", classes=names, **named)  # type: ignore[arg-type]

    return make


NETWORKS: dict[str, Make] = {
    "logits": _exported(output="logits"),
    "mask": _exported(output="mask"),
    "both": _exported(output="both"),
    "any size": _exported(size=None),
    "any batch": _exported(batch=None),
    "batch of two": _exported(batch=2),
    "oblong": _exported(size=(49, 97)),
    "other statistics": _exported(mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3)),
    "grey": _imported(1, {"mean": [0.4], "std": [0.2], "channels": "grey"}),
    "alpha": _imported(4, {"mean": [0.5], "std": [0.5], "channels": "rgba"}),
    "bgr": _imported(3, {"mean": [0.4, 0.5, 0.6], "std": [0.2], "channels": "bgr"}),
    "0-255": _imported(3, {"range_": "0-255", "mean": [120.0], "std": [60.0]}),
    "normalises inside": _imported(3, {"range_": "0-255"}, TensorProto.UINT8),
}


def _expected(artifact: Path, picture: Path, folder: Path, runtime: str | None = None) -> Path:
    from segport.commands.predict import predict

    predict(artifact, str(picture), folder, runtime=runtime)
    return folder / f"{picture.stem}-mask.png"


def _same(artifact: Path, picture: Path, folder: Path, runtime: str | None = None) -> None:
    network = infer.Network(artifact)
    mask = network.mask(network.picture(picture))
    expected = np.asarray(Image.open(_expected(artifact, picture, folder, runtime)))
    assert mask.shape == expected.shape and mask.dtype == np.uint8
    assert int((mask != expected).sum()) == 0
    assert len(np.unique(expected)) > 1, "a mask of one class shows nothing"


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_masks_are_those_of_predict(name: str, pictures: Path, tmp_path: Path) -> None:
    artifact = NETWORKS[name](tmp_path)
    for picture in sorted(pictures.iterdir()):
        _same(artifact.path, picture, tmp_path)


@pytest.mark.parametrize("id", ["fp16", "int8", "int8@npu"])
def test_quantized_files_give_what_predict_gives_on_the_cpu(
    id: str, made: Made, tmp_path: Path
) -> None:
    for picture in sorted(made.pictures.iterdir()):
        _same(made.artifacts[id], picture, tmp_path, "ort-cpu")


@pytest.mark.parametrize("kind", ["L", "P", "RGBA", "CMYK", "I;16", "turned"])
def test_pictures_of_any_mode_are_read_alike(kind: str, made: Made, tmp_path: Path) -> None:
    source = Image.open(made.pictures / "0.png")
    file = tmp_path / ("picture.jpg" if kind in ("CMYK", "turned") else "picture.png")
    if kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6  # turned by a quarter
        source.save(file, exif=exif)
    elif kind == "I;16":
        grey = np.asarray(source.convert("L")).astype(np.uint16) * 257
        Image.fromarray(grey).save(file)
    else:
        source.convert(kind).save(file)
    _same(made.artifacts["fp32"], file, tmp_path)


def test_it_runs_as_a_script_and_colours_the_mask(made: Made, tmp_path: Path) -> None:
    picture, mask = made.pictures / "1.png", tmp_path / "mask.png"
    command = [sys.executable, made.package / "infer.py", made.package / "onnx/model_int8.onnx"]
    subprocess.run([*command, picture, mask], check=True, cwd=tmp_path)
    expected = Image.open(_expected(made.artifacts["int8"], picture, tmp_path))
    found = Image.open(mask)
    assert np.array_equal(np.asarray(found), np.asarray(expected))
    assert np.array_equal(np.asarray(found.convert("RGB")), np.asarray(expected.convert("RGB")))


def test_it_is_short_and_needs_three_packages(made: Made) -> None:
    text = (made.package / "infer.py").read_text()
    assert len(text.splitlines()) < 60
    nodes = list(ast.walk(ast.parse(text)))
    modules = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    modules |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    standard = {"json", "sys", "pathlib", "typing"}
    assert modules - standard == {"numpy", "onnxruntime", "PIL"}
