"""Render a result: terminal table, report.md, report.html, and the files they came from."""

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from tabulate import tabulate

from export.artifact.diagnosis import Diagnosis
from export.common.errors import DataError
from export.common.escaping import markdown, markdown_code, terminal
from export.common.files import new_files
from export.common.tables import known
from validate.gating.verdict import Verdict
from validate.report.content import ReportContent
from validate.report.diagnosis_file import load_diagnosis
from validate.report.report_text import (
    CLASS_NOTE,
    class_rows,
    fact_rows,
    interval_text,
    notes,
    verdict_list,
)
from validate.report.table import REPORT_FORMATS
from validate.report.verdict_lines import NO_GATE
from validate.result.cells import Cell, markdown_table, number
from validate.result.result import CONFUSION_FILE, PICTURE_FILE, RESULT_FILE, Result, load_result
from validate.result.result_cells import (
    ARTIFACT_COLUMNS,
    CLASS_DROP_COLUMNS,
    OVERLAP_WARNING,
    WORST_COLUMNS,
    artifact_rows,
    class_drop_rows,
    worst_rows,
)


def report(
    result_file: Path,
    folder: Path,
    *,
    formats: Collection[str] | None = None,
    verdicts: Sequence[Verdict] = (),
    diagnoses: Sequence[Path] = (),
) -> list[Path]:
    """Write the report of a result into `folder`, and the files it was made of; return all.

    `formats` are names of REPORT_FORMATS, None for all. `verdicts` are the gate's and
    `diagnoses` folders that `segport diagnose` wrote; report.md shows the former alone. Raises
    UsageError for an unknown format, DataError when `result_file` is no result or a file beside
    it or of a diagnosis is damaged or another result's, ArtifactError when `folder` cannot be
    written.
    """
    chosen = list(REPORT_FORMATS) if formats is None else list(dict.fromkeys(formats))
    writers = {name: known("report format", name, REPORT_FORMATS) for name in chosen}
    content = ReportContent(result_file, verdicts, _diagnoses(result_file, diagnoses))
    texts = {f"report.{name}": writer.text(content) for name, writer in writers.items()}
    texts[RESULT_FILE] = content.result.to_json()
    beside = [result_file.with_name(name) for name in (CONFUSION_FILE, PICTURE_FILE)]
    copied = [path for path in beside if path.is_file()]
    targets = [folder / name for name in (*texts, *(path.name for path in copied))]
    with new_files(*targets) as temporary:
        for path, text in zip(temporary, texts.values(), strict=False):
            path.write_text(text, encoding="utf-8")
        for source, path in zip(copied, temporary[len(texts) :], strict=True):
            shutil.copyfile(source, path)
    for path in beside:
        if path not in copied:  # an earlier result's does not stay beside this one
            (folder / path.name).unlink(missing_ok=True)
    return targets


def _diagnoses(result_file: Path, folders: Sequence[Path]) -> list[Diagnosis]:
    """Read diagnoses; raise DataError for one of a file that the result does not have."""
    if not folders:
        return []
    files = [a.file for a in load_result(result_file).artifacts if a.file]
    loaded = []
    for folder in folders:
        diagnosis = load_diagnosis(folder)
        if diagnosis.other not in files:
            raise DataError(
                f"{folder}: diagnoses {diagnosis.other}, which is not an artifact of {result_file} "
                f"({', '.join(files)})"
            )
        loaded.append(diagnosis)
    return loaded


def terminal_report(result: Result) -> str:
    """Return the comparison for a terminal."""
    head = (
        f"{result.name}: {result.protocol}, {result.dataset.images} images of "
        f"{result.dataset.name}:{result.dataset.split}, reference {result.reference}"
    )
    hidden = _WIDE if result.dataset.labelled else (_WIDE | _OF_LABELS) - {"fidelity"}
    columns = [name for name in ARTIFACT_COLUMNS if name not in hidden]
    rows = [[terminal(str(cell)) for cell in row] for row in artifact_rows(result, columns)]
    table = tabulate(rows, columns, tablefmt="simple", disable_numparse=True)
    said = map(terminal, notes(result))
    return "\n".join([terminal(head), *_overlap_note(result), "", table, *said])


def markdown_report(result: Result, verdicts: Sequence[Verdict] = ()) -> str:
    """Return report.md; it starts with what the gate said, where that is known."""
    data = result.dataset
    parts = [
        f"# {markdown(result.name)}: what each artifact lost",
        f"Protocol {markdown_code(result.protocol)}, {data.images} images of "
        f"{markdown_code(f'{data.name}:{data.split}')} (list sha256 "
        f"{markdown_code(data.ids_sha256[:12])}), reference {markdown_code(result.reference)}. "
        "mIoU is the mean over the classes that occur in the labels; a drop is reference - "
        "artifact, in points.",
        *_overlap_note(result),
        *(["## Verdicts", verdict_list(result, verdicts)] if verdicts else [NO_GATE]),
        "## Summary",
        markdown_table(_summary_rows(result), _summary_head(result)),
        "FLOPs follow the published table's rule (THOP MACs / 4.5e8); MACs are "
        "multiply-accumulates of convolutions and matrix products of one image.",
        "## Artifacts",
        markdown_table(artifact_rows(result, ARTIFACT_COLUMNS), list(ARTIFACT_COLUMNS)),
        *map(markdown, interval_text(result)),
        *(f"- {markdown(note)}" for note in notes(result)),
        "## Class IoU",
        markdown_table(class_rows(result), ["class", *(a.id for a in result.artifacts)]),
        *_class_drop_parts(result),
        *_worst_parts(result),
        "## How it was made",
        markdown_table(_fact_rows(result), ["fact", "value"]),
    ]
    return "\n\n".join(parts) + "\n"


def markdown_of(content: ReportContent) -> str:
    """Return report.md of a result and its verdicts."""
    return markdown_report(content.result, content.verdicts)


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


def _class_drop_parts(result: Result) -> list[str]:
    parts = []
    for artifact in result.artifacts:
        if artifact.class_drop:
            parts += [
                f"## Class drop of {markdown(artifact.id)}",
                markdown_table(class_drop_rows(artifact), CLASS_DROP_COLUMNS),
            ]
    if parts:
        parts.append(CLASS_NOTE)
    return parts


def _worst_parts(result: Result) -> list[str]:
    rows = worst_rows(result)
    if not rows:
        return []
    return ["## Images that agree least", markdown_table(rows, WORST_COLUMNS)]


def _fact_rows(result: Result) -> list[list[Cell]]:
    """Return the facts, the command as code."""
    (name, command), *others = fact_rows(result)
    return [[name, markdown_code(str(command))], *others]


def _overlap_note(result: Result) -> list[str]:
    if not result.overlap_allowed:
        return []
    return [OVERLAP_WARNING]
