"""What commands print for people."""

from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from export.common.escaping import terminal
from validate.result.cells import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quantize.lint.lint import Finding
    from segport.pipeline import RunResult


def models_table(rows: "Sequence[dict[str, Any]]") -> str:
    """Return the zoo as a table, with the counting rules below it."""
    table = tabulate(
        [
            [
                row["model"],
                row["source"],
                f"{row['params'] / 1e6:.3f}",
                f"{row['macs'] / 1e9:.3f}",
                f"{row['flops_published_rule']:.3f}",
                number(row["published_flops"], 3),
                number(row["published_miou"], 1),
                row["published_miou_on"],
            ]
            for row in rows
        ],
        [
            "model",
            "source",
            "params (M)",
            "MACs (G)",
            "FLOPs (THOP/4.5e8)",
            "published FLOPs",
            "published mIoU",
            "on",
        ],
        disable_numparse=True,
    )
    uncounted = sorted({name for row in rows for name in row["uncounted"]})
    return "\n".join(
        [
            table,
            "",
            "MACs: multiply-accumulates of convolutions, one 3x513x513 image. FLOPs (THOP/4.5e8): "
            "the published DeepLab table's rule.",
            "Published FLOPs: as the source prints them; torchvision's are GMACs at 520x520.",
            f"Not counted as MACs: {', '.join(uncounted)}.",
        ]
    )


def finding_lines(findings: "Sequence[Finding]") -> str:
    """Return one line per finding."""
    lines = [
        terminal(f"{f.severity.upper()}  {f.rule}: {f.where}: {f.message} ({f.reason})")
        for f in findings
    ]
    return "\n".join(lines) or "no findings"


def run_report(done: "RunResult") -> str:
    """Return the tables of a run, where its reports and pictures lie, and the verdicts."""
    from validate.report.report import terminal_report
    from validate.speed.fastest import fastest_line

    parts = []
    for result, folder in done.results:
        parts.append(f"{terminal_report(result)}\n\nreport: {folder / 'report.html'}")
    parts += [f"picture: {picture}" for picture in done.pictures]
    parts += [f"package: {done.package}"] if done.package else []
    lines = [
        terminal(f"{v.outcome.upper()}  {protocol} {v.id}: {v.reason}")
        for protocol, v in done.verdicts
    ]
    parts += ["\n".join(lines)] if lines else []
    parts += [fastest_line(done.contenders)] if done.contenders else []
    return "\n\n".join(parts)
