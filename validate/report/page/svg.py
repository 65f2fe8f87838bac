"""Charts as SVG that stands inside a page: in the page's colours, with ids of its own."""

import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from export.common.escaping import terminal, xml

_SVG = "http://www.w3.org/2000/svg"
_LINK = "http://www.w3.org/1999/xlink"
_TIP = "tip:"
_POINTS_PER_CHARACTER = 5.8
"""Of a sans-serif font of 10 points, on the wide side: the reader's browser chooses the font."""
INK, LINE = "#010203", "#010204"
"""What is drawn in these takes the page's colour of text and of faint lines."""
REFERENCE = "#010205"
SERIES = tuple(f"#01020{digit}" for digit in "6789ab")
ALARM, SOFT = "#01020c", "#01020d"
_VARIABLES = {
    INK: "--ink", LINE: "--line", REFERENCE: "--reference", ALARM: "--fail", SOFT: "--soft",
} | {colour: f"--series-{number}" for number, colour in enumerate(SERIES, start=1)}  # fmt: skip
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a "$" in a class name is a dollar
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": LINE,
    "legend.frameon": False,
} | dict.fromkeys(
    ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK
)


@dataclass(frozen=True)
class Width:
    """How wide a chart is drawn, and how many characters of a name beside it are shown."""

    inches: float
    name: int

    @property
    def characters(self) -> int:
        """Characters of a line of text that is as wide as the chart."""
        return int(self.inches * 72 / _POINTS_PER_CHARACTER)

    def shortened(self, name: str) -> str:
        """Return a name that leaves room for the chart beside it."""
        return name if len(name) <= self.name else f"{name[: self.name - 3]}..."

    def lines(self, text: str) -> str:
        """Return text in lines that fit the chart, a symbol of a legend beside them."""
        return "\n".join(textwrap.wrap(text, self.characters - 7))

    def columns(self, labels: list[str]) -> int:
        """Return how many of a legend's entries stand side by side."""
        longest = max(len(line) for label in labels for line in label.split("\n"))
        return max(1, min(len(labels), self.characters // (longest + 7)))


WIDE, NARROW = Width(7.2, 28), Width(4.2, 16)
"""For a screen and for a telephone: scaled to it, text of either stays readable."""
BOTH: Mapping[str, Width] = {"wide": WIDE, "narrow": NARROW}
EVERYWHERE: Mapping[str, Width] = {"everywhere": Width(NARROW.inches, WIDE.name)}
"""For a chart that is as good small, and takes long to draw. Keys are classes of the style sheet,
which hides what is drawn for the other width."""

Draw = Callable[[Width], Figure]


@contextmanager
def page_style() -> Iterator[None]:
    """Inside, figures are made in the page's colours."""
    with matplotlib.rc_context(_SETTINGS):
        yield


def series_colours(ids: list[str], reference: str) -> dict[str, str]:
    """Return a colour for each artifact, the same in all charts of a result."""
    others = [id for id in ids if id != reference]
    colours = {id: SERIES[index % len(SERIES)] for index, id in enumerate(others)}
    return {reference: REFERENCE} | colours


def say(artist: Artist, text: str) -> None:
    """Have a browser show `text` where the pointer rests on what `artist` draws."""
    artist.set_gid(_TIP + terminal(text))  # XML has no control characters


def inline_svg(draw: Draw, name: str, alt: str, widths: Mapping[str, Width] = BOTH) -> Markup:
    """Return the chart once per entry of `widths`; the page shows the one that fits it.

    All are `<svg role="img">` with `alt` as their text; `name` is unique in the page. The same
    figure gives the same text. Sizes are left to the page.
    """
    colours = {colour: f"var({variable})" for colour, variable in _VARIABLES.items()}
    parts = []
    for kind, width in widths.items():
        root = _svg(draw(width), f"{name}-{kind}", colours)
        points = root.get("viewBox", "0 0 600 400").split()[2]
        for size in ("width", "height"):
            root.attrib.pop(size, None)
        style = f"--width: {points}px"
        root.attrib.update({"role": "img", "aria-label": alt, "style": style, "class": kind})
        # autoescaping must not touch it: the serializer has escaped every text and attribute
        parts.append(Markup(ElementTree.tostring(root, encoding="unicode")))
    return Markup("\n").join(parts)


def standalone_svg(draw: Draw, name: str, width: Width = WIDE) -> str:
    """Return a file of its own, on white; the same figure gives the same text."""
    light = _light_colours()
    with page_style():
        root = _svg(draw(width), name, {key: light[value] for key, value in _VARIABLES.items()})
    paper = {"width": "100%", "height": "100%", "fill": light["--paper"]}
    root.insert(0, ElementTree.Element(f"{{{_SVG}}}rect", paper))
    return f"<?xml version='1.0' encoding='utf-8'?>\n{ElementTree.tostring(root, 'unicode')}\n"


@cache
def _light_colours() -> dict[str, str]:
    """Return the page's colours by variable, as its style sheet has them for a light screen."""
    style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    return dict(re.findall(r"(--[\w-]+): (#\w+)", style.partition("@media")[0]))


def _svg(figure: Figure, name: str, colours: dict[str, str]) -> ElementTree.Element:
    """Return a figure's SVG with ids that begin with `name`."""
    data = BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": name}), warnings.catch_warnings():
        # the reader's browser draws the text, with fonts of its own
        warnings.filterwarnings("ignore", "Glyph .* missing")
        if engine := figure.get_layout_engine():
            engine.execute(figure)
            figure.set_layout_engine("none")  # or all is drawn twice, the first time for the layout
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(data, format="svg", transparent=True, metadata=nothing)
    # matplotlib writes what XML cannot hold, such as an escape, as it is
    root = ElementTree.fromstring(xml(data.getvalue().decode()))
    _drop_foreign(root)
    for element in list(root.iter()):
        if element.get("id", "").startswith(_TIP):
            title = ElementTree.Element(f"{{{_SVG}}}title")
            title.text = element.attrib.pop("id").removeprefix(_TIP)
            element.insert(0, title)
            element.set("pointer-events", "all")
        for key, value in element.attrib.items():
            element.set(key, _own(key, value, name, colours))
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _LINK)
    return root


def _drop_foreign(root: ElementTree.Element) -> None:
    """Remove metadata, and the style sheet that would apply to the page around the chart."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)


def _own(key: str, value: str, name: str, colours: dict[str, str]) -> str:
    """Return an attribute's value with ids of this chart and the colours they stand for."""
    if key == "id":
        return f"{name}-{value}"
    if key == f"{{{_LINK}}}href" and value.startswith("#"):
        return f"#{name}-{value[1:]}"
    value = re.sub(r"url\(#([^)]*)\)", rf"url(#{name}-\1)", value)
    for colour, shown in colours.items():
        value = value.replace(colour, shown)
    return value
