"""Images without labels: agreement and fidelity, and nothing that would need labels."""

import json
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from export.artifact.artifact import Artifact
from export.artifact.classes import VOC_CLASSES
from tests.segport.command import segport


@pytest.fixture(scope="module")
def pictures(voc: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images alone, which have labels elsewhere."""
    folder = tmp_path_factory.mktemp("images") / "pictures"
    folder.mkdir()
    for path in (voc / "JPEGImages").glob("val_*.jpg"):
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def int8(tiny: Artifact, voc: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The int8 file of `tiny`."""
    words = ("--precision", "int8", "--target", "cpu", "--calibration", f"{voc}:train")
    folder = tmp_path_factory.mktemp("int8")
    assert segport("quantize", tiny.path, *words, "-o", folder).code == 0
    return next(folder.glob("*.onnx"))


def test_agreement_is_that_of_the_labelled_images(
    tiny: Artifact, int8: Path, pictures: Path, voc: Path, tmp_path: Path
) -> None:
    results = []
    for name, data in (("without", pictures), ("with", voc)):
        out = tmp_path / name
        answer = segport("validate", tiny.path, int8, "--data", data, "-o", out, "--json")
        assert answer.code == 0, answer.err
        results.append(answer.json)
    without, with_labels = results
    assert not without["dataset"]["labelled"] and with_labels["dataset"]["labelled"]
    assert without["dataset"]["ids_sha256"] == with_labels["dataset"]["ids_sha256"]
    assert without["dataset"]["labels_sha256"] is None
    for ours, theirs in zip(without["artifacts"], with_labels["artifacts"], strict=True):
        assert (ours["miou"], ours["drop"], ours["class_iou"]) == (None, None, {})
        assert ours["agreement"] == theirs["agreement"]
        assert ours["fidelity_miou"] == theirs["fidelity_miou"]
    counted = np.load(tmp_path / "without/confusion.npz").files
    assert "against/int8" in counted and "int8" not in counted


def test_the_terminal_shows_fidelity_where_there_is_no_miou(
    tiny: Artifact, pictures: Path, voc: Path, tmp_path: Path
) -> None:
    heads = []
    for data in (pictures, voc):
        answer = segport("validate", tiny.path, "--data", data, "-o", tmp_path)
        heads.append(next(line for line in answer.out.splitlines() if "artifact" in line).split())
    assert "fidelity" in heads[0] and "mIoU" not in heads[0] and "drop" not in heads[0]
    assert "mIoU" in heads[1] and "drop" in heads[1]


def test_a_report_takes_it(tiny: Artifact, int8: Path, pictures: Path, tmp_path: Path) -> None:
    data = ["--data", pictures, "--pictures", 2, "-o", tmp_path]
    assert segport("validate", tiny.path, int8, *data).code == 0
    assert segport("report", tmp_path / "result.json", "-o", tmp_path / "report").code == 0
    text = (tmp_path / "report/report.md").read_text()
    page = (tmp_path / "report/report.html").read_text()
    for report in (text, page):
        assert "agreement" in report
        assert "within 5 px of borders of the reference" in report
    # what the pictures' colours mean is said without labels too
    with ZipFile(tmp_path / "pictures.zip") as archive:
        pngs = [archive.read(name) for name in archive.namelist() if name.endswith(".png")]
    shown = {int(i) for png in pngs for i in np.unique(np.asarray(Image.open(BytesIO(png))))}
    swatches = page.split("Difference pictures:")[0]
    assert shown and all(f"</span>{VOC_CLASSES[index]}</li>" in swatches for index in shown)


@pytest.mark.slow
def test_a_run_takes_it(write_recipe: Callable[..., Path], pictures: Path, tmp_path: Path) -> None:
    text = write_recipe().read_text()
    start = text.index('validation = "')
    line = text[start : text.index("\n", start)]
    recipe = write_recipe(
        (line, f'validation = "{pictures}"'),
        ('protocols = ["squash", "center-crop"]', 'protocols = ["full"]'),
        (text[text.index("[gate.max_drop]") :], ""),
    )
    answer = segport("run", recipe, "-o", tmp_path / "out")
    assert answer.code == 0, answer.err
    result = json.loads((tmp_path / "out/full/result.json").read_text())
    assert {a["miou"] for a in result["artifacts"]} == {None}
    assert all(a["agreement"] > 50 for a in result["artifacts"])
