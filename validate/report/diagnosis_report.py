"""Render a diagnosis: terminal table, diagnosis.md, diagnosis.json and diagnosis.svg."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from tabulate import tabulate

from export.artifact.diagnosis import Diagnosis, LayerDiagnosis
from export.common.escaping import markdown, markdown_code, terminal
from export.common.files import write_texts
from validate.report.diagnosis_plot import PLOT_FILE, diagnosis_svg
from validate.result.cells import Cell, markdown_table, number

WORST = 10
"""Rows of the terminal's table."""


def write_diagnosis(diagnosis: Diagnosis, folder: Path) -> list[Path]:
    """Write every format into `folder`, all or none; return the files."""
    return write_texts(
        folder, {name: render(diagnosis) for name, render in DIAGNOSIS_FORMATS.items()}
    )


def verdict(diagnosis: Diagnosis) -> str:
    """Return one line: the suspect and why, or that there is none."""
    layer, suspect = diagnosis.suspected, diagnosis.suspect
    name = f"{layer.layer} ({layer.operator})"
    if layer.sqnr_db == layer.local_sqnr_db == float("inf"):
        return f"no suspect: {suspect.reason}"
    own = f"its own error alone is {number(layer.local_sqnr_db, 1)} dB"
    if not suspect.stands_out:
        return f"no suspect: {suspect.reason} in layer {name}: {own}"
    before = "exact" if layer.input_sqnr_db is None else f"{number(layer.input_sqnr_db, 1)} dB"
    return (
        f"suspect: layer {name}: SQNR goes from {before} to {number(layer.sqnr_db, 1)} dB, {own} "
        f"where rounding explains {number(layer.expected_sqnr_db, 1)} dB; {suspect.reason}"
    )


def conclusion(diagnosis: Diagnosis) -> str:
    """Return what the reader should make of it, in a sentence."""
    layer = diagnosis.suspected
    if layer.sqnr_db == layer.local_sqnr_db == float("inf"):
        return "Conclusion: the two files compute the same on these images."
    if not diagnosis.suspect.stands_out:
        return (
            "Conclusion: no single layer is to blame, the error adds up over many; other ranges, "
            "other calibration images or another target help more than a layer in float."
        )
    return (
        f"Conclusion: look at {layer.layer} first; kept in float (--keep-float '{layer.layer}') "
        f"the file is free of an error that is {number(layer.jump_db, 1)} dB worse than rounding "
        "explains."
    )


def terminal_diagnosis(diagnosis: Diagnosis) -> str:
    """Return the verdict and the layers with the largest jumps, largest first."""
    columns, rows = worst_layers(diagnosis)
    shown = [[terminal(str(cell)) for cell in row] for row in rows]
    table = tabulate(shown, columns, disable_numparse=True)
    return f"{terminal(verdict(diagnosis))}\n\n{table}"


def worst_layers(diagnosis: Diagnosis) -> tuple[list[str], list[list[Cell]]]:
    """Return head and rows of the layers with the largest jumps, largest first."""
    worst = sorted(diagnosis.layers, key=lambda layer: -layer.jump_db)[:WORST]
    columns = _filled(_SHORT, worst)
    return list(columns), [[cell(layer) for cell in columns.values()] for layer in worst]


def markdown_diagnosis(diagnosis: Diagnosis) -> str:
    """Return diagnosis.md."""
    columns = _filled(_COLUMNS, diagnosis.layers)
    rows = [
        [index, *(cell(layer) for cell in columns.values())]
        for index, layer in enumerate(diagnosis.layers)
    ]
    parts = [
        f"# Where {markdown(diagnosis.other)} differs from {markdown(diagnosis.reference)}",
        f"**{markdown(_sentence(verdict(diagnosis)))}.**",
        f"![SQNR by layer]({PLOT_FILE})",
        markdown(conclusion(diagnosis)),
        "## Layers",
        f"Layers of {markdown_code(diagnosis.other)} in the order in which they run, over "
        f"{len(diagnosis.images)} images. *SQNR* is the error that has come together at the "
        "layer's output, *inputs* that of its worst input. *own* is the error it makes by itself "
        "when it reads exact fp32 tensors, *expected* what rounding its output and weights "
        "explains. *jump* is how much worse it is than that; above "
        f"{number(diagnosis.threshold_db, 1)} dB a layer stands out. *weights* compares the "
        "weights alone. All in dB, higher is better, *jump* apart.",
        markdown_table(rows, ["#", *columns]),
        f"Images: {markdown(', '.join(diagnosis.images))}.",
    ]
    return "\n\n".join(parts) + "\n"


def _json(diagnosis: Diagnosis) -> str:
    return json.dumps(diagnosis.as_dict(), indent=1) + "\n"


DIAGNOSIS_FORMATS: dict[str, Callable[[Diagnosis], str]] = {
    "diagnosis.md": markdown_diagnosis,
    "diagnosis.json": _json,
    PLOT_FILE: diagnosis_svg,
}


Column = Callable[[LayerDiagnosis], Cell]


def _percent(share: float | None) -> str:
    return number(None if share is None else 100 * share, 2)


def _significant(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


_COLUMNS: dict[str, Column] = {
    "layer": lambda layer: layer.layer,
    "operator": lambda layer: layer.operator,
    "tensor": lambda layer: layer.tensor,
    "SQNR": lambda layer: number(layer.sqnr_db, 1),
    "inputs": lambda layer: number(layer.input_sqnr_db, 1),
    "own": lambda layer: number(layer.local_sqnr_db, 1),
    "expected": lambda layer: number(layer.expected_sqnr_db, 1),
    "jump": lambda layer: number(layer.jump_db, 1),
    "weights": lambda layer: number(layer.weight_sqnr_db, 1),
    "min": lambda layer: _significant(layer.low),
    "max": lambda layer: _significant(layer.high),
    "max error": lambda layer: _significant(layer.max_error),
    "on image": lambda layer: layer.max_error_image,
    "scale": lambda layer: _significant(layer.scale),
    "zero point": lambda layer: "-" if layer.zero_point is None else layer.zero_point,
    "saturated %": lambda layer: _percent(layer.saturated),
    "overflow %": lambda layer: _percent(layer.overflowed),
    "underflow %": lambda layer: _percent(layer.underflowed),
    "inf/NaN": lambda layer: layer.nonfinite or "-",
}
_SHORT_NAMES = (
    "layer", "operator", "tensor", "SQNR", "own", "jump", "max error", "saturated %",
    "overflow %", "underflow %", "inf/NaN", "scale",
)  # fmt: skip
_SHORT: dict[str, Column] = {name: _COLUMNS[name] for name in _SHORT_NAMES}


def _filled(columns: dict[str, Column], layers: Sequence[LayerDiagnosis]) -> dict[str, Column]:
    """Return the columns that say something: int8 has no overflow, fp16 no scale."""
    return {
        name: cell for name, cell in columns.items() if any(cell(layer) != "-" for layer in layers)
    }


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
