import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.common.errors import DataError, UsageError
from tests.markdown import table
from tests.validate.diagnoses import faulty_layer
from tests.validate.report.page.folders import result_folder
from tests.validate.results import artifact_result, lost, result_of, trusted
from validate.gating.verdict import Outcome, Verdict
from validate.report.diagnosis_report import write_diagnosis
from validate.report.report import markdown_report, report, terminal_report
from validate.report.verdict_lines import NO_GATE
from validate.result.facts import BootstrapFacts, ClassDrop, ImageAgreement, SpreadFacts
from validate.result.result import Result


def _result() -> Result:
    return result_of(
        lost("fp32", -0.004, size_bytes=20_000_000),
        lost("fp16", 0.03, size_bytes=10_000_000, runtime="ort-fp16", latency_runtime="ort-cpu"),
        lost(
            "int8",
            0.46,
            size_bytes=5_000_000,
            latency_ms=SpreadFacts(median=4.0, p10=3.9, p90=4.4),
            int8_macs_share=0.987,
            int8_verified=True,
            agreement=97.25,
            class_iou={"background": 91.5, "cat": 66.25, "dog": None},
        ),
        command="segport run recipe.toml",
        calibration={
            "int8": {"protocol": "squash", "images": 64, "settings": {"range": "minmax", "seed": 0}}
        },
    )


def test_summary_has_the_columns_of_the_publishedtable() -> None:
    assert table(markdown_report(_result()), "Summary") == [
        {
            "model": "deeplabv3_mobilenet",
            "FLOPs (G)": "13.372",
            "MACs (G)": "6.017",
            "params (M)": "5.114",
            "torch-fp32": "80.00",
            "fp32": "80.00",
            "fp16": "79.97",
            "int8": "79.54",
            "fp32 drop": "+0.00",
            "fp16 drop": "+0.03",
            "int8 drop": "+0.46",
            "shape": "3x513x513",
        }
    ]


def test_the_gates_verdicts_come_first_where_they_are_known() -> None:
    result = _result()
    verdicts = trusted(result, max_drop={"int8": 0.3, "fp16": 0.1}, max_size={"int8": "6MB"})
    text = markdown_report(result, [*verdicts, Verdict("environment", Outcome.WARN, "another")])
    before, after = text.split("\n## Verdicts\n\n")
    assert "## " not in before
    assert after.split("\n\n")[0].splitlines() == [
        "- **NOT JUDGED** `fp32` lost 0.00 points of mIoU; agrees with torch-fp32 on 100.00 % of "
        "pixels; 20.00 MB; 10.0 ms.",
        "- **PASS** `fp16` lost 0.03 points of mIoU; agrees with torch-fp32 on 100.00 % of pixels; "
        "0.50 times the size and 1.00 times the time of fp32.",
        "  - pass: drop +0.030 is within 0.1",
        "- **FAIL** `int8` lost 0.46 points of mIoU; agrees with torch-fp32 on 97.25 % of pixels; "
        "0.25 times the size and 0.40 times the time of fp32.",
        "  - fail: drop +0.460 exceeds 0.3",
        "  - pass: size 5.000 MB is within 6 MB",
        "- **WARN** `environment`",
        "  - warn: another",
    ]
    ungated = before + f"\n{NO_GATE}\n\n" + after.split("\n\n", 1)[1]
    assert markdown_report(result) == ungated


def test_artifact_rows_with_ratios_to_the_fp32_file() -> None:
    rows = {row["artifact"]: row for row in table(markdown_report(_result()), "Artifacts")}
    assert list(rows) == ["torch-fp32", "fp32", "fp16", "int8"]
    int8 = rows["int8"]
    # 5 MB of 20 MB, 4 ms of 10 ms
    assert (int8["size MB"], int8["size ratio"]) == ("5.00", "0.25")
    assert (int8["ms"], int8["time ratio"]) == ("4.0", "0.40")
    assert (int8["drop"], int8["agreement"], int8["int8 MACs"]) == ("+0.46", "97.25", "98.7 %")
    assert rows["fp32"]["size ratio"] == "1.00" and rows["fp16"]["int8 MACs"] == "-"
    # the reference has no drop, and torch has no file
    assert (rows["torch-fp32"]["drop"], rows["torch-fp32"]["size MB"]) == ("-", "-")


