"""Real networks become files of LiteRT that give the masks of onnxruntime."""

from pathlib import Path

import pytest

from tests.segport.command import Answer, segport

NORM = ("--mean", 0.485, 0.456, 0.406, "--std", 0.229, 0.224, 0.225)
DEEPLAB = "deeplabv3plus_mobilenet"


def _fp32(name: str, shared: Path, folder: Path) -> Answer:
    if name == DEEPLAB:
        weights = shared / f"checkpoints/{name}_voc_os16.pth"
        return segport(
            "export", name, "--weights", weights, "--size", 257, 257, "--name", "net", "-o", folder
        )
    network = shared / f"networks/{name}.onnx"
    return segport("import", network, *NORM, "--name", "net", "-o", folder)


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "least"),
    # ESPNetv2 is touchy: two ways to round the same sums differ by as much as int8 does from fp32
    [(DEEPLAB, 99), ("tf_deeplabv3_mobilenetv2_voc_513", 99), ("espnetv2_s1.0_voc_384", 90)],
)
def test_fp32_keeps_every_class_and_int8_what_it_had(
    name: str, least: float, shared: Path, tmp_path: Path
) -> None:
    data = f"{shared}/voc/VOCdevkit"
    assert _fp32(name, shared, tmp_path).code == 0
    made = segport(
        "quantize", tmp_path / "net-fp32.onnx", "--precision", "int8", "--target", "litert",
        "--calibration", f"{data}:train", "--samples", 4, "--min-self-agreement", 80,
        "-o", tmp_path,
    )  # fmt: skip
    assert (made.code, made.errors) == (0, [])
    for artifact, wanted in (("net-fp32", 99.99), ("net-int8-litert", least)):
        answer = segport(
            "convert", tmp_path / f"{artifact}.onnx", "--to", "litert", "--images", f"{data}:val",
            "--samples", 4, "--min-agreement", wanted, "-o", tmp_path / f"{artifact}.tflite",
        )  # fmt: skip
        assert (answer.code, answer.errors) == (0, []), artifact
