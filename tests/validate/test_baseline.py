import json
from pathlib import Path
from typing import Any

import pytest

from export.common.errors import DataError, SegportError
from tests.validate.results import accept, artifact_result, lost, result_of, trusted
from validate.gating.baseline.baseline import load_baseline
from validate.gating.verdict import Outcome, exit_code
from validate.result.facts import DatasetFacts
from validate.result.result import Result


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    """A baseline of torch-fp32 at 80 and int8 at 79.6 mIoU."""
    path = tmp_path / "baseline.json"
    accept(result_of(lost("int8", 0.4)), path, date="2026-11-26")
    return path


def test_the_result_it_was_made_of_passes(baseline: Path) -> None:
    verdicts = trusted(result_of(lost("int8", 0.4)), baseline=baseline)
    assert [v.id for v in verdicts] == ["torch-fp32", "int8"]
    assert exit_code(verdicts) == 0


@pytest.mark.parametrize(("loss", "code"), [(0.1, 0), (0.2, 0), (0.3, 1), (-5.0, 0)])
def test_a_planted_loss_is_found_beyond_the_tolerance(
    baseline: Path, loss: float, code: int
) -> None:
    result = result_of(lost("int8", 0.4 + loss))
    assert exit_code(trusted(result, baseline=baseline)) == code


def test_tolerance_can_be_chosen(baseline: Path) -> None:
    result = result_of(lost("int8", 0.7))
    assert exit_code(trusted(result, baseline=baseline, tolerance=0.35)) == 0
    assert exit_code(trusted(result, baseline=baseline, tolerance=0.25)) == 1


def test_a_reference_that_got_worse_is_a_regression_even_with_a_small_drop(baseline: Path) -> None:
    worse = [artifact_result("torch-fp32", miou=78), artifact_result("int8", miou=77.9, drop=0.1)]
    verdicts = trusted(result_of(artifacts=worse), max_drop={"int8": 0.5}, baseline=baseline)
    assert [(v.id, v.outcome) for v in verdicts] == [
        ("int8", Outcome.PASS),
        ("torch-fp32", Outcome.FAIL),
        ("int8", Outcome.FAIL),
    ]


def test_no_entry_cannot_be_told(baseline: Path) -> None:
    known = result_of(lost("int8", 0.4))
    cuda = artifact_result("int8", miou=79.6, drop=0.4, runtime="ort-cuda")
    strangers = [
        known.model_copy(update={"name": "other"}),
        known.model_copy(update={"protocol": "full"}),
        result_of(lost("int8", 0.4), lost("fp16", 0)),
        result_of(cuda),  # another runtime is another deployment
    ]
    for result in strangers:
        verdicts = trusted(result, baseline=baseline)
        told = [v for v in verdicts if "no entry in the baseline" in v.reason]
        assert told and all(v.outcome == Outcome.UNKNOWN for v in told)
        assert exit_code(verdicts) == 2
    _, protocol, *_ = trusted(strangers[1], baseline=baseline)
    assert protocol.reason == (
        "no entry in the baseline for net, full on images bbbbbbbbbbbb by ort-cpu; there: squash "
        "on images bbbbbbbbbbbb by ort-cpu"
    )


def test_a_regression_outweighs_a_missing_entry(baseline: Path) -> None:
    result = result_of(lost("fp16", 0), lost("int8", 9))
    assert exit_code(trusted(result, baseline=baseline)) == 1


def test_broken_logits_fail(baseline: Path) -> None:
    result = result_of(lost("int8", 0.4, nonfinite_images=1))
    verdicts = trusted(result, baseline=baseline)
    assert (verdicts[1].outcome, exit_code(verdicts)) == (Outcome.FAIL, 1)
    assert verdicts[1].check == "baseline"


def _unlabelled(fidelity: float | None) -> Result:
    nothing: dict[str, Any] = {"miou": None, "drop": None, "class_iou": {}}
    int8 = artifact_result("int8", fidelity_miou=fidelity, **nothing)
    artifacts = [artifact_result("torch-fp32", **nothing), int8]
    return result_of(artifacts=artifacts, dataset=_dataset(labelled=False))


def _dataset(**changes: Any) -> DatasetFacts:
    return result_of().dataset.model_copy(update=changes)


