"""Render a result: terminal table, report.md, and the files they came from."""

import shutil
from collections.abc import Callable
from pathlib import Path

from tabulate import tabulate

from export.files import new_files
from validate.cells import Cell, markdown_table, number
from validate.result import CONFUSION_FILE, RESULT_FILE, Result, load_result
from validate.result_cells import (
    ARTIFACT_COLUMNS,
    CLASS_DROP_COLUMNS,
    OVERLAP_WARNING,
    WORST_COLUMNS,
    artifact_rows,
    class_drop_rows,
    machine_cells,
    worst_rows,
)


def report(result_file: Path, folder: Path) -> list[Path]:
    """Write every report format for a result file into `folder`; return the files.

    Raises DataError when `result_file` is no result, ArtifactError when `folder` cannot be
    written.
    """
    result = load_result(result_file)
    targets = [folder / name for name in REPORT_FORMATS]
    confusion = result_file.with_name(CONFUSION_FILE)
    copies = [folder / CONFUSION_FILE] if confusion.is_file() else []
    with new_files(*targets, *copies) as temporary:
        for path, render in zip(temporary, REPORT_FORMATS.values(), strict=False):
            path.write_text(render(result))
        for path in temporary[len(targets) :]:
            shutil.copyfile(confusion, path)
    return [*targets, *copies]


def terminal_report(result: Result) -> str:
    """Return the comparison for a terminal."""
    head = (
        f"{result.name}: {result.protocol}, {result.dataset.images} images of "
        f"{result.dataset.name}:{result.dataset.split}, reference {result.reference}"
    )
    hidden = _WIDE if result.dataset.labelled else (_WIDE | _OF_LABELS) - {"fidelity"}
    columns = [name for name in ARTIFACT_COLUMNS if name not in hidden]
    rows = artifact_rows(result, columns)
    table = tabulate(rows, columns, tablefmt="simple", disable_numparse=True)
    return "\n".join([head, *_overlap_note(result), "", table, *_notes(result)])


def markdown_report(result: Result) -> str:
    """Return report.md."""
    parts = [
        f"# {result.name}: what each artifact lost",
        f"Protocol `{result.protocol}`, {result.dataset.images} images of `{result.dataset.name}:"
        f"{result.dataset.split}` (list sha256 `{result.dataset.ids_sha256[:12]}`), reference "
        f"`{result.reference}`. mIoU is the mean over the classes that occur in the labels; a drop "
        "is reference - artifact, in points.",
        *_overlap_note(result),
        "## Summary",
        markdown_table(_summary_rows(result), _summary_head(result)),
        "FLOPs follow the published table's rule (THOP MACs / 4.5e8); MACs are "
        "multiply-accumulates of convolutions and matrix products of one image.",
        "## Artifacts",
        markdown_table(artifact_rows(result, ARTIFACT_COLUMNS), list(ARTIFACT_COLUMNS)),
        *_interval_text(result),
        *(f"- {note}" for note in _notes(result)),
        "## Class IoU",
        markdown_table(_class_rows(result), ["class", *(a.id for a in result.artifacts)]),
        *_class_drop_parts(result),
        *_worst_parts(result),
        "## How it was made",
        markdown_table(_fact_rows(result), ["fact", "value"]),
    ]
    return "\n\n".join(parts) + "\n"


REPORT_FORMATS: dict[str, Callable[[Result], str]] = {
    "report.md": markdown_report,
    RESULT_FILE: Result.to_json,
}


_WIDE = frozenset(
    {"mIoU 95 %", "pixel acc.", "at borders", "inside", "fidelity", "size ratio", "image-mask ms"}
)
"""Columns that only the Markdown report has room for."""

_OF_LABELS = frozenset({"mIoU", "drop", "drop 95 %"})
"""Columns that are empty without labels."""


