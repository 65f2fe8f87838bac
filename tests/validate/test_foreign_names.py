"""Names from elsewhere in the pages of the history and the diagnosis, read as their readers do."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from export.artifact.diagnosis import Suspect
from tests.export.common.test_escaping import HOSTILE
from tests.rendered import Rendered
from tests.validate.diagnoses import diagnosis_of, layer_of
from validate.history.page import history_markdown, history_svg, history_table
from validate.history.store import Point
from validate.report.diagnosis_report import DIAGNOSIS_FORMATS, terminal_diagnosis

_OWN = {"h1", "h2", "p", "ul", "li", "img", "table", "thead", "tbody", "tr", "th", "td", "code",
        "strong", "em", "br"}  # fmt: skip


def _check_markdown(text: str) -> None:
    rendered = Rendered(text)
    assert set(rendered.tags) <= _OWN, rendered.html
    assert rendered.references == [], rendered.html
    sources = [value for name, value in rendered.attributes if name in ("src", "href")]
    assert all(value and "/" not in value and ":" not in value for value in sources)


def _check_svg(text: str) -> None:
    for element in ElementTree.fromstring(text).iter():
        assert element.tag.rpartition("}")[2] not in ("script", "a", "image", "foreignObject")
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            assert not name.endswith("href") or value.startswith("#")


def _check_terminal(text: str) -> None:
    assert all(c == "\n" or c.isprintable() for c in text)
    assert not any(line.lstrip().startswith("::") for line in text.splitlines())


def _history(name: str) -> list[Point]:
    point = Point("c" * 40, "2026-01-02", name, name, name, name, "d", 70.0, 0.5, 99.0, 0.25, 0.5)
    return [point, replace(point, commit_sha=name, miou=60.0)]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_history(name: str) -> None:
    points = _history(name)
    _check_markdown(history_markdown(points))
    _check_terminal(history_table(points))


def test_a_history_drawn() -> None:
    _check_svg(history_svg([point for name in HOSTILE for point in _history(name)]))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_diagnosis(name: str) -> None:
    layers = [
        layer_of(n, layer=f"{name}{n}", operator=name, tensor=name, max_error_image=name)
        for n in range(2)
    ]
    found = diagnosis_of(layers, Suspect(1, True, name))
    found = replace(found, reference=name, other=name, images=(name,))
    _check_markdown(DIAGNOSIS_FORMATS["diagnosis.md"](found))
    _check_terminal(terminal_diagnosis(found))
    assert json.loads(DIAGNOSIS_FORMATS["diagnosis.json"](found))["reference"] == name


def test_a_diagnosis_drawn() -> None:
    layers = [layer_of(n, layer=f"{name}{n}", tensor=name) for n, name in enumerate(HOSTILE)]
    _check_svg(DIAGNOSIS_FORMATS["diagnosis.svg"](diagnosis_of(layers, Suspect(1, True, "x"))))
