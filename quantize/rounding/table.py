"""The table of ways to round weights; `quantize.rounding.rounding` applies them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from export.common.tables import Lazy

if TYPE_CHECKING:
    from quantize.rounding.rounding import Floats


@dataclass(frozen=True)
class Rounding:
    """`integers(weight, scale, covariance of its inputs, largest integer)`; see `gptq`."""

    help: str
    integers: "Callable[[Floats, Floats, Floats, int], Floats]"


ROUNDINGS: dict[str, Rounding] = {
    "gptq": Rounding(
        "round weights so that the layer's output keeps its values (error compensation)",
        Lazy("quantize.rounding.gptq:gptq"),
    ),
    "adaround": Rounding(
        "learn for each weight whether to round up or down, in place of gptq; slow",
        Lazy("quantize.rounding.adaround:adaround"),
    ),
}
