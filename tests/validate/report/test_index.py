import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from export.common.errors import ArtifactError, DataError
from tests.markdown import table
from tests.validate.results import artifact_result, lost, result_of
from validate.report import index
from validate.report.index import Entry, index_page, write_index
from validate.result.facts import DatasetFacts, SpreadFacts
from validate.result.result import Result


def _result(name: str = "net", protocol: str = "squash", **changes: object) -> Result:
    int8 = lost(
        "int8",
        -0.456,
        size_bytes=5_554_321,
        latency_ms=SpreadFacts(median=4.0, p10=3.9, p90=4.4),
        int8_macs_share=0.987,
        agreement=97.254,
    )
    fp32 = lost(
        "fp32",
        0.004,
        size_bytes=20_000_000,
        latency_ms=SpreadFacts(median=8.0, p10=7.0, p90=9.0),
    )
    return result_of(fp32, int8, name=name, protocol=protocol, **changes)


def _put(root: Path, folder: str, result: Result, report: bool = True) -> Path:
    path = root / folder / "result.json"
    path.parent.mkdir(parents=True)
    path.write_text(result.to_json())
    if report:
        path.with_name("report.md").write_text("# a report\n")
    return path


def _tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_a_row_per_artifact_with_its_figures() -> None:
    reference, fp32, int8 = table(index_page([Entry("net/squash", _result())]), "Results")
    assert int8 == {
        "run": "[net](net/squash/report.md)",
        "protocol": "squash",
        "images": "200 of VOC2012:val",
        "artifact": "int8",
        "runtime": "ort-cpu",
        "mIoU": "80.46",
        "drop": "-0.46",
        "agreement": "97.25",
        "size MB": "5.55",
        "time ratio": "0.50",  # 4 ms of the fp32 file's 8, not of torch's 10
        "int8 MACs": "98.7 %",
    }
    assert (fp32["artifact"], fp32["drop"], fp32["time ratio"]) == ("fp32", "+0.00", "1.00")
    assert reference["time ratio"] == "1.25"
    # the reference has no drop, torch no file
    assert (reference["artifact"], reference["drop"], reference["size MB"]) == (
        "torch-fp32",
        "-",
        "-",
    )


def test_rows_go_by_name_then_protocol_then_the_results_order() -> None:
    entries = [
        Entry("a/squash", _result("second", "squash")),
        Entry("b/squash", _result("first", "squash")),
        Entry("c/center-crop", _result("second", "center-crop")),
        Entry("0/squash", _result("first", "squash")),
    ]
    page = index_page(entries)
    rows = [(row["run"], row["protocol"], row["artifact"]) for row in table(page, "Results")]
    order = ["torch-fp32", "fp32", "int8"]  # not the alphabet's
    assert rows == [
        (f"[{name}]({folder}/report.md)", protocol, artifact)
        for name, folder, protocol in (
            ("first", "0/squash", "squash"),
            ("first", "b/squash", "squash"),
            ("second", "c/center-crop", "center-crop"),
            ("second", "a/squash", "squash"),
        )
        for artifact in order
    ]
    assert index_page(entries[::-1]) == page


def test_time_ratios_refer_to_the_reference_where_there_is_no_fp32_file() -> None:
    fast = SpreadFacts(median=2.5, p10=2.0, p90=3.0)
    result = result_of(lost("int8", 0, latency_ms=fast), lost("fp16", 0, latency_ms=None))
    reference, int8, fp16 = table(index_page([Entry("a/b", result)]), "Results")
    ratios = [row["time ratio"] for row in (reference, int8, fp16)]
    assert ratios == ["1.00", "0.25", "-"]


def test_images_without_labels_show_dashes() -> None:
    dataset = DatasetFacts(name="mine", split="all", images=3, ids_sha256="c" * 64, labelled=False)
    artifact = artifact_result("fp32", miou=None, drop=None, agreement=99.5)
    page = index_page([Entry("a/b", result_of(artifacts=[artifact], dataset=dataset))])
    (row,) = table(page, "Results")
    assert (row["images"], row["mIoU"], row["drop"], row["agreement"]) == (
        "3 of mine:all",
        "-",
        "-",
        "99.50",
    )
    assert "None" not in page


def test_a_machine_per_run_and_another_one_where_it_changed() -> None:
    other = {
        "cpu": "b cpu",
        "machine": "aarch64",
        "threads": 8,
        "isa": [],
        "versions": {"onnxruntime": "1.2.3", "torch": "9.9"},
    }
    entries = [
        Entry("a/squash", _result("one", "squash")),
        Entry("a/full", _result("one", "full")),
        Entry("b/squash", _result("two", "squash")),
        Entry("b/full", _result("two", "full", environment=other)),
    ]
    assert [list(row.values()) for row in table(index_page(entries), "Machines")] == [
        ["one", "a cpu (x86_64), 2 threads", "avx2", ""],
        ["two", "b cpu (aarch64), 8 threads", "-", "onnxruntime 1.2.3, torch 9.9"],
        ["two", "a cpu (x86_64), 2 threads", "avx2", ""],
    ]


def test_what_every_index_says() -> None:
    page = index_page([Entry("a/squash", _result())])
    assert page.startswith(f"{index.MARK}\n\n# Reports\n") and page.endswith("|\n")
    assert "Generated by `segport index`" in page and "`make reports`" in page
    assert "it needs no editing" in page
    assert "Pictures of VOC are not committed." in page
    assert "zoo.md" not in page and "baseline.json" not in page


