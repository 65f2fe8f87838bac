"""torchvision's downloads, from a server on this machine with archives of a few kilobytes."""

import hashlib
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import SBDataset
from torchvision.datasets.voc import DATASET_YEAR_DICT

from export.common.errors import DataError
from tests.segport.command import segport
from tests.validate.fakes import save_rgb
from validate.data.datasets import open_dataset
from validate.data.download import fetch

MakeVoc = Callable[..., Path]


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        """Say nothing."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the URL at which its files can be downloaded."""
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def _packed(source: Path, inside: str, archive: Path) -> str:
    mode = "w:gz" if archive.suffix == ".tgz" else "w"
    with tarfile.open(archive, mode) as tar:
        tar.add(source, inside)
    return hashlib.md5(archive.read_bytes()).hexdigest()


@pytest.fixture
def serve_voc(
    served: tuple[Path, str],
    tmp_path: Path,
    make_voc: MakeVoc,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], None]:
    """Let torchvision's entry `year` mean a small archive of the server."""
    folder, url = served

    def serve(year: str) -> None:
        entry = DATASET_YEAR_DICT[year]
        splits = make_voc(tmp_path / f"source-{year}", train=2, val=3)
        if year == "2007-test":
            (splits / "ImageSets/Segmentation/val.txt").rename(
                splits / "ImageSets/Segmentation/test.txt"
            )
        file = folder / f"{year}.tar"
        md5 = _packed(splits, entry["base_dir"], file)
        changed = entry | {"url": f"{url}/{file.name}", "md5": md5}
        monkeypatch.setitem(DATASET_YEAR_DICT, year, changed)

    return serve


@pytest.mark.parametrize(
    ("archive", "source", "home", "images"),
    [
        ("2012", "VOCdevkit/VOC2012", "VOCdevkit/VOC2012", 3),
        ("2012", "VOCdevkit:train", "VOCdevkit/VOC2012", 2),
        ("2007", "VOCdevkit/VOC2007:val", "VOCdevkit/VOC2007", 3),
        ("2007-test", "VOCdevkit/VOC2007:test", "VOCdevkit/VOC2007", 3),
        ("2011", "TrainVal/VOCdevkit/VOC2011", "TrainVal/VOCdevkit/VOC2011", 3),
    ],
)
def test_voc_is_fetched_to_where_data_says(
    serve_voc: Callable[[str], None],
    tmp_path: Path,
    archive: str,
    source: str,
    home: str,
    images: int,
) -> None:
    serve_voc(archive)
    ground = tmp_path / "data"
    ground.mkdir()
    steps: list[tuple[int, int]] = []
    fetch(f"{ground}/{source}", "val", lambda done, total: steps.append((done, total)))
    dataset = open_dataset(f"{ground}/{source}", "val")
    assert len(dataset.items) == images
    assert dataset.items[0].image.is_relative_to(ground / home)
    assert steps
    top = [path.name for path in ground.iterdir()]
    assert top == [home.split("/")[0]]  # no archive, no scratch folder


def test_another_year_joins_the_devkit(serve_voc: Callable[[str], None], tmp_path: Path) -> None:
    for year in ("2007", "2012"):
        serve_voc(year)
        fetch(f"{tmp_path}/VOCdevkit/VOC{year}", "val")
    assert sorted(p.name for p in (tmp_path / "VOCdevkit").iterdir()) == ["VOC2007", "VOC2012"]


def test_what_is_there_is_not_fetched_again(tmp_path: Path, make_voc: MakeVoc) -> None:
    make_voc(tmp_path / "VOCdevkit/VOC2012")  # no server runs
    fetch(f"{tmp_path}/VOCdevkit:val", "val")


