"""The issue's "Bad input": one line on standard error, exit code 2, nothing written."""

import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from export.artifact.artifact import Artifact
from tests.networks import tiny as tiny_network
from tests.segport.command import segport

pytestmark = pytest.mark.processes
MODEL = "tests.networks:tiny"
STATISTICS = ["--mean", 0.5, 0.5, 0.5, "--std", 0.2, 0.2, 0.2]


class Case:
    """A folder of one's own with a good artifact and good data, to be damaged."""

    def __init__(self, root: Path, tiny: Artifact, make_voc: Callable[..., Path]) -> None:
        self.root = root
        self.out = root / "out"
        self.artifact = root / "tiny-fp32.onnx"
        for path in (tiny.path, tiny.path.with_suffix(".json")):
            shutil.copy(path, root)
        self.voc = make_voc(root / "VOC2012", train=2, val=2)

    def export(self, *more: object, weights: object = "default") -> list[object]:
        size = [] if "--size" in more else ["--size", 65, 65]
        return ["export", MODEL, "--weights", weights, *size, *more]

    def validate(self, *more: object) -> list[object]:
        return ["validate", self.artifact, "--data", self.voc, *more]

    def quantize(self, precision: str, *more: object) -> list[object]:
        return ["quantize", self.artifact, "--precision", precision, *more]

    def calibrated(self, *more: object) -> list[object]:
        return self.quantize("int8", "--calibration", self.voc, *more)

    def file(self, name: str, content: bytes | str) -> Path:
        path = self.root / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def checkpoint(self, content: Any = None) -> Path:
        path = self.root / "tiny.pth"
        torch.save(tiny_network().state_dict() if content is None else content, path)
        return path

    def mask(self, array: Any) -> None:
        Image.fromarray(np.asarray(array, np.uint8)).save(
            self.voc / "SegmentationClass/val_001.png"
        )

    def image(self, keep: slice) -> None:
        path = self.voc / "JPEGImages/val_001.jpg"
        path.write_bytes(path.read_bytes()[keep])


@pytest.fixture
def case(tmp_path: Path, tiny: Artifact, make_voc: Callable[..., Path]) -> Case:
    return Case(tmp_path, tiny, make_voc)


def _refused(case: Case, arguments: list[object], *fragments: str) -> None:
    before = sorted(case.root.rglob("*"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default", UserWarning)
        answer = segport(*arguments, "-o", case.out)
    assert answer.code == 2
    # python would print these to standard error
    assert [str(warning.message) for warning in caught] == []
    assert answer.out == ""
    assert len(answer.errors) == 1, answer.err
    assert answer.errors[0].startswith("segport: ")
    for fragment in fragments:
        assert fragment in answer.errors[0]
    assert sorted(case.root.rglob("*")) == before


# ---- checkpoints


def test_missing_checkpoint(case: Case) -> None:
    gone = case.root / "gone.pth"
    _refused(case, case.export(weights=gone), f"checkpoint {gone}: no such file")


def test_truncated_checkpoint(case: Case) -> None:
    path = case.checkpoint()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3])
    _refused(case, case.export(weights=path), str(path), "truncated")


class _Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.system, (f"touch {self.marker}",)


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(case: Case) -> None:
    marker, path = case.root / "it_ran", case.root / "evil.pth"
    torch.save({"model_state": _Evil(marker)}, path)
    _refused(case, case.export(weights=path), f"checkpoint {path}: refused", "run code")
    assert not marker.exists()


def test_wrong_class_count(case: Case) -> None:
    names = case.file("names.txt", "sky\nroad\ncar\n")
    _refused(case, case.export("--classes", names), "21", "3", "--classes")


def test_checkpoint_of_another_class_count(case: Case) -> None:
    state = tiny_network().state_dict()
    state = {k: v[:3] if k.startswith("head.") else v for k, v in state.items()}
    path = case.checkpoint(state)
    _refused(case, case.export(weights=path), "head.weight 3x16x1x1 instead of 21x16x1x1")


# ---- ONNX files and artifacts


@pytest.mark.parametrize("content", [b"", b"no onnx", b"\x08\x0a\x12\x00" * 50])
def test_a_file_that_is_no_onnx(case: Case, content: bytes) -> None:
    path = case.file("theirs.onnx", content)
    _refused(case, ["import", path, *STATISTICS], str(path))


def test_a_missing_onnx(case: Case) -> None:
    _refused(case, ["import", case.root / "gone.onnx", *STATISTICS], "gone.onnx", "no such file")
    _refused(case, ["predict", case.root / "gone.onnx", case.voc], "gone.onnx", "no such file")


def _all_readers(case: Case) -> list[list[object]]:
    image = case.voc / "JPEGImages/val_000.jpg"
    return [case.validate(), case.calibrated(), ["predict", case.artifact, image]]


