"""A network whose intermediate reaches 9e4, from export to the gate."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export.artifact.artifact import load_artifact
from tests.segport.command import segport
from validate.data.datasets import open_dataset
from validate.result.result import ArtifactResult, load_result
from validate.samples.samples import Preparation, Samples

pytestmark = pytest.mark.slow


@pytest.fixture
def hot(tmp_path: Path) -> Path:
    answer = segport(
        "export", "tests.networks:overflowing", "--weights", "default", "--size", 65, 65,
        "--name", "hot", "-o", tmp_path,
    )  # fmt: skip
    assert answer.code == 0
    return tmp_path / "hot-fp32.onnx"


def _judged(hot: Path, voc: Path, folder: Path, *options: str) -> tuple[str, ArtifactResult, int]:
    """Convert, validate and gate; return what quantize printed, the result and the exit code."""
    made = segport(
        "quantize", hot, "--precision", "fp16", "--calibration", voc, "-o", folder, *options
    )
    assert made.code == 0
    out = folder / "out"
    file = folder / "hot-fp16.onnx"
    assert segport("validate", hot, file, "--data", voc, "-o", out).code == 0
    gated = segport("gate", out / "result.json", "--max-drop", "fp16=0.5")
    found = load_result(out / "result.json").artifact("fp16")
    assert found is not None
    return made.out, found, gated.code


def _overflowing_images(hot: Path, voc: Path) -> int:
    """Count by hand: the first layer is 3 weights per channel on the clamped, rounded pixels."""
    manifest = load_artifact(hot).manifest
    weights = next(
        numpy_helper.to_array(t)[:, :, 0, 0]
        for t in onnx.load(hot).graph.initializer
        if list(t.dims) == [4, 3, 1, 1]
    )
    samples = Samples(open_dataset(str(voc), "val"), Preparation.for_artifact(manifest, "squash"))
    count = 0
    for sample in samples:
        pixels = np.clip(sample.image[0].astype(np.float16), np.float16(1), np.float16(2.3))
        rounded = weights.astype(np.float16).astype(np.float32)
        grown = np.einsum("oi,ihw->ohw", rounded, pixels.astype(np.float32))
        count += bool((grown >= 65520).any())  # from here on float16 rounds to inf
    return count


def test_the_guarded_file_passes_and_lists_what_it_kept(
    hot: Path, voc: Path, tmp_path: Path
) -> None:
    printed, found, code = _judged(hot, voc, tmp_path / "guarded")
    assert code == 0
    assert found.nonfinite_images == 0 and found.runtime == "ort-fp16"
    assert found.kept_float
    assert all(layer in printed for layer in found.kept_float)
    assert "kept in fp32" in printed


def test_the_naive_file_is_reported_as_broken(hot: Path, voc: Path, tmp_path: Path) -> None:
    printed, found, code = _judged(hot, voc, tmp_path / "naive", "--no-guard")
    assert code == 1
    assert found.nonfinite_images == _overflowing_images(hot, voc) > 0
    assert found.kept_float == []
    assert "broken" in printed
    assert any("broken" in warning for warning in found.warnings)
