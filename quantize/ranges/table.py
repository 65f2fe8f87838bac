"""The table of range rules; `quantize.ranges.ranges` computes them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from export.common.errors import UsageError
from export.common.tables import Lazy, known

if TYPE_CHECKING:
    from quantize.ranges.ranges import RangeRule

DEFAULT_RANGE = "percentile"


@dataclass(frozen=True)
class RuleEntry:
    """`make(parameter)` gives the rule; a user may give a parameter only where one is shown."""

    help: str
    make: "Callable[[str | None], RangeRule]"
    parameter: str = ""


RANGE_RULES: dict[str, RuleEntry] = {
    "minmax": RuleEntry(
        "smallest and largest value seen, or so many times as far",
        Lazy("quantize.ranges.ranges:minmax"),
        parameter="2",
    ),
    "moving-average": RuleEntry(
        "mean over images of their smallest and largest value",
        Lazy("quantize.ranges.ranges:moving_average"),
    ),
    "percentile": RuleEntry(
        "all but the outermost values on either side",
        Lazy("quantize.ranges.ranges:percentile"),
        parameter="99.9",
    ),
    "entropy": RuleEntry(
        "least Kullback-Leibler divergence of the histogram", Lazy("quantize.ranges.ranges:entropy")
    ),
    "mse": RuleEntry(
        "least square error of the quantized values", Lazy("quantize.ranges.ranges:mse")
    ),
}


def range_rule(text: str) -> "RangeRule":
    """Return the rule for `name` or `name:parameter`, such as "percentile:99.9".

    Raises UsageError for an unknown name or a parameter out of range.
    """
    name, separator, parameter = text.partition(":")
    entry = known("range rule", name, RANGE_RULES)
    if separator and not entry.parameter:
        raise UsageError(f"range {name} takes no parameter")
    return entry.make(parameter if separator else None)