def test_an_artifact_without_manifest(case: Case) -> None:
    case.artifact.with_suffix(".json").unlink()
    for arguments in _all_readers(case):
        _refused(case, arguments, "manifest tiny-fp32.json is missing", "segport import")


@pytest.mark.parametrize("content", ["", "{}", '{"format": 2}', "[1, 2"])
def test_an_artifact_with_a_damaged_manifest(case: Case, content: str) -> None:
    case.artifact.with_suffix(".json").write_text(content)
    for arguments in _all_readers(case):
        _refused(case, arguments, "tiny-fp32.json: not a segport manifest")


def test_an_artifact_that_was_changed(case: Case) -> None:
    with case.artifact.open("ab") as file:
        file.write(b"\0")
    for arguments in _all_readers(case):
        _refused(case, arguments, "sha256 differs")


def test_a_file_that_is_not_fp32_is_not_quantized(case: Case) -> None:
    made = segport(*case.quantize("fp16"), "-o", case.root)
    assert made.code == 0
    case.artifact = case.root / "tiny-fp16.onnx"
    _refused(case, case.quantize("fp16"), "already fp16")


# ---- data


def test_voc_root_without_lists(case: Case) -> None:
    shutil.rmtree(case.voc / "ImageSets")
    _refused(case, case.validate(), "ImageSets/Segmentation")
    _refused(case, case.calibrated(), "ImageSets/Segmentation")


def test_listed_images_that_are_absent(case: Case) -> None:
    (case.voc / "JPEGImages/val_001.jpg").unlink()
    (case.voc / "JPEGImages/train_001.jpg").unlink()
    _refused(case, case.validate(), "absent", "val_001.jpg")
    _refused(case, case.calibrated(), "absent", "train_001.jpg")


def test_mask_of_another_size(case: Case) -> None:
    case.mask(np.zeros((40, 40)))
    _refused(case, case.validate(), "image val_001: mask is 40x40, the image 96x80")


@pytest.mark.parametrize("value", [21, 128, 254])
def test_mask_values_out_of_range(case: Case, value: int) -> None:
    mask = np.zeros((80, 96))
    mask[3, 4] = value
    case.mask(mask)
    _refused(case, case.validate(), "image val_001", f"[{value}]", "0-20 and 255")


def test_mask_in_colour(case: Case) -> None:
    mask = np.zeros((80, 96, 3))
    mask[7, 5] = 1, 2, 3
    case.mask(mask)
    _refused(case, case.validate(), "image val_001", "val_001.png", "(1, 2, 3) at x=5 y=7")


def test_a_mask_that_is_a_jpeg(case: Case) -> None:
    path = case.voc / "SegmentationClass/val_001.png"
    Image.open(path).convert("L").save(path, format="JPEG")
    _refused(case, case.validate(), "image val_001", "val_001.png is a JPEG")


@pytest.mark.parametrize("keep", [slice(0), slice(0, 300), slice(2, None)])
def test_corrupt_image(case: Case, keep: slice) -> None:
    case.image(keep)
    _refused(case, case.validate(), "image val_001: cannot read")
    source = case.voc / "JPEGImages/val_001.jpg"
    _refused(case, ["predict", case.artifact, source], "image val_001: cannot read")


def test_corrupt_calibration_image(case: Case) -> None:
    (case.voc / "JPEGImages/train_001.jpg").write_bytes(b"broken")
    _refused(case, case.calibrated(), "image train_001: cannot read")
    _refused(case, case.quantize("fp16", "--calibration", case.voc), "image train_001: cannot read")


def test_zero_calibration_images(case: Case) -> None:
    _refused(case, case.calibrated("--samples", 0), "at least 1 is needed")
    _refused(case, case.quantize("int8"), "--calibration")
    (case.voc / "ImageSets/Segmentation/train.txt").write_text("")
    _refused(case, case.calibrated(), "no images")


def test_no_data_at_all(case: Case) -> None:
    _refused(case, ["validate", case.artifact, "--data", case.root / "gone"], "no such folder")
    _refused(case, case.validate("--limit", 0), "limit 0")


# ---- names and numbers


@pytest.mark.parametrize(
    "size",
    [
        (32, 65),
        (65, 32),
        (-1, 65),
        (65, "x"),
        (65.5, 65),
        ("", 65),
        (65, "dynamic"),
    ],
)
def test_sizes_out_of_range(case: Case, size: tuple[object, object]) -> None:
    _refused(case, case.export("--size", *size), "size")


@pytest.mark.parametrize("batch", ["0", "x"])
def test_batches_out_of_range(case: Case, batch: str) -> None:
    _refused(case, case.export("--batch", batch), "batch")


