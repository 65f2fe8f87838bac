"""Sound files of networks, data and what Segport keeps for itself, and how each is read."""

import json
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

import segport
from export.artifact.artifact import Artifact
from export.artifact.classes import VOC_CLASSES
from export.artifact.diagnosis import Suspect
from export.common.errors import DataError
from export.common.progress import Stages
from export.networks.checkpoint import fit_state_dict, read_state_dict
from export.networks.table import LIBRARIES
from export.networks.zoo import IMAGENET_MEAN, IMAGENET_STD
from export.onnx_graph.onnx_file import parse_model, tidied
from export.onnx_import import import_model
from quantize.calibration.cache import _keep, _restored
from quantize.calibration.statistics import MinMax, Statistic
from segport.stages import RECORD_FILE, Reuse
from tests.validate.data.coco import HEIGHT, WIDTH, box, crowd, instance, write_coco
from tests.validate.diagnoses import diagnosis_of, layer_of
from tests.validate.fakes import save_mask, save_rgb
from tests.validate.results import written
from validate.data.datasets import open_dataset
from validate.gating.baseline.acceptance import update_baseline
from validate.gating.counted import count
from validate.gating.gate import gate
from validate.gating.rules import Rules
from validate.gating.verdict import exit_code
from validate.history.page import history_markdown, history_table
from validate.history.store import add_points, points_of, read_points
from validate.report.diagnosis_file import DIAGNOSIS_FILE, load_diagnosis
from validate.report.diagnosis_report import markdown_diagnosis, terminal_diagnosis, write_diagnosis
from validate.result.picture_file import read_pictures, write_pictures
from validate.result.result import load_result
from validate.samples.label_map_file import read_label_map
from validate.samples.labels import read_mask
from validate.samples.thumbnail import Thumbnail

_STATE = OrderedDict(
    [("conv.weight", torch.arange(24.0).reshape(2, 3, 2, 2)), ("conv.bias", torch.ones(2))]
)
LABEL_MAP = (
    'void = [0, 255]\noffset = -1\nothers = "void"\n'
    '[classes]\n255 = "person"\n[colours]\n"#ff0000" = 1\n'
)


def package(folder: Path, tiny: Artifact) -> Path:
    """A zip, which holds every other file of a package."""
    picture = Image.new("RGB", (40, 30), "red")
    (folder / "pictures").mkdir()
    picture.save(folder / "pictures/x.png")
    return segport.package(
        [tiny.path], folder / "package.zip", samples=folder / "pictures", force=True, progress=False
    )


def load_package(file: Path) -> None:
    """A package that is not refused computes what it promises."""
    assert segport.verify(file, progress=False).verdict == "exact"


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


def load_state(file: Path) -> None:
    fit_state_dict(read_state_dict(file), _STATE)


def onnx_file(folder: Path, tiny: Artifact) -> Path:
    (folder / "x.onnx").write_bytes(tiny.path.read_bytes())
    return folder / "x.onnx"


def load_onnx_file(file: Path) -> None:
    tidied(file, parse_model(file))


def import_onnx_file(file: Path) -> None:
    """All of an import: its view, the run in a process of its own, conversion, simplification."""
    with TemporaryDirectory() as folder:
        import_model(file, Path(folder), mean=IMAGENET_MEAN, std=IMAGENET_STD)


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


def manifest(folder: Path, tiny: Artifact) -> Path:
    for path in (tiny.path, tiny.path.with_suffix(".json")):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder / f"{tiny.path.stem}.json"


def text(name: str, text: str) -> Callable[[Path, Artifact], Path]:
    def seed(folder: Path, tiny: Artifact) -> Path:
        (folder / name).write_text(text)
        return folder / name

    return seed


def coco(folder: Path, tiny: Artifact) -> Path:
    shapes = [box(0, 0, 4, 4), crowd("#" * WIDTH, *["." * WIDTH] * (HEIGHT - 1))]
    write_coco(folder, [instance(3, 1, shape) for shape in shapes])
    return folder / "annotations/instances_val2017.json"


def load_coco(file: Path) -> None:
    for item in open_dataset(str(file.parent.parent), "val").items:
        read_mask(item, (HEIGHT, WIDTH), 21)


def picture(name: str) -> Callable[[Path, Artifact], Path]:
    def seed(folder: Path, tiny: Artifact) -> Path:
        save_rgb(folder / name, np.random.default_rng(0).integers(0, 255, (9, 9, 3)))
        return folder / name

    return seed


def mask(folder: Path, tiny: Artifact) -> Path:
    save_mask(folder / "m.png", np.arange(81).reshape(9, 9) % 21)
    return folder / "m.png"


def result(folder: Path, tiny: Artifact) -> Path:
    matrices = np.stack([np.diag([300, 200, 100])] * 2)
    written(folder, {"fp32": matrices, "int8": matrices})
    return folder / "result.json"


def counts(folder: Path, tiny: Artifact) -> Path:
    return result(folder, tiny).with_name("confusion.npz")


def baseline(folder: Path, tiny: Artifact) -> Path:
    file = result(folder, tiny)
    counted = count(load_result(file), folder, Rules())
    update_baseline([counted], folder / "baseline.json", "a seed")
    return folder / "baseline.json"


def load_gated(file: Path, baseline: str | None = None) -> None:
    """What the gate reads; a verdict that it cannot tell counts as a refusal."""
    found = load_result(file.with_name("result.json"))
    against = file.with_name(baseline) if baseline else None
    verdicts = gate(found, folder=file.parent, baseline=against, max_drop={"int8": 99})
    if exit_code(verdicts) != 0:
        raise DataError("a doubt")


def diagnosis(folder: Path, tiny: Artifact) -> Path:
    found = diagnosis_of([layer_of(0), layer_of(1)], Suspect(1, True, "a seed"))
    write_diagnosis(found, folder)
    return folder / DIAGNOSIS_FILE


def load_diagnosis_file(file: Path) -> None:
    found = load_diagnosis(file.parent)
    markdown_diagnosis(found)
    terminal_diagnosis(found)


def history(folder: Path, tiny: Artifact) -> Path:
    points = points_of(load_result(result(folder, tiny)), "c" * 40, "2026-01-02T03:04:05+00:00")
    add_points(folder / "history.db", points)
    return folder / "history.db"


def load_history(file: Path) -> None:
    found = read_points(file)
    if not found:
        raise DataError("nothing in it")
    history_markdown(found)
    history_table(found)


def preset(folder: Path, tiny: Artifact) -> Path:
    (folder / "config.json").write_text('{"id2label": {"0": "background", "1": "cat"}}')
    content = {"do_rescale": True, "rescale_factor": 1 / 255, "image_mean": [0.5, 0.5, 0.5]}
    (folder / "preprocessor_config.json").write_text(json.dumps(content))
    return folder / "preprocessor_config.json"


def load_preset(file: Path) -> None:
    LIBRARIES["hf"].preset(str(file.parent))