def _summary_head(result: Result) -> list[str]:
    ids = [a.id for a in result.artifacts]
    drops = [f"{a.id} drop" for a in result.artifacts if a.id != result.reference]
    return ["model", "FLOPs (G)", "MACs (G)", "params (M)", *ids, *drops, "shape"]


def _summary_rows(result: Result) -> list[list[Cell]]:
    return [
        [
            result.model,
            number(result.flops_published, 3),
            number(result.macs / 1e9, 3),
            number(result.params / 1e6 if result.params else None, 3),
            *(number(a.miou, 2) for a in result.artifacts),
            *(number(a.drop, 2, sign=True) for a in result.artifacts if a.id != result.reference),
            "x".join(map(str, result.shape)),
        ]
    ]


def _interval_text(result: Result) -> list[str]:
    made = result.bootstrap
    if made is None:
        return []
    borders = "label borders" if result.dataset.labelled else "borders of the reference's classes"
    return [
        f"Intervals: {made.level:g} %, {made.method}; {made.resamples} resamples, seed "
        f"{made.seed}. They say what other images of the same kind would have given. At borders: "
        f"agreement within 5 px of {borders}; inside: on all other pixels."
    ]


def _class_drop_parts(result: Result) -> list[str]:
    parts = []
    for artifact in result.artifacts:
        if artifact.class_drop:
            parts += [
                f"## Class drop of {artifact.id}",
                markdown_table(class_drop_rows(artifact), CLASS_DROP_COLUMNS),
            ]
    if parts:
        parts.append(
            "Images: how many have the class in their label. The interval of a class in fewer "
            "than ten is too narrow (of three it holds the truth in about 88 of 100 cases, not "
            "in 95); a class in one image has none."
        )
    return parts


def _worst_parts(result: Result) -> list[str]:
    rows = worst_rows(result)
    if not rows:
        return []
    return ["## Images that agree least", markdown_table(rows, WORST_COLUMNS)]


def _class_rows(result: Result) -> list[list[Cell]]:
    names = list(result.artifacts[0].class_iou) if result.artifacts else []
    return [[n, *(number(a.class_iou.get(n), 2) for a in result.artifacts)] for n in names]


def _fact_rows(result: Result) -> list[list[Cell]]:
    facts = result.environment
    rows: list[list[Cell]] = [["command", f"`{result.command or '-'}`"]]
    for key, entry in (result.calibration or {}).items():
        settings = ", ".join(f"{name} {value}" for name, value in entry["settings"].items())
        text = f"{entry['images']} images, protocol {entry['protocol']}; {settings}"
        rows.append([f"calibration {key}", text])
    rows += [[name, text] for name, text in machine_cells(facts).items()]
    for name, value in facts.get("session_settings", {}).items():
        rows.append([name, value])
    rows += [[f"sha256 {a.file}", a.sha256 or "-"] for a in result.artifacts if a.file]
    return rows


def _notes(result: Result) -> list[str]:
    notes = []
    for a in result.artifacts:
        notes += [f"{a.id}: {text}" for text in a.warnings]
        if a.kept_float:
            shown = ", ".join(a.kept_float[:6]) + (" ..." if len(a.kept_float) > 6 else "")
            notes.append(f"{a.id}: {len(a.kept_float)} layers kept in float: {shown}")
        if a.invented_classes:
            notes.append(f"{a.id}: predicts classes no label has: {', '.join(a.invented_classes)}")
        if a.int8_verified is False:
            notes.append(f"{a.id}: this runtime runs less in int8 than the file was made for")
        if a.int8_note:
            notes.append(f"{a.id}: {a.int8_note}")
        if a.latency_runtime and a.latency_runtime != a.runtime:
            notes.append(
                f"{a.id}: accuracy by {a.runtime} (float16 rounding emulated), latency of the file "
                f"itself on {a.latency_runtime}, which computes it in float32"
            )
    return notes


def _overlap_note(result: Result) -> list[str]:
    if not result.overlap_allowed:
        return []
    return [OVERLAP_WARNING]