def test_unknown_names_suggest_the_nearest(case: Case) -> None:
    model = ["export", "deeplabv3_mobilnet", "--weights", "random"]
    _refused(case, model, "unknown model", "did you mean 'deeplabv3_mobilenet'")
    _refused(case, case.export("--output", "logit"), "did you mean 'logits'")
    _refused(case, case.quantize("int9"), "unknown precision", "did you mean 'int8'")
    for arguments in (
        case.validate("--protocol", "centercrop"),
        case.calibrated("--protocol", "x"),
    ):
        _refused(case, arguments, "unknown protocol")
    _refused(case, case.validate("--protocol", "centercrop"), "did you mean 'center-crop'")
    _refused(case, case.calibrated("--range", "percentil:99"), "did you mean 'percentile'")
    _refused(case, case.calibrated("--range", "percentile:200"), "percentile:200")
    _refused(case, case.calibrated("--target", "cpuu"), "did you mean 'cpu'")
    _refused(case, case.quantize("fp16", "--io", "fp15"), "did you mean 'fp16'")
    _refused(case, case.validate("--runtime", "ort-cpuu"), "did you mean 'ort-cpu'")
    image = case.voc / "JPEGImages/val_000.jpg"
    predict = ["predict", case.artifact, image, "--runtime", "ort-cpuu"]
    _refused(case, predict, "did you mean 'ort-cpu'")


def test_users_models_that_do_not_load(case: Case) -> None:
    for model in ("tests.networks:nothing", "no_such_module:net", "tests.networks:CLASSES"):
        _refused(case, ["export", model, "--weights", "default"], model)


def test_class_lists_that_are_none(case: Case) -> None:
    _refused(case, case.export("--classes", case.root / "gone.txt"), "gone.txt")
    _refused(case, case.export("--classes", case.file("one.txt", "sky\n")), "needed are 2 to 255")
    twice = case.file("twice.txt", "sky\nroad\nsky\n")
    _refused(case, case.export("--classes", twice), "sky more than once")


def test_import_asks_for_what_the_file_does_not_say(case: Case) -> None:
    _refused(case, ["import", case.artifact], "--mean")
    _refused(case, ["import", case.artifact, *STATISTICS[:4]], "--std")
    _refused(case, ["import", case.artifact, *STATISTICS, "--size", 97, 97], "fixed to 65 65")
    zero = [*STATISTICS[:4], "--std", 0, 1, 1]
    _refused(case, ["import", case.artifact, *zero], "must be positive")


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["validat"], "validat"),
        (["gate"], "result"),
        (["gate", "a.json", "--max-dorp", "int8=1"], "--max-dorp"),
        (["gate", "a.json", "--tolerance", "x"], "--tolerance"),
        (["export", "deeplabv3_mobilenet"], "--weights"),
        (["validate", "a.onnx", "--data", "x", "--limit", "many"], "--limit"),
        (["import", "a.onnx", "--mean", "0.5", "0.5"], "--mean"),
    ],
)
def test_wrong_options_are_one_line_too(arguments: list[object], fragment: str) -> None:
    answer = segport(*arguments)
    assert (answer.code, answer.out) == (2, "")
    (line,) = answer.errors
    assert line.startswith("segport: ") and fragment in line and "--help" in line


# ---- results and folders


def test_results_that_are_none(case: Case) -> None:
    damaged = case.file("damaged.json", "{")
    for path, fragment in ((damaged, "not a result"), (case.root / "gone.json", "cannot read")):
        _refused(case, ["report", path], path.name, fragment)
        answer = segport("gate", path, "--max-drop", "int8=1")
        assert answer.code == 2 and len(answer.errors) == 1 and fragment in answer.errors[0]


def test_recipes_that_are_none(case: Case) -> None:
    _refused(case, ["run", case.root / "gone.toml"], "gone.toml: cannot read")
    _refused(case, ["run", case.file("a.toml", "name =")], "not valid TOML")
    _refused(case, ["run", case.file("a.toml", 'name = "x"')], "model: Field required")


@pytest.mark.parametrize(
    "command", ["export", "import", "quantize", "validate", "predict", "run", "report"]
)
def test_a_folder_that_cannot_be_written(
    case: Case, command: str, done: tuple[object, Path], recipe_text: str
) -> None:
    case.file("file", "a file, no folder")
    case.out = case.root / "file" / "out"
    arguments = {
        "export": case.export(),
        "import": ["import", case.artifact, *STATISTICS],
        "quantize": case.calibrated(),
        "validate": case.validate(),
        "predict": ["predict", case.artifact, case.voc / "JPEGImages/val_000.jpg"],
        "run": ["run", case.file("recipe.toml", recipe_text)],
        "report": ["report", done[1] / "squash/result.json"],
    }
    _refused(case, arguments[command], "cannot write to", "-o")
    assert (case.root / "file").read_text() == "a file, no folder"
