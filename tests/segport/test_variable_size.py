"""Protocol `torchvision`: images of their own aspect, and an artifact that takes any size."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as tf
from torchvision.transforms._presets import SemanticSegmentation

from tests.export.build import plain_session
from tests.networks import tiny as tiny_network
from tests.segport.command import segport
from validate.judging.second_size import size_warnings
from validate.result.facts import SecondSizeFacts
from validate.speed.latency import measure_latency

pytestmark = pytest.mark.slow

MODEL = "tests.networks:tiny"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, make_voc: Callable[..., Path]) -> Path:
    """VOC with a wide, an upright and a square image in `val`."""
    root = make_voc(tmp_path_factory.mktemp("data") / "VOC2012", train=2, val=3)
    for name, size in (("val_001", (60, 91)), ("val_002", (70, 70)), ("train_001", (60, 91))):
        for path in (root / f"JPEGImages/{name}.jpg", root / f"SegmentationClass/{name}.png"):
            picture = Image.open(path)
            picture.resize(size, Image.Resampling.NEAREST).save(path)
    return root


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory, data: Path) -> list[Path]:
    """fp32, fp16 and int8 of any size, calibrated with images of several sizes."""
    folder = tmp_path_factory.mktemp("dynamic")
    common = ["--name", "tiny", "-o", folder]
    made = segport("export", MODEL, "--weights", "default", "--size", "dynamic", *common)
    assert made.code == 0, made.err
    fp32 = folder / "tiny-fp32.onnx"
    calibrated = ["--calibration", data, "-o", folder]
    for more in (
        ["--precision", "fp16"],
        ["--precision", "int8", "--target", "cpu"],
    ):
        made = segport("quantize", fp32, *more, "--protocol", "torchvision", *calibrated)
        assert made.code == 0, made.err
    return [folder / f"tiny-{precision}.onnx" for precision in ("fp32", "fp16", "int8")]


@pytest.fixture(scope="module")
def folder(artifacts: list[Path], data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `validate --protocol torchvision` wrote its result."""
    out = tmp_path_factory.mktemp("result")
    arguments = ["--data", data, "--protocol", "torchvision", "--reference", "torch", "-o", out]
    answer = segport("validate", *artifacts, *arguments)
    assert answer.code == 0, answer.err
    return out


def _expected(data: Path, name: str) -> np.ndarray:
    """torchvision's preset, network and label resize; counts by (label, prediction)."""
    image = Image.open(data / f"JPEGImages/{name}.jpg").convert("RGB")
    label = Image.open(data / f"SegmentationClass/{name}.png")
    wanted = np.asarray(tf.resize(label, 520, InterpolationMode.NEAREST)).astype(int)
    with torch.no_grad():
        logits = tiny_network()(SemanticSegmentation(resize_size=520)(image)[None])
    predicted = logits.argmax(1)[0].numpy()
    counts = np.zeros((21, 21), int)
    np.add.at(counts, (wanted[wanted < 255], predicted[wanted < 255]), 1)
    return counts


def test_counts_are_those_of_torchvisions_own_pipeline(folder: Path, data: Path) -> None:
    found = np.load(folder / "confusion.npz")
    for index, name in enumerate(["val_000", "val_001", "val_002"]):
        expected = _expected(data, name)
        for key in ("torch-fp32", "fp32"):
            assert found[key][index].sum() == expected.sum()
            # normalised in another order, so a near tie may fall the other way: 10 of 300 000
            assert np.abs(found[key][index] - expected).sum() <= 2 * 10
    assert [int(n) for n in found["fp32"].sum((1, 2))] != [520 * 520] * 3


def test_the_result_says_which_protocol(folder: Path) -> None:
    result = json.loads((folder / "result.json").read_text())
    assert result["protocol"] == "torchvision"
    assert [a["id"] for a in result["artifacts"]] == ["torch-fp32", "fp32", "fp16", "int8"]
    fp32, fp16, int8 = result["artifacts"][1:]
    assert fp32["agreement"] > 99.99 and fp16["agreement"] > 98 and int8["agreement"] > 80
    assert int8["int8_verified"] is True


def test_any_size_serves_the_other_protocols_too(
    artifacts: list[Path], data: Path, tmp_path: Path
) -> None:
    for protocol in ("squash", "center-crop", "full"):
        out = tmp_path / protocol
        answer = segport(
            "validate", *artifacts, "--data", data, "--protocol", protocol, "-o", out, "--limit", 1
        )
        assert answer.code == 0, answer.err
        assert json.loads((out / "result.json").read_text())["protocol"] == protocol