def test_sbd_is_fetched_too(
    served: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scipy_io = pytest.importorskip("scipy.io")
    folder, url = served
    source = tmp_path / "source"
    for part in ("cls", "inst"):
        (source / part).mkdir(parents=True)
    save_rgb(source / "img/a.jpg", np.zeros((4, 5, 3)))
    label = {"GTcls": {"Segmentation": np.ones((4, 5), np.uint8)}}
    scipy_io.savemat(source / "cls/a.mat", label)
    for name in ("train.txt", "val.txt"):
        (source / name).write_text("a\n")
    md5 = _packed(source, "benchmark_RELEASE/dataset", folder / "benchmark.tgz")
    monkeypatch.setattr(SBDataset, "url", f"{url}/benchmark.tgz")
    monkeypatch.setattr(SBDataset, "md5", md5)
    fetch(f"{tmp_path}/data/SBD:train", "val")
    assert open_dataset(f"{tmp_path}/data/SBD:train", "val").labelled
    left = sorted(path.name for path in (tmp_path / "data/SBD").iterdir())
    assert left == ["cls", "img", "inst", "train.txt", "val.txt"]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["SBD"]


def test_a_damaged_archive_leaves_nothing_behind(
    served: tuple[Path, str], serve_voc: Callable[[str], None], tmp_path: Path
) -> None:
    serve_voc("2012")
    archive = served[0] / "2012.tar"
    archive.write_bytes(archive.read_bytes()[:5000])
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DataError, match=r"cannot get http.*2012\.tar .*download it elsewhere"):
        fetch(f"{tmp_path}/new/VOCdevkit/VOC2012", "val")
    assert sorted(tmp_path.iterdir()) == before


def test_without_a_network_the_command_says_what_to_download(
    serve_voc: Callable[[str], None], served: tuple[Path, str], tmp_path: Path
) -> None:
    serve_voc("2012")
    (served[0] / "2012.tar").unlink()  # the server answers 404
    root = tmp_path / "VOCdevkit/VOC2012"
    answer = segport("validate", tmp_path / "x.onnx", "--data", root, "--download", "-o", tmp_path)
    assert answer.code == 2 and answer.out == ""
    (line,) = answer.errors
    assert "2012.tar" in line and f"there is {root}" in line
    assert not (tmp_path / "VOCdevkit").exists()


def _recipe(folder: Path, precision: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(
        f"""
        name = "tiny"
        model = {{ name = "tests.networks:tiny", weights = "default", size = [65, 65] }}
        data = {{ calibration = "VOCdevkit", validation = "VOCdevkit" }}
        artifact = [{{ precision = "{precision}" }}]
        """
    )
    return path


@pytest.mark.slow
def test_a_run_fetches_what_its_recipe_names(
    serve_voc: Callable[[str], None], tmp_path: Path
) -> None:
    serve_voc("2012")
    recipe, out = _recipe(tmp_path, "fp16"), tmp_path / "out"
    answer = segport("run", recipe, "-o", out)
    assert answer.code == 2 and "VOCdevkit: no such folder" in answer.errors[-1]
    misspelt = segport("run", _recipe(tmp_path, "fp61"), "-o", out, "--download")
    assert misspelt.code == 2 and not (tmp_path / "VOCdevkit").exists()  # found before
    answer = segport("run", _recipe(tmp_path, "fp16"), "-o", out, "--download", "--json")
    assert answer.code == 0, answer.err
    (result,) = answer.json["results"]
    assert (result["dataset"]["split"], result["dataset"]["images"]) == ("val", 3)
    assert {path.name for path in tmp_path.iterdir()} >= {"VOCdevkit", "out"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pictures", "not one of VOCdevkit, VOCdevkit/VOC2007 to VOC2012, or SBD"),
        ("coco", "no download for COCO.*https://cocodataset.org"),
        ("coco/annotations/instances_val2017.json", "no download for COCO"),
        ("VOC2012", r"unpacks to VOCdevkit/VOC2012; name the folder \.\.\./VOCdevkit/VOC2012"),
        ("VOCdevkit/VOC2011", r"unpacks to TrainVal/VOCdevkit/VOC2011"),
        ("VOCdevkit/VOC2013", "2007 to 2012 only"),
    ],
)
def test_other_names_are_refused_without_a_request(
    tmp_path: Path, name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*words: object, **more: object) -> None:
        raise AssertionError("a request was made")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(DataError, match=message):
        fetch(str(tmp_path / name), "val")
