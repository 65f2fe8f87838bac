"""Families of networks nobody trained: every target, fp16 and a search, as a user calls them.

Photos of ../shared/voc settle the weights and calibrate; see benchmarks/networks.
`mobile_hard_swish` has the operators of MobileNetV3, which itself goes the whole way in
tests/test_all_networks.py.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks.networks.table import exported
from export.artifact.artifact import Artifact
from export.networks.zoo import IMAGENET_MEAN, IMAGENET_STD
from export.ort.sessions import lacks_vnni
from tests.export.build import plain_session
from tests.segport.command import Answer, segport

INT8_MACS = {
    "unet_transposed_k2": 0.98,
    "unet_leaky_instance_norm": 0.99,
    "mobile_hard_swish": 0.93,
    "transformer_attention": 0.70,
    "pyramid_prelu": 0.88,
}
"""The least share of the MACs in int8, with nothing named to stay in float."""
SIZE = (128, 160)
CALIBRATING, JUDGING = 4, 2

pytestmark = [pytest.mark.shared, pytest.mark.slow]


@pytest.fixture(scope="module")
def photos(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six photos: four calibrate, two are held back."""
    folder = tmp_path_factory.mktemp("photos")
    root = shared / "voc/VOCdevkit/VOC2012"
    names = (root / "ImageSets/Segmentation/val.txt").read_text().split()
    for name in names[: CALIBRATING + JUDGING]:
        shutil.copy(root / f"JPEGImages/{name}.jpg", folder)
    return folder


@pytest.fixture(scope="module", params=INT8_MACS)
def fp32(
    request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Artifact:
    folder = tmp_path_factory.mktemp(request.param)
    return exported(request.param, folder, shared / "voc/VOCdevkit", SIZE)


def _quantize(fp32: Artifact, photos: Path, out: Path, *options: object) -> Answer:
    return segport("quantize", fp32.path, "--calibration", photos, "--samples", CALIBRATING,
                   "-o", out, *options)  # fmt: skip


def _checks(folder: Path) -> dict[str, Any]:
    (manifest,) = folder.glob("*.json")
    return dict(json.loads(manifest.read_text())["checks"])


def _agreement(fp32: Path, other: Path, photo: Path) -> float:
    """Percent of pixels of equal class, with plain onnxruntime and a picture prepared here."""
    picture = Image.open(photo).convert("RGB").resize(SIZE[::-1], Image.Resampling.BILINEAR)
    fed = (np.asarray(picture, np.float32) / 255 - np.float32(IMAGENET_MEAN)) / np.float32(
        IMAGENET_STD
    )
    masks: list[NDArray[Any]] = []
    for file in (fp32, other):
        session = plain_session(file)
        (logits,) = session.run(None, {"input": fed.transpose(2, 0, 1)[None].astype(np.float32)})
        masks.append(logits.argmax(1))
    return 100 * float(np.mean(masks[0] == masks[1]))


def test_int8_for_cpu(fp32: Artifact, photos: Path, tmp_path: Path) -> None:
    answer = _quantize(fp32, photos, tmp_path, "--precision", "int8", "--target", "cpu", "--force")
    assert answer.code == 0, answer.err
    checks = _checks(tmp_path)
    least = INT8_MACS | {"pyramid_prelu": 0.2}  # most of it is clearly slower in int8
    assert checks["int8"]["int8_macs_share"] >= least[fp32.manifest.name]
    judged = [photos / f"{image['id']}.jpg" for image in checks["self"]["images"]]
    assert len(judged) == JUDGING and checks["self"]["held_back"]
    (file,) = tmp_path.glob("*.onnx")
    by_hand = np.mean([_agreement(fp32.path, file, photo) for photo in judged])
    assert checks["self"]["agreement"] == pytest.approx(by_hand, abs=0.2)
    assert by_hand > 80


@pytest.mark.parametrize("target", ["arm", "openvino", "tensorrt", "npu"])
def test_a_target_gets_a_file_that_agrees_or_one_line(
    target: str, fp32: Artifact, photos: Path, tmp_path: Path
) -> None:
    answer = _quantize(fp32, photos, tmp_path, "--precision", "int8", "--target", target)
    if answer.code == 0:
        checks = _checks(tmp_path)
        assert checks["self"]["agreement"] >= 95 and checks["self"]["held_back"]
        assert checks["int8"]["quantized_macs_share"] >= INT8_MACS[fp32.manifest.name]
    else:
        assert answer.code == 2 and len(answer.errors) == 1, answer.err
        if lacks_vnni() and target == "npu" and "cannot load it" in answer.errors[0]:
            pytest.xfail("onnxruntime 1.31 fails on some weights that it turns to u8 without VNNI")
        assert "agrees with fp32 on" in answer.errors[0]
        assert "Layers to blame first" in answer.errors[0]
        assert not list(tmp_path.iterdir())


def test_fp16(fp32: Artifact, photos: Path, tmp_path: Path) -> None:
    answer = _quantize(fp32, photos, tmp_path, "--precision", "fp16")
    assert answer.code == 0, answer.err
    assert _checks(tmp_path)["self"]["agreement"] > 99


def test_a_search_ends_with_a_file_within_budget_or_the_frontier(
    fp32: Artifact, photos: Path, tmp_path: Path
) -> None:
    answer = _quantize(
        fp32, photos, tmp_path, "--precision", "int8", "--target", "cpu",
        "--min-agreement", 97, "--search-minutes", 0.1,
    )  # fmt: skip
    if answer.code == 0:
        frontier = _checks(tmp_path)["int8"]["search"]["frontier"]
        assert any(c["accepted"] and c["score"] >= 97 for c in frontier[:-1])
    else:
        assert answer.code == 2 and len(answer.errors) == 1, answer.err
        assert "100.00 (0 %)" in answer.errors[0]  # all float, which is fp32
        assert not list(tmp_path.iterdir())
