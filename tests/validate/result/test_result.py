import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from export.common.errors import DataError
from tests.validate.results import artifact_result, lost, result_of
from validate.result.result import load_result

# the schema of the design, section 3
TOP = {
    "schema", "name", "model", "protocol", "dataset", "reference", "shape", "params", "macs",
    "flops_published", "calibration", "environment", "artifacts",
}  # fmt: skip
ARTIFACT = {
    "id", "precision", "target", "file", "sha256", "parent_sha256", "size_bytes", "runtime",
    "provider", "int8_macs_share", "int8_verified", "miou", "pixel_accuracy", "class_iou", "drop",
    "drop_ci95", "agreement", "fidelity_miou", "latency_ms", "mask_ms", "threads", "cpu",
}  # fmt: skip


def _document(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(result_of(lost("int8", 0.5)).to_json())
    return {**document, **changes}


def test_json_has_the_keys_of_the_design() -> None:
    document = _document()
    assert document["schema"] == 1
    assert document.keys() >= TOP
    assert document.keys() - TOP == {
        "command", "overlap_allowed", "classes", "class_images", "bootstrap", "latency_protocol",
        "counts_sha256", "facts_sha256",
    }  # fmt: skip
    assert document["dataset"].keys() >= {"name", "split", "images", "ids_sha256"}
    for entry in document["artifacts"]:
        assert entry.keys() >= ARTIFACT
        assert set(entry["latency_ms"]) == {"median", "p10", "p90"}
    assert document["artifacts"][0]["drop"] is None  # the reference


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    result = result_of(lost("int8", 0.5, drop_ci95=(0.1, 0.9)))
    (tmp_path / "result.json").write_text(result.to_json())
    assert load_result(tmp_path / "result.json") == result


_REPORTS = sorted((Path(__file__).parents[3] / "reports").glob("**/result.json"))


@pytest.mark.parametrize("path", _REPORTS, ids=lambda path: "/".join(path.parts[-3:-1]))
def test_committed_results_of_earlier_versions_still_load(path: Path) -> None:
    written = json.loads(path.read_text())
    result = load_result(path)
    assert [a.id for a in result.artifacts] == [a["id"] for a in written["artifacts"]]


def test_what_earlier_versions_did_not_measure_is_unknown(tmp_path: Path) -> None:
    document = _document()
    for field in ("class_images", "bootstrap"):
        del document[field]
    for entry in document["artifacts"]:
        for field in (
            "miou_ci95",
            "class_drop",
            "agreement_boundary",
            "agreement_interior",
            "worst_images",
        ):
            del entry[field]
    path = tmp_path / "result.json"
    path.write_text(json.dumps(document))
    result = load_result(path)
    assert (result.class_images, result.bootstrap) == ({}, None)
    int8 = result.artifacts[1]
    assert (int8.miou_ci95, int8.agreement_boundary, int8.agreement_interior) == (None, None, None)
    assert (int8.class_drop, int8.worst_images) == ({}, [])


def test_committed_results_are_there() -> None:
    assert _REPORTS


def test_artifacts_are_found_by_id() -> None:
    result = result_of(lost("int8", 0.5))
    found = result.artifact("int8")
    assert found is not None and found.drop == 0.5
    assert result.artifact("fp16") is None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_figures_that_are_not_finite_cannot_get_into_a_result(value: float) -> None:
    for field in ("miou", "drop", "agreement"):
        with pytest.raises(ValidationError):
            artifact_result("int8", **{field: value})
    with pytest.raises(ValidationError):
        artifact_result("int8", class_iou={"cat": value})


def _without(key: str) -> str:
    document = _document()
    del document[key]
    return json.dumps(document)


def _measured(**figures: float) -> str:
    document = _document()
    document["artifacts"][1].update(figures)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("", "Invalid JSON"),
        ('{"schema": 1', "Invalid JSON"),
        ("[]", "Input should be an object"),
        (json.dumps(_document(schema=2)), "schema"),
        (_without("protocol"), "protocol"),
        (json.dumps(_document(artifacts=[{}])), r"artifacts\.0\.id"),
        (json.dumps(_document(surprise=1)), "surprise"),
        (json.dumps(_document(macs=float("nan"))), "macs"),
        (json.dumps(_document(macs=10**400)), "macs"),
        (json.dumps(_document(params=-1)), "params"),
        (_measured(miou=1e308), r"artifacts\.1\.miou"),
        (_measured(agreement=-1), r"artifacts\.1\.agreement"),
        (json.dumps(_document(calibration={"int8": "x"})), "calibration: .*int8"),
        (json.dumps(_document(calibration={"int8": {}})), "calibration: .*int8.protocol"),
    ],
)
def test_a_damaged_result_is_named_with_the_place(tmp_path: Path, content: str, place: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(content)
    with pytest.raises(DataError, match=rf"result\.json: not a result of schema 1 \({place}"):
        load_result(path)


def test_bytes_that_are_no_text_are_no_result(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match="not a result"):
        load_result(tmp_path / "result.json")


def test_a_missing_result_says_what_makes_it(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(DataError, match=r"cannot read .*segport validate"):
            load_result(path)
