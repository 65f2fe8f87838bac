"""What a reader, a browser and an attacker find in report.html."""

import json
import re
from base64 import b64decode, b64encode
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.common.errors import DataError
from tests.validate.report.page.folders import HOSTILE, result_folder, thumbnail
from tests.validate.results import artifact_result, lost, result_of
from validate.gating.verdict import Verdict
from validate.report.content import ReportContent
from validate.report.page.gallery import ROOM, cards
from validate.report.page.page import html_report
from validate.report.report import markdown_report
from validate.result.facts import SearchBudget, SearchFacts, SearchRow
from validate.result.picture_file import read_pictures, write_pictures
from validate.result.result import load_result

VOID_TAGS = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Tags with their attributes in order, visible text, and what was not closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@dataclass
class Said:
    """A verdict of any gate."""

    id: str
    outcome: str
    reason: str
    inconclusive: bool = False


def _page(file: Path, *verdicts: Said | Verdict) -> tuple[str, Page]:
    html = html_report(ReportContent(file, verdicts))
    return html, Page(html)


def test_sections_come_in_the_order_of_a_readers_questions(tmp_path: Path) -> None:
    html, page = _page(result_folder(tmp_path))
    assert re.findall("<h2>([^<]*)</h2>", html) == [
        "Accuracy, size and latency",
        "Drop of mIoU",
        "Classes",
        "Confusion: artifact minus reference",
        "Images that agree least",
        "How it was made",
    ]
    assert html.index("4.00 points of mIoU") < html.index("<h2>")
    assert page.open == []


def test_the_first_thing_said_is_what_each_artifact_lost(tmp_path: Path) -> None:
    _, page = _page(result_folder(tmp_path))
    # 5 of 20 MB, both take 10 ms
    assert (
        "int8 lost 4.00 points of mIoU (95 % interval of the drop: +2.50 to +6.25); agrees with "
        "torch-fp32 on 97.25 % of pixels; 0.25 times the size and 1.00 times the time of fp32."
    ) in page.text
    assert "fp32 lost 0.00 points of mIoU; agrees with torch-fp32 on 100.00 %" in page.text


def test_the_gates_gravest_word_comes_first(tmp_path: Path) -> None:
    html, page = _page(
        result_folder(tmp_path),
        Said("int8", "pass", "small enough"),
        Said("int8", "fail", "lost too much"),
        Said("fp32", "pass", "as before", inconclusive=True),
        Said("fp16", "cannot tell", "not in the result"),
    )
    assert re.findall(r'<li class="([^"]*)">\s*<span class="badge">([^<]*)</span>', html) == [
        ("pass", "pass, inconclusive"),
        ("fail", "fail"),
        ("cannot-tell", "cannot tell"),
    ]
    for reason in ("fail: lost too much", "pass: small enough", "cannot tell: not in the result"):
        assert reason in page.text


def test_without_a_gate_the_page_says_that_nothing_was_judged(tmp_path: Path) -> None:
    file = result_folder(tmp_path)
    html, page = _page(file)
    assert "No gate was asked: this report measures and judges nothing." in page.text
    assert html.index("No gate was asked") < html.index("4.00 points of mIoU")
    assert "No gate was asked" in markdown_report(load_result(file))
    verdict = Said("int8", "pass", "small enough")
    assert "No gate was asked" not in _page(file, verdict)[1].text


