"""One new entry in each table that users choose from, as somebody would add it: nothing else."""

from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.artifact.artifact import Artifact
from export.artifact.classes import PRESETS
from export.artifact.outputs import OUTPUTS, OutputChoice
from export.common.tables import Lazy
from export.networks.table import LIBRARIES, ZOO, Library, ZooEntry
from quantize.precisions import PRECISIONS, Precision
from quantize.ranges.table import RANGE_RULES, RuleEntry
from quantize.rewrites.change import Rewritten
from quantize.rewrites.table import REWRITES, Rewrite
from quantize.rounding.table import ROUNDINGS, Rounding
from quantize.targets import TARGETS, Cpu
from validate.data.items import Dataset, Item
from validate.data.layouts import LAYOUTS, Layout
from validate.gating.formats.formats import FORMATS, Format
from validate.gating.judgement import Reading
from validate.gating.kinds import KINDS, Kind
from validate.gating.units import SIZE
from validate.report.content import ReportContent
from validate.report.table import REPORT_FORMATS, ReportFormat
from validate.runtime.engine import Runtime
from validate.runtime.table import RUNTIMES, RuntimeEntry
from validate.samples.label_map import LABEL_MAPS, LabelMap
from validate.samples.protocols import PROTOCOLS, Protocol
from validate.samples.trap_table import TRAPS, Trap

HELP = "an entry that a test added"


@dataclass(frozen=True)
class New:
    """An entry of `table`; `help` is the command whose help shows its name.

    `completed` is a line whose last word a shell completes to it. `heading` is that of its table
    in docs/choices.md.
    """

    table: MutableMapping[str, Any]
    name: str
    entry: Any
    heading: str
    help: str | None = None
    completed: str | None = None


def tiny(classes: int, output_stride: int) -> Any:
    """Build the network of the tests."""
    from tests.networks import tiny

    return tiny()


def unchanged(model: Any, seen: Any) -> Rewritten:
    """Rewrite nothing."""
    return Rewritten(model, "new")


def nearest(weight: Any, scale: Any, covariance: Any, largest: int) -> Any:
    """Round to nearest."""
    return (weight / scale[..., None]).round().clip(-largest, largest)


def on_cpu(artifact: Artifact, weights: str | None) -> Runtime:
    """Open as ort-cpu does, under another name."""
    from validate.runtime.ort import OrtEngine

    return Runtime("new-runtime", "CPU", OrtEngine(artifact.path, artifact.manifest))


def text(content: ReportContent) -> str:
    """Return what report.new-format holds."""
    return f"{content.result.name}\n"


def root(folder: Path) -> Path | None:
    """Recognise a folder by one in it."""
    return folder if (folder / "new-layout").is_dir() else None


def listed(folder: Path, split: str, masks: bool) -> Dataset:
    """List the folder's images, each beside its mask."""
    files = sorted(folder.glob("new-layout/val*.jpg"))
    items = (Item(file.stem, file, file.with_suffix(".png")) for file in files)
    return Dataset(folder.name, split, tuple(items))


def count(judged: Any, command: str = "") -> str:
    """Return how many results were judged."""
    return f"{len(judged)}\n"


ENTRIES = [
    New(
        ZOO, "new-network", ZooEntry(HELP, tiny, (16,)), "Networks", None,
        "segport export new-n",
    ),
    New(
        LIBRARIES, "new", Library("new:NAME", "package", "new", tiny, tiny),
        "Libraries of networks", "export",
    ),
    New(PRESETS, "new-classes", ("a", "b"), "Class names", "export", "segport export --classes n"),
    New(
        OUTPUTS, "new-output", OutputChoice(HELP, ("logits",)), "Outputs of an export", "export",
        "segport export --output n",
    ),
    New(
        PRECISIONS, "new-precision", Precision(HELP, Lazy("quantize.making:Fp16"), ()),
        "Precisions", "quantize", "segport quantize --precision n",
    ),
    New(
        TARGETS, "new-target", Cpu(hardware=HELP), "Targets", "quantize",
        "segport quantize --target new",
    ),
    New(
        RANGE_RULES, "new-rule", RuleEntry(HELP, Lazy("quantize.ranges.ranges:minmax")),
        "Range rules", "quantize", "segport quantize --range n",
    ),
    New(
        REWRITES, "new-rewrite", Rewrite(HELP, unchanged), "Methods of int8", "quantize",
        "segport quantize --with new-rew",
    ),
    New(
        ROUNDINGS, "new-rounding", Rounding(HELP, nearest), "Methods of int8", "quantize",
        "segport quantize --skip new-rou",
    ),
    New(LAYOUTS, "new-layout", Layout("NEW", HELP, root, listed), "Data sets", None),
    New(
        PROTOCOLS, "new-protocol", Protocol(HELP, PROTOCOLS["squash"].resize), "Protocols",
        "validate", "segport validate --protocol n",
    ),
    New(
        LABEL_MAPS, "new-labels", LabelMap("new-labels", help=HELP), "Label maps", "validate",
        "segport validate --labels n",
    ),
    New(
        TRAPS, "new-trap", Trap(HELP), "Traps in labels", "quantize",
        "segport quantize --accept n",
    ),
    New(
        RUNTIMES, "new-runtime", RuntimeEntry(HELP, on_cpu), "Runtimes", "validate",
        "segport bench --runtime n",
    ),
    New(
        REPORT_FORMATS, "new-format", ReportFormat(HELP, text), "Report formats", "report",
        "segport report --format n",
    ),
    New(
        KINDS, "max_new",
        Kind("size", "facts", lambda of: Reading(of.artifact.size_bytes), SIZE, HELP), "Budgets",
        "gate", "segport gate --max-n",
    ),
    New(
        FORMATS, "new-form", Format(HELP, count), "Forms of verdicts", "gate",
        "segport gate --new-f",
    ),
]  # fmt: skip


def added() -> None:
    """Put every new entry into its table, for good."""
    for new in ENTRIES:
        new.table[new.name] = new.entry
