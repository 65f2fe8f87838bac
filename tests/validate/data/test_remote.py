"""Data sets at URLs: the same as their local copies. S3 is moto's server, started for this."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from export.artifact.artifact import Artifact
from export.common import remote
from export.common.errors import DataError
from tests.segport.command import segport
from tests.segport.process import SCRIPT
from tests.servers import environment, free_port, mortal, running, s3_packages, silent
from validate.data.datasets import open_dataset, parse_source

fsspec = pytest.importorskip("fsspec")


def _put(system: Any, folder: Path, where: str) -> None:
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        target = f"{where}/{file.relative_to(folder).as_posix()}"
        system.pipe(target, file.read_bytes())


@pytest.fixture
def memory() -> Any:
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    return system


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, make_voc: Callable[..., Path]) -> Path:
    return make_voc(tmp_path_factory.mktemp("remote") / "VOCdevkit/VOC2012", train=6, val=20)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Any]:
    """A bucket `data` with VOCdevkit/, on a server that AWS_ENDPOINT_URL names."""
    packages = s3_packages(tmp_path_factory)
    programs = environment(tmp_path_factory, "moto", "moto[server]==5.2.5")
    port, folder = free_port(), tmp_path_factory.mktemp("moto")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, str(packages)])
        patch.setenv("PYTHONPATH", str(packages), prepend=os.pathsep)
        import s3fs

        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "me")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        with running([programs / "moto_server", "-p", port], port, folder):
            system = s3fs.S3FileSystem()
            system.mkdir("data")
            system.mkdir("empty")
            _put(system, root.parent, "data/VOCdevkit")
            yield system


def test_root_and_split_of_a_url(memory: Any) -> None:
    memory.pipe("/d/odd:name/a.jpg", b"x")
    for source, path, split in (
        ("memory://d/VOCdevkit:val", "memory://d/VOCdevkit", "val"),
        ("memory://d/VOCdevkit", "memory://d/VOCdevkit", None),
        ("memory://d/odd:name", "memory://d/odd:name", None),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080", None),
        ("http://127.0.0.1:1", "http://127.0.0.1:1", None),
    ):
        found = parse_source(source)
        assert (str(found[0]), found[1]) == (path, split)


def test_every_layout_of_folders_is_the_same_as_its_copy(
    memory: Any, root: Path, tmp_path: Path
) -> None:
    """Ids, their order and all digests."""
    voc = root / "JPEGImages", root / "SegmentationClass"
    for kind, (images, masks) in {
        "pairs": ("images", "masks"),
        "splits": ("images/val", "masks/val"),
        "camvid": ("val", "valannot"),
    }.items():
        for source, target in zip(voc, (images, masks), strict=True):
            folder = tmp_path / kind / target
            folder.mkdir(parents=True)
            for file in source.iterdir():
                (folder / file.name).write_bytes(file.read_bytes())
    city = tmp_path / "city"
    for file in voc[0].iterdir():
        image = city / f"leftImg8bit/val/ulm/{file.stem}_leftImg8bit.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(file.read_bytes())
        mask = city / f"gtFine/val/ulm/{file.stem}_gtFine_labelTrainIds.png"
        mask.parent.mkdir(parents=True, exist_ok=True)
        mask.write_bytes((voc[1] / f"{file.stem}.png").read_bytes())
    stems = sorted(file.stem for file in voc[0].iterdir())[::-1]
    lines = (f"pairs/images/{stem}.jpg,pairs/masks/{stem}.png" for stem in stems)
    (tmp_path / "list.csv").write_text("\n".join(lines))
    _put(memory, tmp_path, "/copy")
    for name in ("pairs", "splits:val", "camvid:val", "city:val", "list.csv", "pairs/images"):
        here = open_dataset(str(tmp_path / name), "val")
        there = open_dataset(f"memory://copy/{name}", "val")
        assert len(there.items) == 26, name
        assert there.name.startswith("memory://copy/")
        assert (there.ids_sha256, there.labels_sha256) == (here.ids_sha256, here.labels_sha256)
        assert [item.image_sha256 for item in there.items] == [
            item.image_sha256 for item in here.items
        ]


def test_what_is_wrong_is_a_line_with_its_url(memory: Any) -> None:
    put = memory.pipe
    put("/lone/images/a.jpg", b"x")
    put("/lone/images/b.jpg", b"x")
    put("/lone/masks/a.png", b"x")
    put("/out/ImageSets/Segmentation/val.txt", b"../../secret\n")
    put("/out/JPEGImages/a.jpg", b"x")
    put("/secret.jpg", b"x")
    put("/beside/list.csv", b"image\n/etc/a.jpg\n")
    put("/control/a\x1b[1m.jpg", b"x")
    for source, reason in {
        "memory://lone": "1 names are not in both images/ and masks/, the first is b",
        "memory://out": "data memory://out",
        "memory://beside/list.csv": "1 files listed in list.csv are absent",
        "memory://control": "has control characters",
        "memory://nothing": "no such folder",
        "memory://nothing:val": "no such folder",
    }.items():
        with pytest.raises(DataError) as raised:
            open_dataset(source, "val")
        assert reason in str(raised.value) and "\n" not in str(raised.value)


def test_names_that_differ_by_case_are_different_images(memory: Any) -> None:
    for name in ("A", "a", "B"):
        memory.pipe(f"/case/{name}.jpg", name.encode())
    items = open_dataset("memory://case", "val").items
    assert [item.id for item in items] == ["A", "B", "a"]
    assert len({item.image_sha256 for item in items}) == 3


def test_keys_with_dots_lead_nowhere(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["/dots/..", "/dots/.", "/dots/a.jpg"]
    entries = [{"name": n, "type": "file" if n[-1] == "g" else "directory"} for n in names]
    monkeypatch.setattr(type(memory), "ls", lambda self, path, detail: entries)
    memory.pipe("/dots/a.jpg", b"x")
    assert [path.name for path in remote.location("memory://dots").iterdir()] == ["a.jpg"]


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize("engine", ["", "local", "processes", "ray"])
def test_s3_counts_as_the_local_copy_on_any_engine(
    engine: str, s3: Any, root: Path, tiny: Artifact, tmp_path: Path
) -> None:
    words = ["--engine", engine] if engine else []
    if engine in ("processes", "ray"):
        words += ["--workers", "2"]
    if engine == "ray":
        pytest.importorskip("ray")
    here, s3_name = f"{root}:val", "s3://data/VOCdevkit/VOC2012"
    name, wanted = _counted(tiny, here, tmp_path / "here")
    assert name != s3_name and wanted["images"] == 20
    assert _counted(tiny, "s3://data/VOCdevkit:val", tmp_path / "s3", *words) == (s3_name, wanted)


def _counted(artifact: Artifact, data: str, out: Path, *words: str) -> tuple[str, dict[str, Any]]:
    """The name of the images, and how many they are and their digests and the counts'."""
    done = segport("validate", artifact.path, "--data", data, "-o", out, *words)
    assert done.code == 0, done.err
    text = (out / "result.json").read_text()
    assert "s3cret" not in done.out + done.err + text
    result = json.loads(text)
    facts = {key: result["dataset"][key] for key in ("images", "ids_sha256", "labels_sha256")}
    return result["dataset"]["name"], facts | {"counts": result["counts_sha256"]}


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["processes", "ray"])
def test_a_server_that_goes_away_is_a_line(
    s3: Any, tiny: Artifact, tmp_path: Path, engine: str
) -> None:
    pytest.importorskip("ray" if engine == "ray" else "numpy")
    out = tmp_path / "out"
    words = ["--data", "s3://data/VOCdevkit:val", "--engine", engine, "--workers", "2", "-o", out]
    with mortal(os.environ["AWS_ENDPOINT_URL"], ".jpg", 10) as address:
        done = subprocess.run(
            [SCRIPT, "validate", tiny.path, *words], env=os.environ | {"AWS_ENDPOINT_URL": address},
            capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip
    lines = [line for line in done.stderr.splitlines() if line.startswith("segport:")]
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert len(lines) == 1 and re.search(r"image val_\d+: cannot read .*s3://data/", lines[0])
    assert not (out / "result.json").exists()


@pytest.mark.slow
def test_s3_calibrates_as_the_local_copy_and_changed_images_anew(
    s3: Any, root: Path, tiny: Artifact, tmp_path: Path
) -> None:
    def made(name: str, data: str) -> bytes:
        words = ("--precision", "int8", "--calibration", data, "--samples", 4)
        done = segport("quantize", tiny.path, *words, "-o", tmp_path / name)
        assert done.code == 0, done.err
        (file,) = (tmp_path / name).glob("*.onnx")
        return file.read_bytes()

    here, there = made("here", f"{root}:train"), made("there", "s3://data/VOCdevkit:train")
    assert here == there
    folder, other = "data/VOCdevkit/VOC2012/JPEGImages", (root / "JPEGImages")
    ids = (root / "ImageSets/Segmentation/train.txt").read_text().split()
    kept = {name: (other / f"{name}.jpg").read_bytes() for name in ids}
    new = [file.read_bytes() for file in sorted(other.glob("*.jpg")) if file.stem not in kept]
    try:
        for name, data in zip(ids, new, strict=False):
            s3.pipe(f"{folder}/{name}.jpg", data)
        assert made("changed", "s3://data/VOCdevkit:train") != here
    finally:
        for name, data in kept.items():
            s3.pipe(f"{folder}/{name}.jpg", data)


@pytest.mark.slow
def test_s3_errors_are_a_line(
    s3: Any, tiny: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.pipe("data/broken/images/a.jpg", b"no picture")
    s3.pipe("data/broken/masks/a.png", b"no picture")
    for source, reason in {
        "s3://no-such-bucket/x": "no such folder",
        "s3://data/none:val": "no such folder",
        "s3://data/VOCdevkit:trial": "no split 'trial'",
        "s3://empty": "no such folder",
        "s3://data/broken": "s3://data/broken/masks/a.png",
    }.items():
        done = segport("validate", tiny.path, "--data", source, "-o", tmp_path / "out")
        assert done.code == 2 and len(done.errors) == 1, done.err
        assert reason in done.errors[0], done.err
        assert not (tmp_path / "out/result.json").exists()
    done = segport("predict", tiny.path, "s3://data/broken/images", "-o", tmp_path / "masks")
    assert done.code == 2 and "cannot read s3://data/broken/images/a.jpg" in done.err


@pytest.mark.slow
def test_predict_writes_masks_of_images_at_a_url(s3: Any, tiny: Artifact, tmp_path: Path) -> None:
    ids = sorted(Path(p).stem for p in s3.ls("data/VOCdevkit/VOC2012/JPEGImages"))
    done = segport("predict", tiny.path, "s3://data/VOCdevkit/VOC2012/JPEGImages", "-o", tmp_path)
    assert done.code == 0, done.err
    assert sorted(p.name.removesuffix("-mask.png") for p in tmp_path.glob("*-mask.png")) == ids


@pytest.mark.slow
def test_without_credentials_or_a_server_there_is_an_error(
    s3: Any, tiny: Artifact, tmp_path: Path
) -> None:
    """In processes of their own: s3fs keeps a connection for each configuration."""
    with silent() as port:
        for where, wait, reason in (
            ("http://127.0.0.1:1", 60, "connect"),
            (f"http://127.0.0.1:{port}", 1, "no answer within 1 s"),
            (None, 60, "credentials"),
        ):
            environ = os.environ | {"AWS_ENDPOINT_URL": where or os.environ["AWS_ENDPOINT_URL"]}
            if where is None:
                environ = {k: v for k, v in environ.items() if "KEY" not in k}
                environ["AWS_SHARED_CREDENTIALS_FILE"] = str(tmp_path / "none")
            code = (
                "import sys; from export.common import remote; from segport.cli import main\n"
                f"remote._WAIT = {wait}; sys.argv[0] = 'segport'; main()"
            )
            words = ["validate", str(tiny.path), "--data", "s3://data/VOCdevkit:val"]
            done = subprocess.run(
                [sys.executable, "-c", code, *words, "-o", str(tmp_path / "out")],
                env=environ, capture_output=True, text=True, timeout=300, check=False,
            )  # fmt: skip
            lines = [line for line in done.stderr.splitlines() if line.startswith("segport:")]
            assert done.returncode == 2 and reason in done.stderr.lower(), done.stderr
            assert len(lines) == 1 and "Traceback" not in done.stderr, done.stderr
