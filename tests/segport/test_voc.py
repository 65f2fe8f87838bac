"""The whole way on a real network and real images."""

from pathlib import Path

import numpy as np
import pytest

from export.artifact.artifact import load_artifact
from tests.segport.command import segport
from validate.result.result import load_result

RECIPE = """
name = "real"
[model]
name = "deeplabv3_mobilenet"
weights = "{shared}/checkpoints/deeplabv3_mobilenet_voc_os16.pth"
output_stride = 16
size = [513, 513]
[data]
calibration = "{shared}/voc/VOCdevkit:train"
samples = 8
validation = "{shared}/voc/VOCdevkit:val"
limit = 10
[[artifact]]
precision = "fp16"
[[artifact]]
precision = "int8"
[validate]
protocols = ["squash"]
reference = "torch"
[gate.max_drop]
fp32 = 0.02
fp16 = 0.3
int8 = 5
"""


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.shared
def test_deeplabv3_mobilenet_from_checkpoint_to_verdict(shared: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(shared=shared))
    answer = segport("run", recipe, "-o", tmp_path / "out")
    assert (answer.code, answer.errors) == (0, []), answer.out

    result = load_result(tmp_path / "out/squash/result.json")
    torch, fp32, fp16, int8 = result.artifacts
    assert [torch.id, fp32.id, fp16.id, int8.id] == ["torch-fp32", "fp32", "fp16", "int8"]
    assert result.dataset.images == 10 and not result.overlap_allowed
    # a trained network on images like those it was trained on
    assert torch.miou is not None and torch.miou > 60
    assert fp32.drop is not None and abs(fp32.drop) <= 0.02
    assert fp32.agreement > 99.99 and fp16.agreement > 99 and int8.agreement > 95
    # published: 5.114 M parameters, 13.372 GFLOPs
    assert result.params is not None and round(result.params / 1e6, 3) == 5.114
    assert result.flops_published == 13.372

    assert (int8.int8_macs_share, int8.int8_verified) == (1, True)
    checks = load_artifact(tmp_path / "out/real-int8.onnx").manifest.checks["int8"]
    assert all(fused == total for fused, total in checks["fused"].values())
    assert fp32.size_bytes is not None and int8.size_bytes is not None
    assert int8.size_bytes < 0.3 * fp32.size_bytes
    with np.load(tmp_path / "out/squash/confusion.npz") as arrays:
        matrices = [arrays[artifact.id] for artifact in result.artifacts]
        assert {one.shape for one in matrices} == {(10, 21, 21)}
        # every file is judged on the same labels
        counts = {tuple(one.sum((0, 2))) for one in matrices}
    assert len(counts) == 1
