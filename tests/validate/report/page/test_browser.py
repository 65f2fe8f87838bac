"""report.html in a real browser."""

import json
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from export.artifact.diagnosis import Suspect
from tests.validate.diagnoses import diagnosis_of, layer_of
from tests.validate.report.page.folders import HOSTILE, result_folder
from tests.validate.results import artifact_result, lost, result_of
from validate.history.page import history_html
from validate.history.store import points_of
from validate.report.content import ReportContent
from validate.report.page.page import html_report
from validate.report.report import report
from validate.result.facts import ImageAgreement

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with every section, of a result whose names are hostile."""
    folder = tmp_path_factory.mktemp("page")
    classes = ("background", HOSTILE, '"><img src="http://127.0.0.1:9/x" onerror="alert(1)">')
    file = result_folder(
        folder / "in", classes=classes, image=HOSTILE, name=HOSTILE, command="javascript:alert(1)"
    )
    report(file, folder / "out")
    return folder / "out/report.html"


class Visit:
    """An open page, what it said and what it asked for."""

    def __init__(self, context: Any, file: Path) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page = context.new_page()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(dialog.message))
        self.page.on("request", lambda request: self.asked.append(request.url))
        start = time.perf_counter()
        self.page.goto(file.as_uri())
        self.seconds = time.perf_counter() - start

    def column(self, head: str) -> list[str]:
        """Cells of a column of the first table, top down."""
        return self.page.eval_on_selector(
            "table",
            """(table, head) => {
              const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
              const column = heads.indexOf(head);
              return [...table.tBodies[0].rows].map((row) => row.cells[column].textContent);
            }""",
            head,
        )

    def sort(self, head: str) -> None:
        """Click the head of a column of the first table."""
        self.page.locator("table").first.get_by_role("button", name=head, exact=True).click()


def _visit(chromium: Any, file: Path, **how: Any) -> Visit:
    return Visit(chromium.new_context(**how), file)


def test_the_page_is_quiet_and_asks_nobody(chromium: Any, page_file: Path) -> None:
    visit = _visit(chromium, page_file)
    visit.page.wait_for_load_state("networkidle")
    assert visit.said == []
    assert {url for url in visit.asked if not url.startswith("data:")} == {page_file.as_uri()}
    # all pictures are there
    assert visit.page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
    assert visit.page.evaluate("document.images.length") == 10


def test_the_policy_stops_what_an_attacker_adds(chromium: Any, page_file: Path) -> None:
    """The test of the test above: requests and scripts that are there would be noticed."""
    hostile = page_file.with_name("hostile.html")
    text = page_file.read_text().replace(
        "</main>", '<img src="http://127.0.0.1:9/x"><script>alert(1)</script></main>'
    )
    hostile.write_text(text)
    visit = _visit(chromium, hostile)
    assert visit.said and all("Content Security Policy" in line for line in visit.said)


def test_a_click_sorts_and_another_turns_it_round(chromium: Any, page_file: Path) -> None:
    visit = _visit(chromium, page_file)
    assert visit.column("artifact") == ["torch-fp32", "fp32", "int8"]
    visit.sort("size MB")
    assert visit.column("size MB") == ["20.00", "5.00", "-"]
    assert visit.column("artifact") == ["fp32", "int8", "torch-fp32"]
    visit.sort("size MB")
    assert visit.column("size MB") == ["-", "5.00", "20.00"]
    visit.sort("drop")
    assert visit.column("drop") == ["+4.00", "+0.00", "-"]
    heads = visit.page.eval_on_selector_all(
        "table:first-of-type th[aria-sort]",
        "cells => cells.map((cell) => [cell.textContent, cell.getAttribute('aria-sort')])",
    )
    assert heads == [["drop", "descending"]]
    # with the keyboard
    visit.page.get_by_role("button", name="artifact").first.focus()
    visit.page.keyboard.press("Enter")
    assert visit.column("artifact") == ["fp32", "int8", "torch-fp32"]
    assert visit.said == []


def test_ids_that_start_with_a_number_are_sorted_as_text(chromium: Any, tmp_path: Path) -> None:
    ids = ["2007_000061", "2007_000033", "2007_000129"]
    worst = [ImageAgreement(id=id, agreement=90.0 + n) for n, id in enumerate(ids)]
    artifacts = [artifact_result("torch-fp32"), lost("int8", 1, worst_images=worst)]
    (tmp_path / "result.json").write_text(result_of(artifacts=artifacts).to_json())
    report(tmp_path / "result.json", tmp_path)
    visit = _visit(chromium, tmp_path / "report.html")
    sheet = visit.page.locator("table", has=visit.page.get_by_text(ids[0]))
    sheet.get_by_role("button", name="image").click()
    assert [row.split()[1] for row in sheet.locator("tbody tr").all_inner_texts()] == sorted(ids)


def test_without_scripts_the_tables_are_there(chromium: Any, page_file: Path) -> None:
    visit = _visit(chromium, page_file, java_script_enabled=False)
    assert visit.page.get_by_role("button").count() == 0
    assert visit.page.locator("table").first.locator("tbody tr").count() == 3


_LAYOUT = """() => {
  const box = (element) => element.getBoundingClientRect();
  const shown = (element) => element.getClientRects().length > 0;
  const overlap = (a, b) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2;
  return [...document.querySelectorAll("figure.chart")].map((figure) => {
    const charts = [...figure.querySelectorAll("svg")].filter(shown);
    const texts = charts.flatMap((chart) => [...chart.querySelectorAll("text")]);
    const parts = [...charts, ...texts, figure.querySelector(".reading")];
    return {
      charts: charts.length,
      texts: texts.length,
      outside: parts.filter((part) => box(part).left < -1 || box(part).right > innerWidth + 1)
        .map((part) => part.textContent),
      cut: texts.filter((text) => {
        const chart = box(text.closest("svg"));
        return box(text).left < chart.left - 1 || box(text).right > chart.right + 1;
      }).map((text) => text.textContent),
      over: texts.flatMap((one, n) => texts.slice(n + 1)
        .filter((other) => overlap(box(one), box(other)))
        .map((other) => [one.textContent, other.textContent])),
      smallest: Math.min(...texts.map((text) =>
        parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().d)
        .map(Math.abs).filter((size) => size > 0)),
    };
  });
}"""


@pytest.fixture(scope="module")
def charts_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with every kind of chart, and long names in each."""
    folder = tmp_path_factory.mktemp("charts")
    layers = [layer_of(index, layer=f"/backbone/stage{index}/Conv") for index in range(14)]
    layers[12] = layer_of(12, layer="/classifier/pooling/a_long_name/of_a_layer/convolution_12")
    found = diagnosis_of(layers, Suspect(12, True, "its scale is 16.0 times what it needs"))
    file = result_folder(folder, classes=("background", "a class of a long name", "diningtable"))
    document = json.loads(file.read_text())
    tried = [
        {"int8_macs_share": 1 - n / 10, "score": 2.0 - n / 2, "latency_ms": 10.0 + n}
        for n in range(4)
    ]
    for artifact in document["artifacts"]:
        artifact["facts_sha256"] = None
        if artifact["id"] == "int8":
            artifact["search"] = {
                "budget": {"kind": "max_drop", "limit": 1.0},
                "candidates": tried, "frontier": tried, "chosen": tried[2],
            }  # fmt: skip
    file.write_text(json.dumps(document | {"facts_sha256": None}))
    page = folder / "charts.html"
    page.write_text(html_report(ReportContent(file, (), [found])))
    return page


