"""The tables of third-party input conventions; `export.foreign.view` reads a file by them."""

from dataclasses import dataclass

LAYOUTS = {"nchw": "channels before height and width", "nhwc": "channels last"}
"""Of the input."""


@dataclass(frozen=True)
class ChannelOrder:
    """An order of colours, and how many channels it has."""

    help: str
    count: int


CHANNELS = {
    "rgb": ChannelOrder("red, green, blue", 3),
    "bgr": ChannelOrder("blue, green, red", 3),
    "grey": ChannelOrder("one channel", 1),
    "rgba": ChannelOrder("red, green, blue, alpha", 4),
    "bgra": ChannelOrder("blue, green, red, alpha", 4),
}
