"""Strangers' texts in the readers they are escaped for."""

import random
import re

import pytest

from export.common.escaping import (
    markdown,
    markdown_code,
    shortened,
    terminal,
    visible,
    workflow_data,
    workflow_property,
    xml,
)
from tests.rendered import Rendered
from validate.result.cells import markdown_table

HOSTILE = [
    "<script>alert(1)</script>", "<!-- segport gate -->", "a<b", "</details>", "&lt;", "&#60;b>",
    "a|b", "a\\|b", "a\\\\|b\\", "||", "`", "``x`", "`a|b`", "\\`", "*x*", "_x_", "__x__", "a_b_c",
    "~x~", "~~x~~", "$x$", "[x](http://evil.example)", "![x](https://evil.example/p.png)",
    "[x]: y", "@everyone", "int8@per-tensor", "a@b.com", "(@me)", "-@me", "#123", "me/repo#1",
    "GH-12", ":cat:", ":+1:", "http://x.y", "https://x.y", "ftp://x.y", "www.x.y",
    "mailto:a@b.com", "# head", "###### x", "#", "- item", "+ item", "* item", "-", "-0.16",
    "--- ", "***", "___", "===", "> quote", ">quote", "1. item", "12) item", "12)", "    code",
    "\tcode", "a\nb\r\nc", "x\n\n# y", "\x1b[31mred", "\x00", "\u202eevil", "a\u2028b", "é😀",
    "a\\\nb", "| a |\n|---|\n| b |", "<https://x.y>", "<a@b.com>", "</code>", "</summary><h1>",
    "~~~", "```\nx\n```", "[^1]", "- [ ] x",
]  # fmt: skip
_PIECES = [
    *"\\`*_[]()<>|~$#@!:&;.-+=/\n\t 1aé",
    "www",
    "http://",
    "<b>",
    "GH-1",
    "&amp;",
    "<!--",
    "-->",
]


def _random(seed: int) -> str:
    pick = random.Random(seed)
    return "".join(pick.choices(_PIECES, k=pick.randint(1, 14)))


TEXTS = [*HOSTILE, *map(_random, range(1500))]


def _squeezed(text: str) -> str:
    return " ".join(text.split())


def _check(rendered: Rendered, text: str, tags: list[str]) -> None:
    expected = _squeezed(visible(text))
    assert rendered.tags == tags, (text, rendered.html)
    assert _squeezed(rendered.text) == expected, (text, rendered.html)
    assert rendered.references == [], (text, rendered.html)


def test_a_text_is_shown_as_it_is_wherever_markdown_has_text() -> None:
    for text in TEXTS:
        if not visible(text).strip():
            continue
        _check(Rendered(markdown(text)), text, ["p"])
        _check(Rendered(f"- {markdown(text)}"), text, ["ul", "li"])
        _check(Rendered(f"# {markdown(text)}"), text, ["h1"])
        _check(Rendered(f"a\n{markdown(text)}"), f"a {text}", ["p"])


def test_a_text_is_shown_as_code() -> None:
    for text in TEXTS:
        _check(Rendered(f"a {markdown_code(text)} b"), f"a {text} b", ["p", "code"])


def test_cells_stay_in_their_columns() -> None:
    tags = ["table", "thead", "tr", "th", "th", "tbody", "tr", "td", "td"]
    for text in TEXTS:
        table = markdown_table([[text, markdown_code(text)]], [text, "y"])
        rendered = Rendered(table)
        assert rendered.tags == [*tags, "code"], (table, rendered.html)
        cell = visible(text)
        assert _squeezed(rendered.text) == _squeezed(f"{cell} y {cell} {cell}"), rendered.html
        assert rendered.references == [], (text, rendered.html)


def test_what_needs_no_escape_is_written_plainly() -> None:
    plain = "int8@per-tensor: drop -0.156 is within 1 (95 % interval -0.343 to +0.078), a_b 2 -> 1"
    assert markdown(plain) == plain
    assert markdown("-0.16") == "-0.16"
    assert markdown_code("segport gate a.json --max-drop int8=1") == (
        "`segport gate a.json --max-drop int8=1`"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x07a", r"\x1b[2J\x07a"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("caf\u00e9 \u65e5\u672c", "caf\u00e9 \u65e5\u672c"),
        ("\udcff.png", r"\udcff.png"),  # a byte of a file name that is not UTF-8
        ("x\x9b31m", r"x\x9b31m"),
        ("::set-output name=a::b", r"\x3a:set-output name=a::b"),
        ("int8: ##[set-output name=a;]b", r"int8: #\x23[set-output name=a;]b"),
        ("##VSO[task.x]y", r"#\x23VSO[task.x]y"),
        ("## a :: b", "## a :: b"),
    ],
)
def test_a_terminal_shows_controls_and_obeys_none(text: str, shown: str) -> None:
    assert terminal(text) == shown
    shown.encode()


def test_no_terminal_line_is_a_command_of_the_runner() -> None:
    for text in [*TEXTS, "  ::error::x", "\u00a0::error::x", "a ##[error]b"]:
        line = terminal(text)
        assert not line.lstrip().startswith("::") and "##[" not in line
        assert "\n" not in line


def _unescaped(text: str, codes: dict[str, str]) -> str:
    """As actions/runner reads it: every code replaced, the percent sign last."""
    for code, character in codes.items():
        text = text.replace(code, character)
    return text.replace("%25", "%")


def test_workflow_commands_give_back_the_text() -> None:
    data = {"%0D": "\r", "%0A": "\n"}
    for text in TEXTS:
        expected = visible(text, keep="\r\n")
        message, name = workflow_data(text), workflow_property(text)
        assert "\n" not in message and _unescaped(message, data) == expected
        assert not re.search("[\n:,]", name)
        assert _unescaped(name, data | {"%3A": ":", "%2C": ","}) == expected


def test_xml_leaves_out_what_it_cannot_hold() -> None:
    assert xml("a\x00\x1b\ufffe\ud800b\n\t<&é😀") == "ab\n\t<&é😀"


def test_long_texts_keep_their_beginning_and_end() -> None:
    text = "a" * 50 + "b" * 50
    assert shortened(text, 100) == text
    assert shortened(text, 15) == "a" * 8 + "..." + "b" * 4
    assert len(shortened(text, 60)) == 60
