"""docs/choices.md, every table that users choose from: `python -m segport.choice_page`."""

from export.artifact.classes import PRESETS
from export.artifact.outputs import OUTPUT_KINDS, OUTPUTS
from export.artifact.scale import RANGES
from export.common.escaping import markdown_code
from export.common.tables import Table, help_of
from export.foreign.conventions import CHANNELS, LAYOUTS
from export.networks.table import LIBRARIES, ZOO
from export.workers.engines import ENGINES
from quantize.int8.methods import METHODS
from quantize.precisions import IO_TYPES, PRECISIONS
from quantize.ranges.table import RANGE_RULES
from quantize.targets import TARGETS
from segport.conversion.formats import FORMATS as CONVERSIONS
from segport.packaging.layouts import LAYOUTS as PACKAGE_LAYOUTS
from validate.accumulation.names import ACCUMULATORS
from validate.data import layouts
from validate.gating.formats.formats import FORMATS
from validate.gating.kinds import KINDS
from validate.gating.rules import ON_INCONCLUSIVE
from validate.history.stores import STORES
from validate.report.table import REPORT_FORMATS
from validate.result.cells import markdown_table
from validate.runtime.table import RUNTIMES
from validate.samples.label_map import LABEL_MAPS
from validate.samples.protocols import PROTOCOLS
from validate.samples.trap_table import TRAPS

TABLES: dict[str, tuple[str, Table]] = {
    "Networks": ("`segport export NAME`", ZOO),
    "Libraries of networks": ("`segport export PREFIX:...`", LIBRARIES),
    "Class names": ("`--classes`", PRESETS),
    "Outputs of an export": ("`segport export --output`", OUTPUTS),
    "Outputs of a third-party file": ("`segport import --kind`", OUTPUT_KINDS),
    "Layouts of its input": ("`segport import --layout`", LAYOUTS),
    "Its channels": ("`segport import --channels`", CHANNELS),
    "Its values": ("`segport import --range`", RANGES),
    "Precisions": ("`segport quantize --precision`", PRECISIONS),
    "Types of inputs and outputs of fp16": ("`segport quantize --io`", IO_TYPES),
    "Targets": ("`segport quantize --target`", TARGETS),
    "Range rules": ("`segport quantize --range`", RANGE_RULES),
    "Methods of int8": ("`segport quantize --with` and `--skip`", METHODS),
    "Formats of other runtimes": ("`segport convert --to`", CONVERSIONS),
    "Data sets": ("`--data` and `--calibration`", layouts.LAYOUTS),
    "Protocols": ("`--protocol`", PROTOCOLS),
    "Label maps": ("`--labels`", LABEL_MAPS),
    "Traps in labels": ("`--accept`", TRAPS),
    "Runtimes": ("`--runtime`", RUNTIMES),
    "Engines": ("`--engine`", ENGINES),
    "Where sums are rounded": ("`segport validate --accumulate`", ACCUMULATORS),
    "Report formats": ("`segport report --format`", REPORT_FORMATS),
    "Layouts of a package": ("`segport package --layout`", PACKAGE_LAYOUTS),
    "Budgets": ("`segport gate`, with dashes", KINDS),
    "What an interval across a limit means": ("`segport gate --on-inconclusive`", ON_INCONCLUSIVE),
    "Forms of verdicts": ("`segport gate`", FORMATS),
    "Histories": ("`segport history add DB` and `show DB`, by the scheme of a URL", STORES),
}
"""By heading: where the names are given, and the table."""


def choice_page() -> str:
    """Return the page. Pure."""
    parts = [
        "# Choices",
        "Made by `python -m segport.choice_page` from the tables in the code: command line, shell "
        "completion and recipes take their names from the same ones.",
    ]
    for heading, (given, table) in TABLES.items():
        rows = [[markdown_code(name), _what(table, name)] for name in table]
        parts += [f"## {heading}", f"Given by {given}.", markdown_table(rows, ["name", "what"])]
    return "\n\n".join(parts)


def _what(table: Table, name: str) -> str:
    return help_of(table, name) or f"{len(table[name])} names"


if __name__ == "__main__":
    print(choice_page())
