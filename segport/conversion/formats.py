"""The table of formats that an artifact can be converted to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from export.common.tables import Lazy

if TYPE_CHECKING:
    from onnx import ModelProto

    from segport.conversion.runner import Runner


@dataclass(frozen=True)
class Format:
    """`write` returns a network as bytes, and how many operators of each kind they hold.

    `open` makes of these bytes what runs them. Files end in `suffix`; `package` is who runs them.
    """

    help: str
    suffix: str
    package: str
    write: "Callable[[ModelProto], tuple[bytes, dict[str, int]]]"
    open: "Callable[[bytes], Runner]"


FORMATS: dict[str, Format] = {
    "litert": Format(
        "LiteRT (TensorFlow Lite)",
        ".tflite",
        "ai-edge-litert",
        Lazy("segport.conversion.litert.writing:write"),
        Lazy("segport.conversion.litert.running:open_litert"),
    ),
}