def test_class_iou_of_every_artifact() -> None:
    rows = {row["class"]: row for row in table(markdown_report(_result()), "Class IoU")}
    assert list(rows) == ["background", "cat", "dog"]
    assert (rows["cat"]["fp32"], rows["cat"]["int8"], rows["dog"]["int8"]) == (
        "70.00",
        "66.25",
        "-",
    )


def test_facts_say_how_it_was_made() -> None:
    facts = {
        row["fact"]: row["value"] for row in table(markdown_report(_result()), "How it was made")
    }
    assert facts["command"] == "`segport run recipe.toml`"
    assert "64 images" in facts["calibration int8"] and "range minmax" in facts["calibration int8"]
    assert "a cpu" in facts["cpu"] and facts["instruction sets"] == "avx2"
    assert facts["sha256 net-int8.onnx"] == "a" * 64


def test_a_machine_told_of_in_other_types_is_told_less_of() -> None:
    odd = {"cpu": "a cpu", "versions": [1], "isa": 5, "session_settings": "x"}
    page = markdown_report(result_of(lost("int8", 0.5), environment=odd))
    facts = {row["fact"]: row["value"] for row in table(page, "How it was made")}
    assert "a cpu" in facts["cpu"] and facts["instruction sets"] == "-"


def _measured() -> Result:
    return result_of(
        lost(
            "int8",
            0.46,
            drop_ci95=(0.104, 0.9),
            miou_ci95=(76.0, 82.5),
            agreement_boundary=81.5,
            agreement_interior=99.25,
            class_drop={
                "background": ClassDrop(drop=0.125, ci95=(-0.05, 0.31), images=200),
                "cat": ClassDrop(drop=3.75, ci95=None, images=1),
            },
            worst_images=[
                ImageAgreement(id="2007_000033", agreement=61.234),
                ImageAgreement(id="2007_000061", agreement=70.0),
            ],
        ),
        class_images={"background": 200, "cat": 1, "dog": 0},
        bootstrap=BootstrapFacts(method="a bootstrap", level=95, resamples=10_000, seed=0),
    )


def test_drops_are_shown_with_their_intervals() -> None:
    text = markdown_report(_measured())
    (reference, int8) = table(text, "Artifacts")
    assert (int8["drop"], int8["drop 95 %"]) == ("+0.46", "+0.10 to +0.90")
    assert int8["mIoU 95 %"] == "76.00 to 82.50"
    assert (int8["at borders"], int8["inside"]) == ("81.50", "99.25")
    assert (reference["drop 95 %"], reference["at borders"]) == ("-", "-")
    assert "a bootstrap; 10000 resamples, seed 0" in text and "within 5 px of label borders" in text
    rows = terminal_report(_measured()).splitlines()
    assert rows[-1].startswith("int8") and "+0.10 to +0.90" in rows[-1]


def test_class_drops_come_with_their_images_largest_first() -> None:
    rows = table(markdown_report(_measured()), "Class drop of int8")
    assert [list(row.values()) for row in rows] == [
        ["cat", "1", "+3.75", "-"],
        ["background", "200", "+0.12", "-0.05 to +0.31"],
    ]


def test_the_images_that_agree_least_are_listed() -> None:
    rows = table(markdown_report(_measured()), "Images that agree least")
    assert [list(row.values()) for row in rows] == [
        ["int8", "2007_000033", "61.23"],
        ["int8", "2007_000061", "70.00"],
    ]