def test_latency_is_measured_at_the_size_macs_are_counted_at(
    artifacts: list[Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it would be that of whichever image comes first."""
    shapes = []

    def measure(runtimes: Any, image: Any, progress: Any) -> Any:
        shapes.append(image.shape)
        return measure_latency(runtimes, image, progress)

    monkeypatch.setattr("validate.judging.timing.measure_latency", measure)
    answer = segport(
        "validate", artifacts[0], "--data", data, "--protocol", "torchvision", "-o", tmp_path,
        "--limit", 1, "--json",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert [list(shape[1:]) for shape in shapes] == [answer.json["shape"]] == [[3, 513, 513]]


def test_a_fixed_size_is_refused_with_the_way_out(tmp_path: Path, data: Path) -> None:
    made = segport(
        "export", MODEL, "--weights", "default", "--size", 65, 97, "--name", "tiny", "-o", tmp_path
    )
    assert made.code == 0
    artifact = tmp_path / "tiny-fp32.onnx"
    for command in (
        ["validate", artifact, "--data", data],
        ["quantize", artifact, "--precision", "int8", "--calibration", data],
    ):
        answer = segport(*command, "--protocol", "torchvision", "-o", tmp_path / "out")
        assert answer.code == 2
        (line,) = answer.errors
        assert "tiny-fp32.onnx takes 65x97 only" in line and "export it with --size dynamic" in line
    imported = segport(
        "import", artifact, "--name", "other", "-o", tmp_path,
        "--mean", 0.5, 0.5, 0.5, "--std", 0.2, 0.2, 0.2,
    )  # fmt: skip
    assert imported.code == 0, imported.err
    answer = segport(
        "validate", tmp_path / "other-fp32.onnx", "--data", data, "--protocol", "torchvision",
        "-o", tmp_path / "out",
    )  # fmt: skip
    assert answer.code == 2
    assert "import it with --size dynamic" in answer.errors[0]
    assert not (tmp_path / "out").exists()


def test_a_recipe_is_refused_before_anything_is_made(
    write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    for change in (
        ('protocols = ["squash", "center-crop"]', 'protocols = ["squash", "torchvision"]'),
        ("samples = 3", 'samples = 3\ncalibration_protocol = "torchvision"'),
    ):
        answer = segport("run", write_recipe(change), "-o", tmp_path / "out")
        assert answer.code == 2
        assert 'protocol torchvision needs [model] size = "dynamic"' in answer.errors[0]
        assert not (tmp_path / "out").exists()


def test_both_sizes_are_judged(artifacts: list[Path], data: Path, tmp_path: Path) -> None:
    answer = segport("validate", *artifacts, "--data", data, "-o", tmp_path, "--limit", 2)
    assert answer.code == 0, answer.err
    result = json.loads((tmp_path / "result.json").read_text())
    fp32, fp16, int8 = (a["second_size"] for a in result["artifacts"])
    assert fp32 is None  # it is the reference
    height, width = result["shape"][1:]
    smaller = [round(side * 0.75 / 32) * 32 + side % 32 for side in (height, width)]
    session = {
        name: plain_session(path)
        for name, path in zip(("fp32", "int8"), (artifacts[0], artifacts[2]), strict=True)
    }
    for found, size in ((int8["agreement"], smaller), (int8["before"], [height, width])):
        same = [_masks_agree(session, data, name, size) for name in ("val_000", "val_001")]
        # normalised in another order: a near tie may fall the other way
        assert found == pytest.approx(100 * np.mean(same), abs=1e-3)
    assert fp16["size"] == smaller and int8["images"] == 2
    said = f"int8: at {smaller[0]}x{smaller[1]} agrees with the reference on"
    assert said in answer.out


def _masks_agree(
    session: dict[str, onnxruntime.InferenceSession], data: Path, name: str, size: list[int]
) -> float:
    image = Image.open(data / f"JPEGImages/{name}.jpg").convert("RGB")
    pixels = np.asarray(image.resize((size[1], size[0]), Image.Resampling.BILINEAR), np.float32)
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    tensor = ((pixels / 255 - mean) / std).transpose(2, 0, 1)[None]
    masks = [one.run(None, {"input": tensor})[0].argmax(1) for one in session.values()]
    return float(np.mean(masks[0] == masks[1]))


def test_a_file_that_knows_one_size_only_is_told_apart() -> None:
    lost = SecondSizeFacts(size=(97, 97), images=8, agreement=61.0, before=99.0)
    assert "38.0 points less of the pixels at 97x97" in size_warnings(lost)[0]
    assert size_warnings(lost.model_copy(update={"agreement": 98.5})) == []
