"""Charts as SVG that stands inside a page: in the page's colours, with ids of its own."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

_SVG = "http://www.w3.org/2000/svg"
_LINK = "http://www.w3.org/1999/xlink"
LONGEST = 28
"""Characters of a class name in a chart."""
INK, LINE = "#010203", "#010204"
"""What is drawn in these takes the page's colour of text and of faint lines."""
REFERENCE = "#010205"
SERIES = tuple(f"#01020{digit}" for digit in "6789ab")
_VARIABLES = {INK: "--ink", LINE: "--line", REFERENCE: "--reference"} | {
    colour: f"--series-{number}" for number, colour in enumerate(SERIES, start=1)
}
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


def shortened(name: str) -> str:
    """Return a name that leaves room for the chart beside it."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 3]}..."


def inline_svg(figure: Figure, name: str, alt: str) -> Markup:
    """Return `<svg role="img">` with `alt` as its text; `name` is unique in the page.

    The same figure gives the same text. Sizes are left to the page.
    """
    data = BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": name}), warnings.catch_warnings():
        # the reader's browser draws the text, with fonts of its own
        warnings.filterwarnings("ignore", "Glyph .* missing")
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(data, format="svg", transparent=True, metadata=nothing)
    root = ElementTree.fromstring(data.getvalue())
    _drop_foreign(root)
    for element in root.iter():
        for key, value in element.attrib.items():
            element.set(key, _own(key, value, name))
    width = root.get("viewBox", "0 0 600 400").split()[2]
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    root.attrib.update({"role": "img", "aria-label": alt, "style": f"--width: {width}px"})
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _LINK)
    # autoescaping must not touch it: the serializer has escaped every text and attribute
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _drop_foreign(root: ElementTree.Element) -> None:
    """Remove metadata, and the style sheet that would apply to the page around the chart."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)


def _own(key: str, value: str, name: str) -> str:
    """Return an attribute's value with ids of this chart and colours of the page."""
    if key == "id":
        return f"{name}-{value}"
    if key == f"{{{_LINK}}}href" and value.startswith("#"):
        return f"#{name}-{value[1:]}"
    value = re.sub(r"url\(#([^)]*)\)", rf"url(#{name}-\1)", value)
    for colour, variable in _VARIABLES.items():
        value = value.replace(colour, f"var({variable})")
    return value