def test_a_name_that_xml_cannot_hold_is_drawn_without_it(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    names = lost("fp32", 0), lost("int8\x1b[31m\x00", 0.5, drop_ci95=(0.1, 0.9))
    file.write_text(result_of(*names).to_json())
    charts = re.findall("<svg.*?</svg>", _page(file)[0], re.DOTALL)
    assert any("int8[31m" in chart for chart in charts)


def test_every_chart_has_a_sentence_that_follows_from_its_numbers(tmp_path: Path) -> None:
    html, page = _page(result_folder(tmp_path))
    charts = html.count('<figure class="chart">')
    assert charts == html.count('<p class="reading">') == 3
    assert (
        "int8 lost most: 4.00 points of mIoU; its interval, +2.50 to +6.25, lies above 0: other "
        "images would show a loss, too."
    ) in page.text
    # 90, 60, 30 became 88, 50, 30
    assert "cat lost most: 60.00 to 50.00 % in int8; 2 of 3 classes lost 1 point" in page.text
    # of 100 pixels of a cat 20 were taken for background, then 60
    assert (
        "of cat's pixels 40.00 points more are taken for background (20.00 to 60.00 %)"
    ) in page.text


def test_values_are_shown_where_the_pointer_rests(tmp_path: Path) -> None:
    html, _ = _page(result_folder(tmp_path))
    titles = Counter(re.findall(r"<title>([^<]*)</title>", html[html.index("<svg") :]))
    # charts are there twice, for wide and narrow screens; a dot and its whiskers say the same
    assert titles["int8: +4.00 points, 95 % interval +2.50 to +6.25"] == 4
    assert titles["cat, int8: 50.00 %"] == titles["background, torch-fp32: 90.00 %"] == 2
    # but for the confusion map, which has many cells to draw and is as good small
    assert titles["cat as background: +40.00 points"] == 1
    assert titles["cat as cat: -40.00 points"] == 1
    assert "tip:" not in html


def test_a_search_is_shown_with_all_that_was_tried(tmp_path: Path) -> None:
    tried = [
        SearchRow(int8_macs_share=share, score=score, latency_ms=ms)
        for share, score, ms in ((1.0, 2.5, 10.0), (0.9, 1.75, 11.5), (0.75, 0.5, 13.0))
    ]
    search = SearchFacts(
        budget=SearchBudget(kind="max_drop", limit=1.0),
        candidates=tried,
        frontier=[tried[0], tried[2]],
        chosen=tried[2],
    )
    int8 = artifact_result("int8").model_copy(update={"search": search})
    (tmp_path / "result.json").write_text(result_of(int8).to_json())
    html, page = _page(tmp_path / "result.json")
    assert "<h2>Search for the layers of int8</h2>" in html
    assert (
        "Chosen was 75.0 % of MACs in int8 with 0.500 points of mIoU below fp32; at most 1 was "
        "asked for, and 100.0 % in int8 would have come to 2.500."
    ) in page.text
    assert "100.0 2.500 10.0 frontier 90.0 1.750 11.5 75.0 0.500 13.0 chosen" in page.text
    assert "chosen: 75.0 % of MACs in int8, 13.0 ms, score 0.500" in html


def test_nothing_of_the_page_comes_from_elsewhere(tmp_path: Path) -> None:
    html, page = _page(result_folder(tmp_path))
    outside = [
        (tag, key, value)
        for tag, attributes in page.tags
        for key, value in attributes.items()
        if key in ("src", "href", "xlink:href", "action", "data", "poster", "srcset")
        and not value.startswith(("data:", "#"))
    ]
    assert outside == []
    # names of XML namespaces are no addresses
    assert set(re.findall(r"https?://[^\s\"'<]*", html)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "@import" not in html and "@font-face" not in html


def test_only_our_script_may_run(tmp_path: Path) -> None:
    html, page = _page(result_folder(tmp_path))
    (policy,) = [a["content"] for a in page.all("meta") if "http-equiv" in a]
    (script,) = re.findall("<script>(.*?)</script>", html, re.DOTALL)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy and f"script-src 'sha256-{digest}'" in policy


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> Counter[str]:
    """How often each element is in a page with harmless names."""
    plain, _ = _page(result_folder(tmp_path_factory.mktemp("plain")))
    return Counter(tag for tag, _ in Page(plain).tags)


@pytest.mark.parametrize(
    "name",
    [
        HOSTILE,
        '"><img src=x onerror=alert(1)>',
        "{{ 7 * 7 }}",
        "a --> b",
        r"$\frac$",
        "$x$",
        "&amp;",
        "猫",
        "url(#a) #010203",
        "an extraordinarily long name " * 4 + "of a class",
    ],
)
@pytest.mark.filterwarnings("error")
def test_names_that_users_give_are_only_shown(
    tmp_path: Path, name: str, harmless: Counter[str]
) -> None:
    file = result_folder(
        tmp_path / "hostile",
        classes=("background", name, "dog"),
        image=name,
        name=name,
        model=name,
        command=f"segport validate {name}",
        calibration={name: {"protocol": "squash", "images": 1, "settings": {name: name}}},
    )
    html, page = _page(file, Said(name, "fail", name))
    # the same elements as with harmless names: an svg's text is not even an element more
    counts = Counter(tag for tag, _ in page.tags)
    for tag in ("script", "svg", "img", "section", "h2", "text"):
        assert counts[tag] == harmless[tag], tag
    assert counts.keys() == harmless.keys() | {"span"}  # the badge
    assert page.open == []
    # heading, classes' chart and table, both axes of a confusion map, its table, both cards
    assert page.text.count(name) >= 10
    svgs = re.findall(r"<text[^>]*>([^<]*)</text>", html)
    drawn = [one for text in svgs for one in [Page(f"<p>{text}</p>").text] if name[:25] in one]
    # class chart, whose narrow form shows fewer letters; rows and columns of int8's confusion
    assert len(drawn) == (4 if len(name) <= 16 else 3)


def test_the_page_is_accessible(tmp_path: Path) -> None:
    html, page = _page(result_folder(tmp_path))
    assert page.all("html") == [{"lang": "en"}]
    assert all(image["alt"] for image in page.all("img"))
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.all("svg"))
    assert all(head["scope"] in ("col", "row") for head in page.all("th"))
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all(
        "meta"
    )
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = re.findall(r"url\(#([^)]*)\)|xlink:href=\"#([^\"]*)\"", html)
    assert used and {one or other for one, other in used} <= set(ids)
    assert "prefers-color-scheme: dark" in html and "@media print" in html


def test_charts_follow_the_colours_of_the_page(tmp_path: Path) -> None:
    html, _ = _page(result_folder(tmp_path))
    assert "var(--series-1)" in html and "var(--ink)" in html and "#0102" not in html


def test_the_largest_changes_are_those_of_the_matrices(tmp_path: Path) -> None:
    _, page = _page(result_folder(tmp_path))
    # of 100 cat pixels 80 were right, now 40 are; fp32 is as the reference
    assert "cat cat 80.00 40.00 -40.00" in page.text
    assert "cat background 20.00 60.00 +40.00" in page.text
    assert "No cell changes by 0.1 points or more." in page.text


def test_each_card_has_image_label_reference_artifact_and_difference(tmp_path: Path) -> None:
    html, page = _page(result_folder(tmp_path))
    first = html[html.index('<section class="card">') : html.index("</section>")]
    assert re.findall("<figcaption>([^<]*)</figcaption>", first) == [
        "image",
        "label",
        "torch-fp32",
        "int8: 80.00 % agree",
        "int8: difference",
    ]
    assert "differs from torch-fp32: fp32 (" in first
    assert "The 2 worst of 1 images." in page.text
    label = re.findall(r'src="data:image/png;base64,([^"]*)"', first)[0]
    pixels = np.asarray(Image.open(BytesIO(b64decode(label))))
    assert (pixels[:, 5] == 255).all() and pixels.shape == (60, 60)


def test_the_legend_names_the_classes_in_vocs_colours(tmp_path: Path) -> None:
    html, _ = _page(result_folder(tmp_path))
    swatches = dict(
        re.findall(r'<span class="swatch" style="background: (#\w+)"></span>([^<]*)</li>', html)
    )
    # the devkit's colours of 0, 1, 2 and 255
    assert swatches["#000000"] == "background" and swatches["#800000"] == "cat"
    assert swatches["#008000"] == "dog" and swatches["#e0e0c0"] == "no label"


def test_without_pictures_the_images_are_only_named(tmp_path: Path) -> None:
    html, page = _page(result_folder(tmp_path, pictures=0))
    assert "<img" not in html and "img_1" in page.text
    assert "segport validate --pictures N" in page.text


def test_a_page_stays_below_5_mb_whatever_was_kept(tmp_path: Path) -> None:
    result = result_of(artifact_result("int8"), artifact_result("fp16"))
    made = [
        thumbnail(f"{n}", n, {"torch-fp32": 0, "int8": 20, "fp16": 30}, side=240)
        for n in range(120)
    ]
    write_pictures(made, result, tmp_path / "pictures.zip")
    many = read_pictures(result, tmp_path / "pictures.zip")
    shown = cards(many, "torch-fp32")
    size = sum(len(one.source) for card in shown for one in card.shown)
    assert 0.9 * ROOM < size <= ROOM < 4_500_000
    assert [card.id for card in shown] == [one.id for one in many[: len(shown)]]


def test_unlabelled_results_have_a_page(tmp_path: Path) -> None:
    entries = [
        artifact_result(id, miou=None, drop=None, pixel_accuracy=None, class_iou={})
        for id in ("torch-fp32", "int8")
    ]
    (tmp_path / "result.json").write_text(result_of(artifacts=entries).to_json())
    html, page = _page(tmp_path / "result.json")
    assert re.findall("<h2>([^<]*)</h2>", html) == ["Accuracy, size and latency", "How it was made"]
    assert "int8 agrees with torch-fp32 on 100.00 % of pixels" in page.text
    assert "None" not in page.text


def test_a_result_of_the_reference_alone_has_a_page(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(result_of().to_json())
    _, page = _page(tmp_path / "result.json")
    assert "torch-fp32" in page.text and "10.0 ms" in page.text


def test_the_same_result_gives_the_same_page(tmp_path: Path) -> None:
    file = result_folder(tmp_path)
    assert _page(file)[0] == _page(file)[0]


def test_what_lies_beside_must_belong_to_the_result(tmp_path: Path) -> None:
    file = result_folder(tmp_path)
    document = json.loads(file.read_text())
    document["protocol"] = "center-crop"
    file.write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"pictures\.zip: holds the pictures of another result"):
        _page(file)
    (tmp_path / "pictures.zip").write_bytes(b"PK no zip")
    with pytest.raises(DataError, match=r"pictures\.zip: damaged"):
        _page(file)
    (tmp_path / "pictures.zip").unlink()
    (tmp_path / "confusion.npz").write_bytes(b"no npz")
    with pytest.raises(DataError, match=r"confusion\.npz"):
        _page(file)
