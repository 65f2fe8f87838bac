"""Fixtures shared by all tests."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from export.artifact.artifact import Artifact, load_artifact
from export.artifact.classes import palette
from segport.signing import signature
from tests.lengthy import LISTED
from tests.once import made_once
from tests.one_process import patched
from tests.segport.command import Answer, segport

SHARED = Path(__file__).resolve().parents[2] / "shared"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
MADE_DEMO = os.environ.get("SEGPORT_MADE_DEMO")
"""What `make demo` wrote under this XDG_STATE_HOME, and what it said in .err: made once in CI."""
CPP_HEADERS = Path(__file__).resolve().parents[1] / ".venv/include-cpp"
SIZE = (65, 65)


@pytest.hookimpl(tryfirst=True)  # before `-m` looks at markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of what is not there are skipped, unless CI says that it must be there."""
    absent = {}
    if not SHARED.is_dir() and os.environ.get("SEGPORT_REQUIRE_SHARED") != "1":
        absent["shared"] = f"{SHARED} is not there"
    if chromium_path() is None and os.environ.get("SEGPORT_REQUIRE_BROWSER") != "1":
        absent["browser"] = f"none of {', '.join(CHROMIUM)} is there"
    if find_spec("segport_web") is None and os.environ.get("SEGPORT_REQUIRE_WEB") != "1":
        absent["web"] = "segport-web is not installed (make web)"
    if not CPP_HEADERS.is_dir() and os.environ.get("SEGPORT_REQUIRE_CPP") != "1":
        absent["cpp"] = f"{CPP_HEADERS} is not there (.ci/headers)"
    for item in items:
        for marker, reason in absent.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
        if item.nodeid.split("[")[0] in LISTED:
            item.add_marker("lengthy")
    # files with slow tests first: both workers then end together
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def chromium_path() -> str | None:
    """The installed Chromium, None where there is none."""
    return next(filter(None, map(shutil.which, CHROMIUM)), None)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The installed Chromium, headless, with a profile of its own, which calls nobody itself."""
    from playwright.sync_api import sync_playwright

    quiet = (
        "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
    )  # fmt: skip
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium_path(), args=list(quiet))
        yield browser
        browser.close()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Statistics that another version or checkout collected are not found, nor the home written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        if MADE_DEMO is None:  # else signed by the key that is there
            patch.setenv("XDG_STATE_HOME", str(made_once(tmp_path_factory, "state", _make_key)))
        yield


def _make_key(folder: Path) -> None:
    """Let all workers sign alike: one goes on with what another made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder))
        assert signature(b"")


@pytest.fixture(scope="session", autouse=True)
def one_process() -> Iterator[None]:
    """See tests/one_process.py."""
    with patched(in_tests=True):
        yield


@pytest.fixture(autouse=True)
def processes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Start processes as users do, in tests marked `processes`."""
    if request.node.get_closest_marker("processes"):
        with patched(in_tests=False):
            yield
    else:
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data; for tests marked `shared` only."""
    assert SHARED.is_dir(), f"SEGPORT_REQUIRE_SHARED=1, but {SHARED} is not there"
    return SHARED


@pytest.fixture(scope="session")
def make_voc() -> Callable[..., Path]:
    """Write a small VOC root with blocky random scenes; splits `train` and `val`."""

    def make(root: Path, train: int = 4, val: int = 4, seed: int = 0, size: int = 80) -> Path:
        rng = np.random.default_rng(seed)
        for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
            (root / folder).mkdir(parents=True)
        for split, count in (("train", train), ("val", val)):
            ids = [f"{split}_{index:03d}" for index in range(count)]
            (root / f"ImageSets/Segmentation/{split}.txt").write_text("\n".join(ids) + "\n")
            for name in ids:
                height, width = size, size + 16
                cells = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
                picture = Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)
                picture.save(root / f"JPEGImages/{name}.jpg", quality=95)
                labels = rng.integers(0, 21, (4, 4)).astype(np.uint8)
                mask = Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST)
                array = np.asarray(mask).copy()
                array[:, width // 2] = 255
                indexed = Image.fromarray(array)
                indexed.putpalette([v for colour in palette(256) for v in colour])
                indexed.save(root / f"SegmentationClass/{name}.png")
        return root

    return make


@pytest.fixture(scope="session")
def voc(tmp_path_factory: pytest.TempPathFactory, make_voc: Callable[..., Path]) -> Path:
    """A small VOC root, read only."""
    return (
        made_once(tmp_path_factory, "data", lambda folder: make_voc(folder / "VOC2012")) / "VOC2012"
    )


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The fp32 artifact of a tiny network at 65x65, named `tiny`; read only."""
    from export.onnx_export import export_model

    folder = tmp_path_factory.mktemp("tiny")
    return export_model("tests.networks:tiny", "default", folder, size=SIZE, name="tiny")


@pytest.fixture(scope="session")
def trained(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A DeepLab with a real checkpoint at 257x257, for tests marked `shared`; read only."""
    checkpoint = str(shared / "checkpoints/deeplabv3_mobilenet_voc_os16.pth")

    def make(folder: Path) -> None:
        from export.onnx_export import export_model

        export_model("deeplabv3_mobilenet", checkpoint, folder, size=(257, 257))

    folder = made_once(tmp_path_factory, "trained", make)
    return load_artifact(folder / "deeplabv3_mobilenet-fp32.onnx")


@pytest.fixture
def unsimplified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Export and import without onnxsim."""
    monkeypatch.setattr("export.simplify._onnxsim", lambda source, target: 1)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Answer, Path]:
    """What `segport run demo` answered, and its folder; made once for all workers, read only."""
    folder = made_once(tmp_path_factory, "demo", _run_demo)
    answer = json.loads(folder.with_name("demo.json").read_text())
    return Answer(**answer), folder


def _run_demo(folder: Path) -> None:
    if MADE_DEMO is not None:
        shutil.copytree(MADE_DEMO, folder, dirs_exist_ok=True)
    answer = segport("run", "demo", "-o", folder)
    if MADE_DEMO is not None:
        answer = replace(answer, err=Path(f"{MADE_DEMO}.err").read_text())
    folder.with_name("demo.json").write_text(json.dumps(asdict(answer)))