def test_results_of_earlier_versions_have_no_sections_for_what_they_lack() -> None:
    text = markdown_report(_result())
    for heading in ("Class drop", "agree least", "Intervals:"):
        assert heading not in text


def test_the_terminal_table_fits_120_columns() -> None:
    lines = terminal_report(_measured()).splitlines()
    assert max(map(len, lines)) <= 120


def test_protocol_data_and_reference_are_named() -> None:
    text = markdown_report(_result())
    assert "Protocol `squash`" in text and "200 images of `VOC2012:val`" in text
    assert "reference `torch-fp32`" in text and "b" * 12 in text


def test_what_a_reader_must_know_is_noted() -> None:
    result = result_of(
        lost("fp16", 0, runtime="ort-fp16", latency_runtime="ort-cpu", warnings=["not checked"]),
        lost("int8", 0, kept_float=["stem", "head"], invented_classes=["cow"], int8_verified=False),
        overlap_allowed=True,
    )
    for text in (markdown_report(result), terminal_report(result)):
        assert "fp16: not checked" in text
        assert "int8: 2 layers kept in float: stem, head" in text
        assert "int8: predicts classes no label has: cow" in text
        assert "int8: this runtime runs less in int8" in text
        assert "accuracy by ort-fp16" in text and "on ort-cpu" in text
        assert "calibration and validation images overlap" in text
    assert "overlap" not in markdown_report(_result()) + terminal_report(_result())


def test_terminal_table_names_the_comparison_and_every_artifact() -> None:
    text = terminal_report(_result())
    head, _, columns, _, *rows = text.splitlines()
    assert head == "net: squash, 200 images of VOC2012:val, reference torch-fp32"
    assert columns.split()[:4] == ["artifact", "runtime", "mIoU", "drop"]
    assert rows[0].split()[:4] == ["torch-fp32", "torch", "80.00", "-"]
    assert rows[3].split()[:4] == ["int8", "ort-cpu", "79.54", "+0.46"]


def test_unlabelled_results_show_dashes() -> None:
    result = result_of(
        artifacts=[
            artifact_result(id, miou=None, drop=None, pixel_accuracy=None, class_iou={})
            for id in ("torch-fp32", "int8")
        ]
    )
    (row,) = table(markdown_report(result), "Summary")
    assert (row["int8"], row["int8 drop"]) == ("-", "-")
    assert "None" not in markdown_report(result) + terminal_report(result)


def test_a_pipe_in_a_name_does_not_break_thetable() -> None:
    result = result_of(lost("int8", 0, class_iou={"cat|dog": 50.0}), command="a | b")
    text = markdown_report(result)
    assert "a \\| b" in text


def test_no_negative_zero() -> None:
    text = markdown_report(result_of(lost("int8", -0.001)))
    assert "-0.00" not in text and "+0.00" in text


def _write(folder: Path, result: Result) -> Path:
    folder.mkdir()
    path = folder / "result.json"
    path.write_text(result.to_json())
    count, classes = result.dataset.images, len(result.artifacts[0].class_iou)
    matrices = np.zeros((count, classes, classes), np.int64)
    arrays: dict[str, Any] = {artifact.id: matrices for artifact in result.artifacts}
    np.savez(folder / "confusion.npz", **arrays)
    return path


def test_files_are_written_beside_the_report(tmp_path: Path) -> None:
    source = _write(tmp_path / "in", _result())
    out = tmp_path / "deep" / "out"
    files = report(source, out)
    assert set(files) == set(out.iterdir())
    names = [path.name for path in files]
    assert names == ["report.md", "report.html", "result.json", "confusion.npz"]
    assert (out / "report.md").read_text() == markdown_report(_result())
    assert json.loads((out / "result.json").read_text()) == json.loads(source.read_text())
    assert (out / "confusion.npz").read_bytes() == (tmp_path / "in/confusion.npz").read_bytes()


