"""Sound files of networks, data and what Segport keeps for itself, and how each is read."""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from export.artifact import Artifact
from export.classes import VOC_CLASSES
from export.errors import DataError
from export.onnx_file import parse_model, tidied
from quantize.calibration.cache import _keep, _restored
from quantize.calibration.statistics import MinMax, Statistic
from segport.progress import Stages
from segport.stages import RECORD_FILE, Reuse
from tests.validate.fakes import save_mask, save_rgb
from tests.validate.results import written
from validate.datasets import open_dataset
from validate.label_map import read_label_map
from validate.labels import read_mask
from validate.picture_file import read_pictures, write_pictures
from validate.result import load_result
from validate.thumbnail import Thumbnail

_STATE = OrderedDict(
    [("conv.weight", torch.arange(24.0).reshape(2, 3, 2, 2)), ("conv.bias", torch.ones(2))]
)
LABEL_MAP = (
    'void = [0, 255]\noffset = -1\nothers = "void"\n'
    '[classes]\n255 = "person"\n[colours]\n"#ff0000" = 1\n'
)


def record(folder: Path, tiny: Artifact) -> Path:
    (folder / "made.txt").write_text("made")
    Reuse(folder, Stages()).stage("make", {"n": 1}).finish([folder / "made.txt"])
    return folder / RECORD_FILE


def load_record(file: Path) -> None:
    """A record that still counts is the one that was written."""
    stage = Reuse(file.parent, Stages()).stage("make", {"n": 1})
    if not stage.done:
        raise DataError("not used")
    assert stage.files == [file.parent / "made.txt"]


def _statistics() -> dict[str, list[Statistic]]:
    return {"input": [MinMax()]}


def cache_entry(folder: Path, tiny: Artifact) -> Path:
    statistics = _statistics()
    statistics["input"][0].update(np.float32(-3), np.float32(7))
    _keep(statistics, folder / "key.npz")
    return folder / "key.npz"


def load_cache_entry(file: Path) -> None:
    """An entry that still counts holds what was kept."""
    found, kept = _statistics(), _statistics()
    kept["input"][0].update(np.float32(-3), np.float32(7))
    if not _restored(found, file):
        raise DataError("not used")
    for name, array in kept["input"][0].state().items():
        assert np.array_equal(found["input"][0].state()[name], array)


def checkpoint(folder: Path, tiny: Artifact) -> Path:
    torch.save({"model_state": _STATE, "epoch": 3}, folder / "x.pth")
    return folder / "x.pth"


def safetensors(folder: Path, tiny: Artifact) -> Path:
    save_file(dict(_STATE), folder / "x.safetensors")
    return folder / "x.safetensors"


def onnx_file(folder: Path, tiny: Artifact) -> Path:
    (folder / "x.onnx").write_bytes(tiny.path.read_bytes())
    return folder / "x.onnx"


def load_onnx_file(file: Path) -> None:
    tidied(file, parse_model(file))


def label_map(folder: Path, tiny: Artifact) -> Path:
    (folder / "x.toml").write_text(LABEL_MAP)
    return folder / "x.toml"


def load_label_map(file: Path) -> None:
    read_label_map(str(file), VOC_CLASSES).apply(np.arange(256), 21)


def _images(folder: Path) -> None:
    for name in ("a", "b"):
        save_rgb(folder / f"{name}.jpg", np.zeros((9, 9, 3)))
        save_mask(folder / f"{name}.png", np.zeros((9, 9)))


def listing(folder: Path, tiny: Artifact) -> Path:
    _images(folder)
    (folder / "x.csv").write_text("image,mask\na.jpg,a.png\nb.jpg,b.png\n")
    return folder / "x.csv"


def load_listing(file: Path) -> None:
    for item in open_dataset(str(file), "val").items:
        read_mask(item, (9, 9), 21)


def split(folder: Path, tiny: Artifact) -> Path:
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True)
    for name in ("a", "b"):
        save_rgb(folder / f"JPEGImages/{name}.jpg", np.zeros((9, 9, 3)))
        save_mask(folder / f"SegmentationClass/{name}.png", np.zeros((9, 9)))
    (folder / "ImageSets/Segmentation/val.txt").write_text("a\nb\n")
    return folder / "ImageSets/Segmentation/val.txt"


def load_split(file: Path) -> None:
    for item in open_dataset(str(file.parents[2]), "val").items:
        read_mask(item, (9, 9), 21)


def mat(folder: Path, tiny: Artifact) -> Path:
    from scipy.io import savemat

    savemat(folder / "x.mat", {"GTcls": {"Segmentation": np.zeros((9, 9), np.uint8)}})
    return folder / "x.mat"


def pictures(folder: Path, tiny: Artifact) -> Path:
    matrices = np.stack([np.diag([300, 200, 100])] * 2)
    written(folder, {"fp32": matrices, "int8": matrices})
    result = load_result(folder / "result.json")
    image = np.asarray(Image.new("RGB", (9, 9)))
    classes = np.zeros((9, 9), np.uint8)
    one = Thumbnail("x", {"int8": 50.0}, image, classes, {"fp32": classes, "int8": classes})
    write_pictures([one], result, folder / "pictures.zip")
    return folder / "pictures.zip"


def load_pictures(file: Path) -> None:
    read_pictures(load_result(file.with_name("result.json")), file)
