"""The table of precisions; `quantize.making` makes them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from export.common.tables import Lazy

if TYPE_CHECKING:
    from quantize.job import Job
    from quantize.making import Algorithm


@dataclass(frozen=True)
class Precision:
    """`make` gives what makes a file; `settings` names those of `Settings` that bear on it."""

    help: str
    make: "Callable[[Job], Algorithm]"
    settings: tuple[str, ...]


PRECISIONS: dict[str, Precision] = {
    "fp16": Precision(
        "float16, but for what it cannot hold",
        Lazy("quantize.making:Fp16"),
        ("io", "guard", "keep_float"),
    ),
    "int8": Precision(
        "8-bit integers, as a target wants them",
        Lazy("quantize.making:Int8"),
        ("target", "range", "added", "skipped", "keep_float"),
    ),
}
IO_TYPES = {
    "fp32": "inputs and outputs as before, with a Cast at either end",
    "fp16": "inputs and outputs in float16",
}
"""Of an fp16 file."""
