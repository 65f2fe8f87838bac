"""The tables of how third-party files take pictures; `export.foreign.view` reads a file by them."""

from dataclasses import dataclass

LAYOUTS = {"nchw": "channels before height and width", "nhwc": "channels last"}
"""Of the input."""


@dataclass(frozen=True)
class Channels:
    """An order of colours, and how many channels it has."""

    help: str
    count: int


CHANNELS = {
    "rgb": Channels("red, green, blue", 3),
    "bgr": Channels("blue, green, red", 3),
    "grey": Channels("one channel", 1),
    "rgba": Channels("red, green, blue, alpha", 4),
    "bgra": Channels("blue, green, red, alpha", 4),
}