def test_overlapping_images_are_marked() -> None:
    entries = [
        Entry("a/squash", _result("clean")),
        Entry("b/full", _result("dirty", "full", overlap_allowed=True)),
    ]
    (warning,) = [line for line in index_page(entries).splitlines() if "overlap" in line]
    assert warning.startswith("dirty, full: Warning: calibration and validation images overlap")


def test_a_pipe_in_a_name_does_not_break_the_table() -> None:
    assert "[a\\|b](a/squash/report.md)" in index_page([Entry("a/squash", _result("a|b"))])


def test_results_are_found_two_folders_deep(tmp_path: Path) -> None:
    _put(tmp_path, "x/squash", _result("named"))
    _put(tmp_path, "x y/full", _result("spaced", "full"))
    _put(tmp_path, "z/squash", _result("bare"), report=False)
    for elsewhere in ("top", "x/squash/deep", "x/.segport-1", ".hidden/squash"):
        _put(tmp_path, elsewhere, _result("elsewhere"))
    assert write_index(tmp_path) == (tmp_path / "README.md", 3)
    rows = table((tmp_path / "README.md").read_text(), "Results")
    assert list(dict.fromkeys(row["run"] for row in rows)) == [
        "bare",  # no report.md to link to
        "[named](x/squash/report.md)",
        "[spaced](x%20y/full/report.md)",
    ]


@pytest.mark.parametrize(
    "there", [[], ["zoo.md"], ["baseline.json"], ["zoo.md", "protocols.md", "baseline.json"]]
)
def test_files_beside_are_linked_when_they_are_there(tmp_path: Path, there: list[str]) -> None:
    _put(tmp_path, "x/squash", _result())
    for name in [*there, "other.md"]:
        (tmp_path / name).write_text("")
    write_index(tmp_path)
    lines = (tmp_path / "README.md").read_text().splitlines()
    links = [line.split(":")[0] for line in lines if line.startswith("- ")]
    assert links == [f"- [{name}]({name})" for name in there]


def test_an_index_is_renewed_and_nothing_else_touched(tmp_path: Path) -> None:
    _put(tmp_path, "x/squash", _result("old"))
    before = _tree(tmp_path)
    write_index(tmp_path)
    first = _tree(tmp_path)
    write_index(tmp_path)
    assert _tree(tmp_path) == first
    assert first.keys() - before.keys() == {"README.md"}
    _put(tmp_path, "y/squash", _result("new"))
    write_index(tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "[new](y/squash/report.md)" in text and "[old](x/squash/report.md)" in text


def test_the_committed_index_is_of_the_committed_results(tmp_path: Path) -> None:
    committed = Path(__file__).resolve().parents[3] / "reports"
    shutil.copytree(committed, tmp_path / "reports")
    write_index(tmp_path / "reports")
    renewed = (tmp_path / "reports/README.md").read_text()
    assert renewed == (committed / "README.md").read_text(), "segport index reports renews it"


def test_somebodys_own_readme_is_not_replaced(tmp_path: Path) -> None:
    _put(tmp_path, "x/squash", _result())
    (tmp_path / "README.md").write_text("# My project\n\nReports: `segport index`.\n")
    before = _tree(tmp_path)
    with pytest.raises(DataError, match=r"README\.md: not made by 'segport index'"):
        write_index(tmp_path)
    assert _tree(tmp_path) == before


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda good: good[:-20], "not a result of schema 1"),
        (lambda good: "", "not a result of schema 1"),
        (lambda good: good.replace('"schema": 1', '"schema": 2'), "schema"),
        (lambda good: good.replace('"miou": 80.0', '"miou": "much"'), "miou"),
    ],
)
def test_a_damaged_result_is_named(
    tmp_path: Path, content: Callable[[str], str], reason: str
) -> None:
    _put(tmp_path, "x/squash", _result())
    write_index(tmp_path)
    damaged = _put(tmp_path, "y/full", _result())
    damaged.write_text(content(_result().to_json()))
    before = _tree(tmp_path)
    with pytest.raises(DataError, match=reason) as caught:
        write_index(tmp_path)
    assert str(damaged) in str(caught.value)
    assert _tree(tmp_path) == before


def test_a_folder_in_the_results_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "x/squash/result.json").mkdir(parents=True)
    with pytest.raises(DataError, match=r"x/squash/result\.json: cannot read"):
        write_index(tmp_path)


def test_folders_without_results(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent: no such folder"):
        write_index(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file: no such folder"):
        write_index(tmp_path / "file")
    (tmp_path / "empty/net/squash").mkdir(parents=True)
    with pytest.raises(DataError, match=r"empty: no results; 'segport report"):
        write_index(tmp_path / "empty")
    assert not list(tmp_path.rglob("README.md"))


def test_an_index_that_cannot_be_finished_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(tmp_path, "x/squash", _result())
    write_index(tmp_path)
    before = _tree(tmp_path)

    def full_disk(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(ArtifactError, match="No space left"):
        write_index(tmp_path)
    assert _tree(tmp_path) == before
    assert {path.name for path in tmp_path.iterdir()} == {"x", "README.md"}