@pytest.fixture(scope="module")
def history_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history of three artifacts over nine commits, of which one broke."""
    points = []
    for day in range(1, 10):
        made = result_of(lost("fp32", 0), lost("int8", 3.0 if day > 5 else 1.0))
        points += points_of(made, f"{day}abcdef0", f"2026-01-0{day}")
    page = tmp_path_factory.mktemp("history") / "history.html"
    page.write_text(history_html(points))
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize(("kind", "count"), [("charts", 5), ("history", 1)])
def test_charts_fit_the_screen_and_can_be_read(
    chromium: Any, request: pytest.FixtureRequest, kind: str, count: int, width: int, scheme: str
) -> None:
    file = request.getfixturevalue(f"{kind}_file")
    visit = _visit(chromium, file, viewport={"width": width, "height": 900}, color_scheme=scheme)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    found = visit.page.evaluate(_LAYOUT)
    assert len(found) == count
    for chart in found:
        # one of the two sizes is there; nothing of it is cut, covered or too small to be read
        assert chart["charts"] == 1 and chart["texts"] > 4
        assert (chart["outside"], chart["cut"], chart["over"]) == ([], [], [])
        assert chart["smallest"] >= 7.5
    # what the image shows is the page in its colours
    paper = _luminance(visit.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    picture = Image.open(BytesIO(visit.page.screenshot(full_page=True))).convert("L")
    darkest, lightest = picture.getextrema()
    assert (paper > 0.5) == (scheme == "light")
    assert lightest - darkest > 150
    assert (np.median(np.asarray(picture)) > 128) == (scheme == "light")


def test_series_have_other_colours_in_the_dark(chromium: Any, charts_file: Path) -> None:
    fills = {}
    for scheme in ("light", "dark"):
        visit = _visit(chromium, charts_file, color_scheme=scheme)
        fills[scheme] = visit.page.evaluate(
            """() => [...new Set([
                ...document.querySelectorAll("svg:not(.narrow) g[pointer-events] path")]
              .map((path) => getComputedStyle(path).fill).filter((fill) => fill !== "none"))]"""
        )
    assert len(fills["light"]) > 4 and set(fills["light"]) != set(fills["dark"])


def test_the_layout_test_notices_what_is_cut_off(chromium: Any, charts_file: Path) -> None:
    """The test of the test above: with the style that charts had before."""
    wide = charts_file.with_name("wide.html")
    style = "<style>figure.chart svg { min-width: 30rem }</style></head>"
    wide.write_text(charts_file.read_text().replace("</head>", style))
    visit = _visit(chromium, wide, viewport={"width": 400, "height": 900})
    assert any(chart["outside"] for chart in visit.page.evaluate(_LAYOUT))


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_no_page_is_wider_than_its_screen(chromium: Any, page_file: Path, width: int) -> None:
    visit = _visit(chromium, page_file, viewport={"width": width, "height": 800})
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(chromium: Any, page_file: Path, scheme: str) -> None:
    visit = _visit(chromium, page_file, color_scheme=scheme)
    colours = visit.page.evaluate(
        """() => [".soft", "h1", "svg text", ".verdicts li"].map((selector) => {
          const style = getComputedStyle(document.querySelector(selector));
          return selector === "svg text" ? style.fill : style.color;
        }).concat(getComputedStyle(document.body).backgroundColor)"""
    )
    *texts, paper = map(_luminance, colours)
    assert (paper > 0.5) == (scheme == "light")
    for text in texts:  # WCAG AA
        assert (max(text, paper) + 0.05) / (min(text, paper) + 0.05) >= 4.5


def _luminance(colour: str) -> float:
    """WCAG's relative luminance of "rgb(r, g, b)"."""
    channels = json.loads("[" + colour[colour.index("(") + 1 : -1] + "]")[:3]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (channel / 255 for channel in channels)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_it_prints(chromium: Any, page_file: Path) -> None:
    visit = _visit(chromium, page_file, color_scheme="dark")
    assert visit.page.pdf(format="A4").startswith(b"%PDF")
    visit.page.emulate_media(media="print")
    assert visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)"
    )
    assert visit.page.evaluate("getComputedStyle(document.querySelector('.scroll')).overflowX") == (
        "visible"
    )


def test_it_opens_within_a_second(chromium: Any, page_file: Path) -> None:
    assert min(_visit(chromium, page_file).seconds for _ in range(3)) < 1
