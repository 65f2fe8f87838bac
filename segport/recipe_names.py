"""Names in a recipe, each checked against its table when the recipe is read."""

from collections.abc import Collection
from typing import Annotated

from pydantic import AfterValidator

from export.artifact.outputs import OUTPUT_KINDS, OUTPUTS
from export.artifact.scale import RANGES
from export.common.errors import unknown
from export.foreign.conventions import CHANNELS, LAYOUTS
from quantize.int8.methods import METHODS
from quantize.precisions import IO_TYPES, PRECISIONS
from quantize.ranges.table import RANGE_RULES
from quantize.targets import TARGETS
from segport.packaging.layouts import LAYOUTS as PACKAGE_LAYOUTS
from validate.accumulation.names import ACCUMULATORS
from validate.gating.rules import ON_INCONCLUSIVE
from validate.runtime.table import RUNTIMES, rebuilds
from validate.samples.protocols import PROTOCOLS
from validate.samples.trap_table import TRAPS


def _one_of(kind: str, table: Collection[str], ends: str = "") -> AfterValidator:
    """Check that a text is a name of `table`; behind `ends` it may have a parameter."""

    def check(text: str) -> str:
        name = text.partition(ends)[0] if ends else text
        if name not in table:
            raise ValueError(unknown(kind, name, table))
        return text

    return AfterValidator(check)


def _reference(text: str) -> str:
    """Check that a text is fp32 or a runtime that rebuilds the network."""
    names = ["fp32", *(name for name in RUNTIMES if rebuilds(name))]
    if text not in names:
        raise ValueError(unknown("reference", text, names))
    return text


Protocol = Annotated[str, _one_of("protocol", PROTOCOLS)]
Method = Annotated[str, _one_of("method", METHODS)]
Output = Annotated[str, _one_of("output", OUTPUTS)]
ValueRange = Annotated[str, _one_of("range", RANGES)]
Layout = Annotated[str, _one_of("layout", LAYOUTS)]
Channels = Annotated[str, _one_of("channels", CHANNELS)]
Kind = Annotated[str, _one_of("kind", OUTPUT_KINDS)]
Trap = Annotated[str, _one_of("name to accept", TRAPS)]
Precision = Annotated[str, _one_of("precision", PRECISIONS)]
Target = Annotated[str, _one_of("target", TARGETS)]
RangeRule = Annotated[str, _one_of("range rule", RANGE_RULES, ":")]
IoType = Annotated[str, _one_of("io type", IO_TYPES)]
Reference = Annotated[str, AfterValidator(_reference)]
Accumulator = Annotated[str, _one_of("accumulator", ACCUMULATORS)]
Runtime = Annotated[str, _one_of("runtime", RUNTIMES)]
PackageLayout = Annotated[str, _one_of("layout", PACKAGE_LAYOUTS)]
OnInconclusive = Annotated[str, _one_of("word", ON_INCONCLUSIVE)]
