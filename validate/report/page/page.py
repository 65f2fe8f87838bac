"""Fill the page's template."""

from base64 import b64encode
from functools import partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from export.artifact.diagnosis import Diagnosis
from validate.report.content import ReportContent
from validate.report.diagnosis_plot import plot_diagnosis
from validate.report.diagnosis_report import conclusion, verdict, worst_layers
from validate.report.frontier_plot import frontier_reading, frontier_table, plot_frontier
from validate.report.page.charts import charted_classes, class_chart, drop_chart, has_drops
from validate.report.page.confusion import FAINT, confusion_chart, largest_changes, shares
from validate.report.page.gallery import ALIKE, cards, class_legend, difference_legend
from validate.report.page.readings import class_reading, confusion_reading, drop_reading
from validate.report.page.svg import EVERYWHERE, inline_svg, page_style
from validate.report.report_text import CLASS_NOTE, class_table, fact_rows, interval_text, notes
from validate.report.verdict_lines import NO_GATE, verdict_lines
from validate.result.cells import number
from validate.result.result import PICTURE_FILE, Result
from validate.result.result_cells import (
    ARTIFACT_COLUMNS,
    OVERLAP_WARNING,
    WORST_COLUMNS,
    artifact_rows,
    worst_rows,
)

_HERE = Path(__file__).parent
_CHANGES = 6
"""Rows of the table below a confusion map."""


def html_report(content: ReportContent) -> str:
    """Return report.html: one page without a request to anywhere, not even from its script.

    The same content gives the same text. Raises DataError for files beside the result that
    are damaged or belong to another one.
    """
    with page_style():
        return page_template("report.html").render(
            **page_files(),
            **_accuracy(content),
            **_charts(content.result),
            confusions=_confusions(content),
            **_pictures(content),
            searches=_searches(content.result),
            diagnoses=[
                _diagnosis(diagnosis, n) for n, diagnosis in zip(count(1), content.diagnoses)
            ],
        )


def page_template(name: str) -> Template:
    """Return a template of this folder; everything that is put into it is escaped."""
    return Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template(name)


def page_files() -> dict[str, Any]:
    """Return style and script, which hold nothing of the result, and the script's hash."""
    script = (_HERE / "sort.js").read_text(encoding="utf-8")
    digest = b64encode(sha256(script.encode()).digest()).decode()
    style = (_HERE / "style.css").read_text(encoding="utf-8")
    return {
        "style": Markup(style),
        "script": Markup(script),
        "script_hash": f"sha256-{digest}",
    }


def _accuracy(content: ReportContent) -> dict[str, Any]:
    result = content.result
    reference = result.artifact(result.reference)
    miou = reference.miou if reference else None
    return {
        "result": result,
        "reference_miou": None if miou is None else number(miou, 2),
        "overlap_warning": OVERLAP_WARNING,
        "no_gate": None if content.verdicts else NO_GATE.replace("`", ""),
        "verdicts": verdict_lines(result, content.verdicts),
        "artifact_head": list(ARTIFACT_COLUMNS),
        "artifact_rows": artifact_rows(result, ARTIFACT_COLUMNS),
        "notes": notes(result),
        "interval_text": interval_text(result),
        "facts": fact_rows(result),
    }


def _charts(result: Result) -> dict[str, Any]:
    drops = bars = None
    if has_drops(result):
        alt = "Drop of mIoU by artifact, as in the table"
        drops = inline_svg(partial(drop_chart, result), "drops", alt)
    if classes := charted_classes(result):
        ids = ", ".join(a.id for a in result.artifacts)
        alt = f"IoU by class of {ids}, as in the table below"
        bars = inline_svg(partial(class_chart, result), "classes", alt)
    head, rows = class_table(result)
    return {
        "drops": drops,
        "drop_reading": drops and drop_reading(result),
        "class_bars": bars,
        "class_reading": bars and class_reading(result, classes),
        "class_head": head,
        "class_rows": rows,
        "class_note": CLASS_NOTE if any(a.class_drop for a in result.artifacts) else None,
    }


def _confusions(content: ReportContent) -> list[dict[str, Any]]:
    result, confusions = content.result, content.confusions
    if result.reference not in confusions:
        return []
    reference = confusions[result.reference]
    classes = result.class_names
    others = {key: confusion for key, confusion in confusions.items() if key != result.reference}
    differences = {key: shares(other) - shares(reference) for key, other in others.items()}
    charts = []
    for place, (key, difference) in enumerate(differences.items()):
        svg = None
        if np.abs(difference).max() >= FAINT:
            alt = f"Confusion of {key} minus that of {result.reference}; the table has the largest"
            draw = partial(confusion_chart, difference, classes)
            svg = inline_svg(draw, f"confusion-{place}", alt, EVERYWHERE)
        changes = largest_changes(reference, others[key], classes, _CHANGES)
        rows = [
            [
                change.label,
                change.predicted,
                number(change.reference, 2),
                number(change.artifact, 2),
                number(change.artifact - change.reference, 2, sign=True),
            ]
            for change in changes
        ]
        reading = confusion_reading(changes) if svg else None
        charts.append({"id": key, "svg": svg, "rows": rows, "reading": reading})
    return charts


def _pictures(content: ReportContent) -> dict[str, Any]:
    result, pictures = content.result, content.pictures
    shown = cards(pictures, result.reference)
    visible = pictures[: len(shown)]
    return {
        "faint": FAINT,
        "alike": ALIKE,
        "change_head": ["label", "predicted as", result.reference, "artifact", "change"],
        "cards": shown,
        "hidden_cards": len(pictures) - len(shown),
        "picture_file": PICTURE_FILE,
        "class_legend": class_legend(visible, result.class_names),
        "difference_legend": difference_legend(),
        "worst_head": list(WORST_COLUMNS),
        "worst_rows": worst_rows(result),
    }


def _searches(result: Result) -> list[dict[str, Any]]:
    searches = []
    for place, artifact in enumerate(result.artifacts):
        if artifact.search is None:
            continue
        facts = artifact.search.model_dump()
        head, rows = frontier_table(facts)
        alt = f"What was tried for {artifact.id}, as in the table below"
        searches.append(
            {
                "id": artifact.id,
                "svg": inline_svg(partial(plot_frontier, facts), f"frontier-{place}", alt),
                "reading": frontier_reading(facts),
                "head": head,
                "rows": rows,
            }
        )
    return searches


def _diagnosis(diagnosis: Diagnosis, place: int) -> dict[str, Any]:
    head, rows = worst_layers(diagnosis)
    draw = partial(plot_diagnosis, diagnosis)
    return {
        "other": diagnosis.other,
        "verdict": verdict(diagnosis),
        "svg": inline_svg(draw, f"layers-{place}", f"SQNR of every layer of {diagnosis.other}"),
        "reading": conclusion(diagnosis),
        "head": head,
        "rows": rows,
    }
