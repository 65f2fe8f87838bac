"""What `make demo` shows, and what CI gates: the whole job on the embedded default."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, quantize_static
from PIL import Image
from safetensors.torch import load_file, save_file

from segport.demo import WEIGHTS
from segport.recipe_file import load_recipe
from tests.export.build import plain_session
from tests.segport.command import Answer, segport
from validate.result.result import ArtifactResult, Result, load_result

pytestmark = pytest.mark.slow
BASELINE = Path(__file__).resolve().parents[3] / "reports" / "baseline.json"
MEAN = np.array([0.485, 0.456, 0.406]).reshape(3, 1, 1)
STD = np.array([0.229, 0.224, 0.225]).reshape(3, 1, 1)


@pytest.fixture(scope="module")
def answer(demo: tuple[Answer, Path]) -> Answer:
    return demo[0]


@pytest.fixture(scope="module")
def folder(demo: tuple[Answer, Path]) -> Path:
    return demo[1]


@pytest.fixture(scope="module")
def result(answer: Answer, folder: Path) -> Result:
    assert (answer.code, answer.errors) == (0, [])
    return load_result(folder / "squash/result.json")


def _artifact(result: Result, name: str) -> ArtifactResult:
    found = result.artifact(name)
    assert found is not None
    return found


def test_it_prints_the_table_and_where_everything_lies(answer: Answer, folder: Path) -> None:
    assert answer.code == 0
    rows = [
        line.split()[0]
        for line in answer.out.splitlines()
        if line.startswith(("torch", "fp", "int"))
    ]
    assert rows[:5] == ["torch-fp32", "fp32", "fp16", "int8", "int8@per-tensor"]
    assert f"report: {folder / 'squash/report.html'}" in answer.out
    assert f"picture: {folder / 'scenes.png'}" in answer.out
    assert (folder / "squash/report.md").is_file()


def test_the_network_is_good_and_only_careless_int8_breaks_it(result: Result) -> None:
    assert result.dataset.images == 40
    assert not result.overlap_allowed
    fp32 = _artifact(result, "fp32")
    assert fp32.miou is not None and 75 <= fp32.miou <= 97
    assert sorted(name for name, iou in fp32.class_iou.items() if iou is None) == []
    drops = {a.id: a.drop for a in result.artifacts if a.drop is not None}
    assert abs(drops["fp32"]) <= 0.02
    assert drops["fp16"] <= 0.1
    assert drops["int8"] <= 1
    assert drops["int8@per-tensor"] >= 3
    assert _artifact(result, "int8@per-tensor").int8_verified


def test_the_picture_has_a_row_per_scene_and_a_column_per_step(
    result: Result, folder: Path
) -> None:
    with Image.open(folder / "scenes.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    # scene, label, fp32, int8, int8@per-tensor: separated by white gaps
    white = np.all(pixels[30:] == 255, axis=(0, 2))
    assert np.count_nonzero(np.diff(white.astype(int)) == 1) == 4


def test_a_second_run_draws_nothing_again_but_what_was_changed(
    answer: Answer, folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(folder, tmp_path / "demo")
    again = segport("run", "demo", "-o", copy)
    assert again.out == answer.out.replace(str(folder), str(copy))
    assert "draw scenes: reused, nothing changed" in again.err
    assert "draw picture: reused, nothing changed" in again.err
    scene = copy / "scenes/JPEGImages/scene_val_0004.jpg"
    drawn = scene.read_bytes()
    scene.write_bytes(b"")
    (copy / "scenes.png").unlink()
    again = segport("run", "demo", "-o", copy)
    assert "draw scenes: again (scenes/JPEGImages/scene_val_0004.jpg was modified)" in again.err
    assert "draw picture: again (scenes.png is gone)" in again.err
    assert scene.read_bytes() == drawn
    assert (copy / "scenes.png").read_bytes() == (folder / "scenes.png").read_bytes()


def test_the_folder_can_be_run_again_by_its_recipe(result: Result, folder: Path) -> None:
    recipe = load_recipe(folder / "recipe.toml")
    assert recipe.model.weights == str(folder / "deeplabv3_mobilenet.safetensors")
    assert recipe.data.validation == str(folder / "scenes:val")


def test_the_checkpoint_is_float16_and_small() -> None:
    state = load_file(WEIGHTS)
    assert {v.dtype for v in state.values()} == {torch.float16, torch.int64}
    assert all(bool(torch.isfinite(v).all()) for v in state.values())
    assert WEIGHTS.stat().st_size <= 12e6


def test_the_committed_baseline_holds(result: Result, folder: Path) -> None:
    answer = segport("gate", folder / "squash/result.json", "--baseline", BASELINE)
    assert answer.code == 0, answer.out
    assert answer.out.count("PASS") == 5


def test_a_planted_regression_fails_against_the_baseline(
    result: Result, folder: Path, tmp_path: Path
) -> None:
    """Somebody commits a checkpoint that sees objects everywhere."""
    state = load_file(folder / WEIGHTS.name)
    state["classifier.classifier.4.bias"][0] -= 2
    save_file(state, tmp_path / WEIGHTS.name)
    (tmp_path / "scenes").symlink_to(folder / "scenes")
    recipe = (folder / "recipe.toml").read_text().split("[[artifact]]")[0]
    recipe += '[validate]\nreference = "fp32"\n'
    (tmp_path / "recipe.toml").write_text(recipe)
    assert segport("run", tmp_path / "recipe.toml", "-o", tmp_path / "out").code == 0

    answer = segport("gate", tmp_path / "out/squash/result.json", "--baseline", BASELINE)
    assert answer.code == 1
    assert "FAIL  fp32: mIoU" in answer.out


def _tensor(file: Path) -> NDArray[np.float32]:
    image = Image.open(file).convert("RGB").resize((513, 513), Image.Resampling.BILINEAR)
    pixels = np.asarray(image).transpose(2, 0, 1) / 255
    return ((pixels - MEAN) / STD).astype(np.float32)[None]


class _Reader(CalibrationDataReader):
    def __init__(self, files: list[Path]) -> None:
        self.batches = iter([{"input": _tensor(file)} for file in files])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self.batches, None)


def _miou(model: Path, home: Path, split: str) -> float:
    """A second, plain implementation of the protocol and of mIoU."""
    session = plain_session(model)
    names = (home / f"ImageSets/Segmentation/{split}.txt").read_text().split()
    hits, labels, found = np.zeros(21), np.zeros(21), np.zeros(21)
    for name in names:
        (logits,) = session.run(["logits"], {"input": _tensor(home / f"JPEGImages/{name}.jpg")})
        guess = logits[0].argmax(axis=0)
        mask = Image.open(home / f"SegmentationClass/{name}.png")
        truth = np.asarray(mask.resize((513, 513), Image.Resampling.NEAREST))
        for c in range(21):
            hits[c] += np.sum((guess == c) & (truth == c))
            labels[c] += np.sum(truth == c)
            found[c] += np.sum((guess == c) & (truth != 255))
    return float(100 * np.mean(hits / (labels + found - hits)))


def test_onnxruntimes_defaults_lose_what_the_demo_says(
    result: Result, folder: Path, tmp_path: Path
) -> None:
    home = folder / "scenes"
    fp32 = folder / "demo-fp32.onnx"
    reached = _miou(fp32, home, "val")
    assert reached == pytest.approx(_artifact(result, "fp32").miou, abs=0.01)

    naive = tmp_path / "naive.onnx"
    train = [home / f"JPEGImages/scene_train_{n:04d}.jpg" for n in range(16)]
    quantize_static(fp32, naive, _Reader(train))
    assert any(n.op_type == "QuantizeLinear" for n in onnx.load(naive).graph.node)
    assert _miou(naive, home, "val") <= reached - 3


def test_the_demo_leaves_what_it_names(result: Result, folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {
        "recipe.toml", "deeplabv3_mobilenet.safetensors", "scenes", "scenes.png", "squash",
        ".segport-stages.json", "package",
        *(f"demo-{kind}.{suffix}" for kind in ("fp32", "fp16", "int8", "int8-per-tensor")
          for suffix in ("onnx", "json")),
    }  # fmt: skip


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = segport("run", "demo", "-o", tmp_path / "file")
    assert answer.code == 2
    assert len(answer.errors) == 1
