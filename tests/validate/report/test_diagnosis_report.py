import json
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from xml.etree import ElementTree

import pytest

from export.artifact.diagnosis import Diagnosis, Suspect
from export.common.errors import ArtifactError
from tests.markdown import table
from tests.validate.diagnoses import diagnosis_of, faulty_layer, layer_of
from validate.report.diagnosis_plot import plot_diagnosis
from validate.report.diagnosis_report import (
    markdown_diagnosis,
    terminal_diagnosis,
    verdict,
    write_diagnosis,
)


@pytest.fixture
def faulty() -> Diagnosis:
    return faulty_layer()


@pytest.fixture
def overflowed() -> Diagnosis:
    """fp16: no scales, and values that are infinite."""
    fp16 = {
        "scale": None, "zero_point": None, "coarseness": None, "saturated": None,
        "overflowed": 0.0, "underflowed": 0.25,
    }  # fmt: skip
    broken = {"sqnr_db": -inf, "local_sqnr_db": -inf, "jump_db": inf, "max_error": inf}
    layers = [
        layer_of(0, **fp16),
        layer_of(1, **fp16 | broken | {"overflowed": 0.5, "nonfinite": 7}),
    ]
    return diagnosis_of(layers, Suspect(1, True, "its values reach 9e+04"))


def test_the_verdict_is_one_line_with_layer_figures_and_reason(faulty: Diagnosis) -> None:
    assert verdict(faulty) == (
        "suspect: layer conv_3 (Add|x): SQNR goes from 28.0 dB to 4.0 dB, its own error alone is "
        "4.5 dB where rounding explains 41.0 dB; its scale is 16.0 times what it needs"
    )
    first = diagnosis_of([layer_of(0)], Suspect(0, True, "why"))
    assert "SQNR goes from exact to 30.0 dB" in verdict(first)


def test_the_verdict_says_when_nothing_stands_out() -> None:
    calm = diagnosis_of([layer_of(0), layer_of(1)], Suspect(1, False, "nothing stands out"))
    assert verdict(calm).startswith("no suspect: nothing stands out")
    assert "conv_1 (Conv)" in verdict(calm)
    same = [layer_of(0, sqnr_db=inf, local_sqnr_db=inf)]
    equal = diagnosis_of(same, Suspect(0, False, "no tensor differs from fp32"))
    assert verdict(equal) == "no suspect: no tensor differs from fp32"


def test_the_terminal_shows_the_ten_largest_jumps_in_descending_order(faulty: Diagnosis) -> None:
    lines = terminal_diagnosis(faulty).splitlines()
    assert lines[0] == verdict(faulty)
    rows = [line.split() for line in lines[4:]]
    # 36.5 and 9.0 were planted, the others grow with the index
    wanted = [3, 5, 13, 12, 11, 10, 9, 8, 7, 6]
    assert [row[0] for row in rows] == [f"conv_{index}" for index in wanted]
    head = lines[2].split("  ")
    assert rows[0] == ["conv_3", "Add|x", "t3", "4.0", "4.5", "36.5", "0.125", "1.23", "0.0294"]
    assert [name.strip() for name in head if name.strip()] == [
        "layer", "operator", "tensor", "SQNR", "own", "jump", "max error", "saturated %", "scale",
    ]  # fmt: skip


def test_the_markdown_has_every_layer_in_topological_order(faulty: Diagnosis) -> None:
    text = markdown_diagnosis(faulty)
    assert verdict(faulty)[1:].replace("|", "\\|") in text and "diagnosis.svg" in text
    rows = table(text.replace("Add\\|x", "Add/x"), "Layers")
    assert [row["layer"] for row in rows] == [f"conv_{index}" for index in range(14)]
    assert rows[3]["operator"] == "Add/x" and (rows[3]["SQNR"], rows[3]["jump"]) == ("4.0", "36.5")
    assert (rows[0]["inputs"], rows[1]["inputs"]) == ("-", "30.0")
    assert (rows[0]["scale"], rows[0]["zero point"], rows[0]["saturated %"]) == (
        "0.0294", "51", "1.23",
    )  # fmt: skip
    assert (rows[0]["max error"], rows[0]["on image"]) == ("0.125", "2007_000033")
    assert "overflow %" not in rows[0]


def test_fp16_has_columns_of_its_own(overflowed: Diagnosis) -> None:
    row = table(markdown_diagnosis(overflowed), "Layers")[1]
    assert (row["overflow %"], row["underflow %"], row["inf/NaN"]) == ("50.00", "25.00", "7")
    assert row["SQNR"] == "-inf" and row["max error"] == "inf"
    assert not {"scale", "zero point", "saturated %"} & set(row)


def test_the_json_is_strict_and_complete(overflowed: Diagnosis, tmp_path: Path) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    layers = (replace(overflowed.layers[0], scale=nan), overflowed.layers[1])
    files = write_diagnosis(replace(overflowed, layers=layers), tmp_path / "out")
    assert [file.name for file in files] == ["diagnosis.md", "diagnosis.json", "diagnosis.svg"]
    read = json.loads((tmp_path / "out/diagnosis.json").read_text(), parse_constant=refuse)
    assert read["suspect"] == {
        "index": 1, "stands_out": True, "reason": "its values reach 9e+04",
    }  # fmt: skip
    assert read["layers"][1]["sqnr_db"] == "-inf" and read["layers"][0]["scale"] == "nan"
    assert read["layers"][1]["nonfinite"] == 7 and read["images"] == ["a", "b"]


def test_the_plot_marks_the_suspect_and_keeps_infinite_values_inside(
    faulty: Diagnosis, overflowed: Diagnosis, tmp_path: Path
) -> None:
    (axes,) = plot_diagnosis(faulty).axes
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines["error so far"].get_ydata())[:4] == [30.0, 29.0, 28.0, 4.04]
    assert [text.get_text() for text in axes.texts] == ["suspect: conv_3 (Add|x)"]
    (broken,) = plot_diagnosis(overflowed).axes
    values = [y for line in broken.lines for y in line.get_ydata()]
    low, high = broken.get_ylim()
    assert len(values) > 6 and all(low <= value <= high for value in values)
    write_diagnosis(overflowed, tmp_path)
    assert ElementTree.parse(tmp_path / "diagnosis.svg").getroot().tag.endswith("svg")


def test_the_same_diagnosis_gives_the_same_bytes(faulty: Diagnosis, tmp_path: Path) -> None:
    one, two = (write_diagnosis(faulty, tmp_path / name) for name in ("one", "two"))
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in two]


def test_a_folder_that_cannot_be_written_leaves_nothing(faulty: Diagnosis, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="choose another folder"):
        write_diagnosis(faulty, tmp_path / "file")
    assert (tmp_path / "file").read_text() == ""