def test_unlabelled_results_are_held_against_their_fidelity(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    accept(_unlabelled(95.0), path)
    for fidelity, code in ((95.0, 0), (94.85, 0), (94.75, 1)):
        verdicts = trusted(_unlabelled(fidelity), baseline=path)
        assert exit_code(verdicts) == code
        assert verdicts[1].reason.startswith("fidelity mIoU 9")
    assert exit_code(trusted(_unlabelled(None), baseline=path)) == 2


def test_labels_on_one_side_only_cannot_be_told(baseline: Path) -> None:
    verdicts = trusted(_unlabelled(95.0), baseline=baseline)
    assert [v.outcome for v in verdicts] == [Outcome.UNKNOWN, Outcome.UNKNOWN]
    assert "the result has no labels, baseline.json has labels (masks unr" in verdicts[1].reason
    accept(_unlabelled(95.0), baseline)
    masks = _dataset(labels_sha256="d" * 64)
    *_, verdict = trusted(result_of(lost("int8", 0.4), dataset=masks), baseline=baseline)
    assert verdict.outcome is Outcome.UNKNOWN
    assert "the result has labels (masks dddddddddddd), baseline.json has no lab" in verdict.reason


def test_masks_of_another_digest_cannot_be_told(tmp_path: Path) -> None:
    def result(digest: str | None) -> Result:
        return result_of(lost("int8", 0.4), dataset=_dataset(labels_sha256=digest))

    path = tmp_path / "baseline.json"
    accept(result("d" * 64), path)
    assert exit_code(trusted(result("d" * 64), baseline=path)) == 0
    assert exit_code(trusted(result(None), baseline=path)) == 0  # a result of an earlier version
    verdicts = trusted(result("e" * 64), baseline=path)
    assert exit_code(verdicts) == 2
    assert [v.outcome for v in verdicts] == [Outcome.UNKNOWN] * 2
    sides = "result has labels (masks eeeeeeeeeeee), baseline.json has labels (masks dddddddddddd)"
    assert all(sides in verdict.reason for verdict in verdicts)
    accept(result("e" * 64), path)  # renews the entry, and leaves none of the old masks
    assert len(load_baseline(path).entries) == 2
    assert exit_code(trusted(result("e" * 64), baseline=path)) == 0
    broken = result_of(lost("int8", 0.4, nonfinite_images=1), dataset=_dataset())
    assert exit_code(trusted(broken, baseline=path)) == 1


def test_a_baseline_of_an_earlier_version_has_no_digest_of_its_masks(baseline: Path) -> None:
    document = json.loads(baseline.read_text())
    for entry in document["entries"]:
        del entry["accepted"][0]["labels_sha256"]
        entry["accepted"][0].update(date=None, seal=None)
    baseline.write_text(json.dumps(document))
    masks = _dataset(labels_sha256="d" * 64)
    assert exit_code(trusted(result_of(lost("int8", 0.4), dataset=masks), baseline=baseline)) == 0


def test_updating_replaces_equal_keys_and_keeps_the_others(baseline: Path) -> None:
    accept(result_of(lost("int8", 0.2)), baseline)
    accept(result_of(lost("int8", 1), protocol="full"), baseline)
    entries = {(e.protocol, e.id): e.last.miou for e in load_baseline(baseline).entries}
    assert entries == {
        ("full", "int8"): 79,
        ("full", "torch-fp32"): 80,
        ("squash", "int8"): pytest.approx(79.8),
        ("squash", "torch-fp32"): 80,
    }


def test_the_file_is_the_same_whatever_the_order_of_updates(tmp_path: Path) -> None:
    first, second = result_of(lost("int8", 0.2)), result_of(lost("int8", 1), protocol="full")
    for name, order in (("a", (first, second)), ("b", (second, first))):
        for result in order:
            accept(result, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_entries_hold_what_the_design_says(baseline: Path) -> None:
    entries = json.loads(baseline.read_text())["entries"]
    assert [entry["id"] for entry in entries] == ["int8", "torch-fp32"]
    assert entries[0] == {
        "name": "net",
        "protocol": "squash",
        "ids_sha256": "b" * 64,
        "id": "int8",
        "runtime": "ort-cpu",
        "retired": False,
        "accepted": [
            {
                "date": "2026-11-26",
                "reason": "a test",
                "anchor": True,
                "reference": "torch-fp32",
                "labels_sha256": None,
                "sha256": "a" * 64,
                "miou": 79.6,
                "drop": 0.4,
                "agreement": 100.0,
                "fidelity_miou": 100.0,
                "class_iou": {"background": 90.0, "cat": 70.0},
                "provider": "CPUExecutionProvider",
                "environment": {"cpu": "a cpu", "machine": "x86_64", "threads": 2, "isa": ["avx2"]},
                "noise": None,
                "counts": None,
                "seal": entries[0]["accepted"][0]["seal"],
            }
        ],
    }


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        '{"format": 3, "entries": []}',
        '{"format": 1, "entries": [{}]}',
        '{"format": 2, "entries": [{}]}',
        '{"format": 2, "entries": 7}',
    ],
)
def test_a_damaged_file_is_an_error_and_is_not_overwritten(tmp_path: Path, content: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(content)
    result = result_of(lost("int8", 0))
    with pytest.raises(DataError, match=r"baseline .*baseline\.json: damaged"):
        trusted(result, baseline=path)
    with pytest.raises(DataError, match="damaged"):
        accept(result, path)
    assert path.read_text() == content


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*--update-baseline"):
        trusted(result_of(lost("int8", 0)), baseline=tmp_path / "none.json")


def test_a_baseline_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SegportError, match="cannot write"):
        accept(result_of(lost("int8", 0)), tmp_path / "file" / "baseline.json")