def test_a_report_into_the_results_own_folder_changes_nothing_else(tmp_path: Path) -> None:
    source = _write(tmp_path / "in", _result())
    before = {path.name: path.read_bytes() for path in source.parent.iterdir()}
    report(source, source.parent)
    after = {path.name: path.read_bytes() for path in source.parent.iterdir()}
    assert after.pop("report.md") and after.pop("report.html") and after == before


def test_without_confusions_the_report_is_still_made(tmp_path: Path) -> None:
    source = _write(tmp_path / "in", _result())
    (tmp_path / "in/confusion.npz").unlink()
    report(source, tmp_path / "out")
    assert (tmp_path / "out/report.md").is_file()
    assert not (tmp_path / "out/confusion.npz").exists()


def test_formats_can_be_chosen(tmp_path: Path) -> None:
    source = _write(tmp_path / "in", _result())
    report(source, tmp_path / "out", formats=["md"])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "report.md",
        "result.json",
        "confusion.npz",
    }
    with pytest.raises(UsageError, match="unknown report format 'htm': did you mean 'html'"):
        report(source, tmp_path / "out2", formats=["md", "htm"])
    assert not (tmp_path / "out2").exists()


@pytest.mark.slow
def test_pictures_go_with_the_report_and_do_not_outlive_their_result(tmp_path: Path) -> None:
    with_pictures = result_folder(tmp_path / "with")
    without = result_folder(tmp_path / "without", pictures=0)
    out = tmp_path / "out"
    assert out / "pictures.zip" in report(with_pictures, out)
    assert (out / "pictures.zip").read_bytes() == (tmp_path / "with/pictures.zip").read_bytes()
    # a report of the report is the same
    html = (out / "report.html").read_text()
    report(out / "result.json", out)
    assert (out / "report.html").read_text() == html and "<img" in html
    report(without, out)
    assert not (out / "pictures.zip").exists() and "<img" not in (out / "report.html").read_text()


def test_pictures_of_another_result_leave_nothing_behind(tmp_path: Path) -> None:
    source = result_folder(tmp_path / "in")
    result_folder(tmp_path / "other", name="other")
    shutil.copy(tmp_path / "other/pictures.zip", tmp_path / "in")
    with pytest.raises(DataError, match="another result"):
        report(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _diagnosed(folder: Path, other: str) -> Path:
    write_diagnosis(replace(faulty_layer(), other=other), folder)
    return folder


def test_layer_errors_of_a_diagnosis_are_shown(tmp_path: Path) -> None:
    source = result_folder(tmp_path / "in")
    folder = _diagnosed(tmp_path / "diagnosis", "net-int8.onnx")
    report(source, tmp_path / "out", diagnoses=[folder])
    html = (tmp_path / "out/report.html").read_text()
    section = html[html.index("<h2>Layer errors of net-int8.onnx") :]
    assert "Suspect: layer conv_3 (Add|x)" in section and "<svg" in section
    assert section.index("conv_3") < section.index("<h2>How it was made")


def test_a_diagnosis_of_another_file_is_refused(tmp_path: Path) -> None:
    source = result_folder(tmp_path / "in")
    folder = _diagnosed(tmp_path / "diagnosis", "other-int8.onnx")
    with pytest.raises(DataError, match=r"diagnoses other-int8\.onnx, which is not an artifact"):
        report(source, tmp_path / "out", diagnoses=[folder])
    with pytest.raises(DataError, match=r"nowhere.*'segport diagnose' makes it"):
        report(source, tmp_path / "out", diagnoses=[tmp_path / "nowhere"])
    text = (folder / "diagnosis.json").read_text()
    for damaged in (text[:-20], text.replace('"index": 3', '"index": 99'), "{}"):
        (folder / "diagnosis.json").write_text(damaged)
        with pytest.raises(DataError, match="no diagnosis"):
            report(source, tmp_path / "out", diagnoses=[folder])
    assert not (tmp_path / "out").exists()
