"""The page of `segport serve` in a real browser: the same masks as onnxruntime's, on any screen."""

import base64
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from export.artifact.artifact import Artifact, load_artifact
from export.artifact.image import synthetic_images
from tests.segport.command import Answer, segport
from validate.runtime.runtimes import open_runtime
from validate.samples.samples import Preparation

pytestmark = [pytest.mark.browser, pytest.mark.web, pytest.mark.slow]
READY = "computed at"


@pytest.fixture(scope="module")
def files(tiny: Artifact, voc: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """fp32, fp16 and int8 files of the tiny network."""
    folder = tmp_path_factory.mktemp("served")
    made = [tiny.path]
    for precision, *target in (("fp16",), ("int8", "--target", "cpu")):
        answer = segport(
            "quantize", tiny.path, "--precision", precision, *target,
            "--calibration", f"{voc}:train", "--force", "-o", folder,
        )  # fmt: skip
        assert answer.code == 0, answer.err
        made.append(folder / f"tiny-{precision}.onnx")
    return made


class Visit:
    """An open page of some artifacts, what it said and whom it asked."""

    def __init__(self, chromium: Any, files: list[Path], width: int = 390) -> None:
        from segport.web.server import address, open_server
        from segport.web.site import build_site
        from segport.web.variants import find_variants

        self._opened = open_server(build_site(find_variants(files)), 0)
        self._server = self._opened.__enter__()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = address(self._server)
        context = chromium.new_context(viewport={"width": width, "height": 844})
        self.page = context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(self.url)

    def choose(self, picture: Path) -> None:
        self.page.get_by_text("Waiting for a picture.").wait_for()
        self.page.set_input_files("#file", picture)
        self.page.get_by_text(READY).wait_for(timeout=120_000)

    def classes(self, side: str) -> np.ndarray:
        """The mask that a side shows."""
        found = self.page.evaluate(
            "(side) => ({...segport[side], classes: [...segport[side].classes]})", side
        )
        return np.array(found["classes"], np.uint8).reshape(found["size"])

    def close(self) -> None:
        self.page.context.close()
        self._server.shutdown()
        self._opened.__exit__(None, None, None)


@pytest.fixture
def visit(chromium: Any, files: list[Path]) -> Iterator[Visit]:
    opened = Visit(chromium, files)
    yield opened
    opened.close()


def _expected(file: Path, picture: Path) -> np.ndarray:
    artifact = load_artifact(file)
    runtime = open_runtime(artifact, "ort-cpu")
    tensor = Preparation.for_artifact(artifact.manifest, "squash").tensor(Image.open(picture))
    return runtime.mask(runtime.engine.outputs(tensor))[0]


def _alike(visit: Visit, files: list[Path], picture: Path) -> list[float]:
    """Percent of pixels of each file that are onnxruntime's, shown in turns on the right."""
    shares = []
    for file in files:
        visit.page.get_by_text(READY).wait_for(timeout=120_000)
        visit.page.select_option("#right", file.stem)
        visit.page.locator("#right-tag", has_text=load_artifact(file).manifest.id).wait_for()
        visit.page.get_by_text(READY).wait_for(timeout=120_000)
        shares.append(100 * float((visit.classes("right") == _expected(file, picture)).mean()))
    return shares


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of another shape than the network's."""
    file = tmp_path_factory.mktemp("picture") / "picture.png"
    Image.fromarray(next(synthetic_images(1, (150, 90), seed=3))).save(file)
    return file


def test_masks_are_those_of_onnxruntime(visit: Visit, files: list[Path], picture: Path) -> None:
    visit.choose(picture)
    fp32, fp16, int8 = _alike(visit, files, picture)
    assert fp32 == fp16 == 100 and int8 >= 99.9
    assert visit.said == []
    assert {url for url in visit.asked if not url.startswith("data:")} == {
        visit.url + name
        for name in (
            "", "style.css", "page.mjs", "worker.mjs", "infer.mjs", "models.json",
            "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm",
            *(f"tiny-{one}.{end}" for one in ("fp32", "fp16", "int8") for end in ("onnx", "json")),
        )
    }  # fmt: skip


def test_masks_of_the_demo_are_those_of_onnxruntime(
    chromium: Any, demo: tuple[Answer, Path]
) -> None:
    folder = demo[1]
    files = [folder / f"demo-{one}.onnx" for one in ("fp32", "fp16", "int8")]
    picture = sorted((folder / "scenes/JPEGImages").iterdir())[0]
    visit = Visit(chromium, files)
    visit.choose(picture)
    shares = _alike(visit, files, picture)
    visit.close()
    assert shares[:2] == [100, 100] and shares[2] >= 99.9


def test_it_counts_what_it_shows(visit: Visit, picture: Path) -> None:
    visit.choose(picture)
    left, right = visit.classes("left"), visit.classes("right")
    others = int((left != right).sum())
    assert f", {others} another." in visit.page.inner_text("#agreement")
    rows = visit.page.locator("#legend tr").all_inner_texts()
    assert len(rows) == len(np.union1d(left, right))


def test_the_slider_moves_with_keyboard_and_finger(visit: Visit, picture: Path) -> None:
    visit.choose(picture)
    at = "getComputedStyle(document.getElementById('stack')).getPropertyValue('--at')"
    visit.page.locator("#slider").focus()
    visit.page.keyboard.press("Home")
    assert visit.page.evaluate(at) == "0%"
    visit.page.keyboard.press("ArrowRight")
    assert visit.page.evaluate(at) == "1%"
    box = visit.page.locator("#stack").bounding_box()
    visit.page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    visit.page.mouse.down()
    visit.page.mouse.up()
    assert float(visit.page.evaluate(at).rstrip("%")) == pytest.approx(25, abs=1)


_HAND_OVER = """([base64, event]) => {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], "picture.png", {type: "image/png"}));
    const given = {bubbles: true, cancelable: true, dataTransfer: data, clipboardData: data};
    const made = event === "paste" ? new ClipboardEvent(event, given) : new DragEvent(event, given);
    return document.body.dispatchEvent(made);
}"""


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_picture_may_be_dropped_or_pasted(
    visit: Visit, files: list[Path], picture: Path, event: str
) -> None:
    visit.page.get_by_text("Waiting for a picture.").wait_for()
    content = base64.b64encode(picture.read_bytes()).decode()
    if event == "drop":  # the browser would else open the picture in the page's place
        assert not visit.page.evaluate(_HAND_OVER, [content, "dragover"])
    assert visit.page.evaluate(_HAND_OVER, [content, event]) == (event == "paste")
    visit.page.get_by_text(READY).wait_for(timeout=120_000)
    assert (visit.classes("left") == _expected(files[0], picture)).all()
    assert visit.said == []


def test_what_is_no_picture_is_said(visit: Visit, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    visit.page.get_by_text("Waiting for a picture.").wait_for()
    visit.page.set_input_files("#file", tmp_path / "text.png")
    visit.page.get_by_text("text.png is no picture that this browser can read.").wait_for()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_the_screen(
    chromium: Any, files: list[Path], picture: Path, width: int
) -> None:
    visit = Visit(chromium, files, width)
    visit.choose(picture)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = [visit.page.locator(name).bounding_box() for name in ("#left-view", "#right-view")]
    shot = visit.page.screenshot(full_page=True)
    visit.close()
    assert boxes[0] == boxes[1] and boxes[0]["width"] <= width
    assert shot.startswith(b"\x89PNG")
