"""What reports say of a result in words and plain tables, whatever their format."""

from collections.abc import Sequence

from export.common.escaping import markdown, markdown_code, markdown_inline
from validate.accumulation.wording import accumulation_notes
from validate.gating.verdict import Verdict
from validate.report.verdict_lines import verdict_lines
from validate.result.cells import Cell, interval, number
from validate.result.machine import machine_of
from validate.result.result import ArtifactResult, Result
from validate.result.result_cells import machine_cells

CLASS_NOTE = (
    "Images: how many have the class in their label. The interval of a class in fewer "
    "than ten is too narrow (of three it holds the truth in about 88 of 100 cases, not "
    "in 95); a class in one image has none."
)


def verdict_list(result: Result, verdicts: Sequence[Verdict]) -> str:
    """Return a Markdown list: each artifact's gravest outcome, what it lost, and all reasons."""
    lines = []
    for line in verdict_lines(result, verdicts):
        outcome = line.outcome.upper() or "NOT JUDGED"
        doubt = ", inconclusive" if line.inconclusive else ""
        sentence = markdown_inline(line.sentence)
        lines.append(f"- **{outcome}{doubt}** {markdown_code(line.id)} {sentence}".rstrip())
        lines += [f"  - {markdown(reason)}" for reason in line.reasons]
    return "\n".join(lines)


def interval_text(result: Result) -> list[str]:
    """Return how the intervals were made and what "at borders" means, as far as there are any."""
    said = []
    if made := result.bootstrap:
        said.append(
            f"Intervals: {made.level:g} %, {made.method}; {made.resamples} resamples, seed "
            f"{made.seed}. They say what other images of the same kind would have given."
        )
    if any(a.agreement_boundary is not None for a in result.artifacts):
        labelled = result.dataset.labelled
        borders = "label borders" if labelled else "borders of the reference's classes"
        said.append(f"At borders: agreement within 5 px of {borders}; inside: on all other pixels.")
    return [" ".join(said)] if said else []


def class_rows(result: Result) -> list[list[Cell]]:
    """Return each class's name and its IoU by artifact."""
    if not any(a.class_iou for a in result.artifacts):
        return []
    return [
        [name, *(number(a.class_iou.get(name), 2) for a in result.artifacts)]
        for name in result.class_names
    ]


def class_table(result: Result) -> tuple[list[str], list[list[Cell]]]:
    """Return head and rows of one table: class, images, every IoU, every drop."""
    judged = [a for a in result.artifacts if a.class_drop]
    head = ["class", "images", *(a.id for a in result.artifacts), *(f"{a.id} drop" for a in judged)]
    rows = [
        [row[0], result.class_images.get(str(row[0]), "-"), *row[1:]]
        + [_class_drop(a, str(row[0])) for a in judged]
        for row in class_rows(result)
    ]
    return head, rows


def _class_drop(artifact: ArtifactResult, name: str) -> str:
    lost = artifact.class_drop.get(name)
    if lost is None:
        return "-"
    ends = f" ({interval(lost.ci95, 2)})" if lost.ci95 else ""
    return number(lost.drop, 2, sign=True) + ends


def fact_rows(result: Result) -> list[list[Cell]]:
    """Return what made the result: command, data, settings, machine, files."""
    facts, data = result.environment, result.dataset
    rows: list[list[Cell]] = [
        ["command", result.command or "-"],
        ["model", result.model],
        ["data", f"{data.name}:{data.split}, {data.images} images, list sha256 {data.ids_sha256}"],
        ["protocol", f"{result.protocol}, input {'x'.join(map(str, result.shape))}"],
        ["reference", result.reference],
        ["MACs (G)", number(result.macs / 1e9, 3)],
        ["FLOPs (G), as published tables count", number(result.flops_published, 3)],
        ["params (M)", number(result.params / 1e6 if result.params else None, 3)],
    ]
    for key, entry in (result.calibration or {}).items():
        settings = ", ".join(f"{name} {value}" for name, value in entry["settings"].items())
        text = f"{entry['images']} images, protocol {entry['protocol']}; {settings}"
        rows.append([f"calibration {key}", text])
    rows += [[name, text] for name, text in machine_cells(facts).items()]
    for name, value in machine_of(facts).settings.items():
        rows.append([name, value])
    rows += [[f"sha256 {a.file}", a.sha256 or "-"] for a in result.artifacts if a.file]
    return rows


def notes(result: Result) -> list[str]:
    """Return what a reader must know of each artifact."""
    said = []
    for a in result.artifacts:
        said += [f"{a.id}: {text}" for text in a.warnings]
        if at := a.second_size:
            said.append(
                f"{a.id}: at {'x'.join(map(str, at.size))} agrees with the reference on "
                f"{at.agreement:.2f} % of pixels of {at.images} images, of the same at "
                f"{'x'.join(map(str, result.shape[1:]))} on {at.before:.2f} %"
            )
        if a.accumulation:
            said += [f"{a.id}: {text}" for text in accumulation_notes(a.accumulation)]
        if a.kept_float:
            shown = ", ".join(a.kept_float[:6]) + (" ..." if len(a.kept_float) > 6 else "")
            said.append(f"{a.id}: {len(a.kept_float)} layers kept in float: {shown}")
        if a.invented_classes:
            said.append(f"{a.id}: predicts classes no label has: {', '.join(a.invented_classes)}")
        if a.int8_verified is False:
            said.append(f"{a.id}: this runtime runs less in int8 than the file was made for")
        if a.int8_note:
            said.append(f"{a.id}: {a.int8_note}")
        if a.latency_runtime and a.latency_runtime != a.runtime:
            said.append(
                f"{a.id}: accuracy by {a.runtime} (float16 rounding emulated), latency of the file "
                f"itself on {a.latency_runtime}, which computes it in float32"
            )
    if result.latency_protocol:
        said.append(f"latency depends on no protocol: measured for {result.latency_protocol}")
    return said
