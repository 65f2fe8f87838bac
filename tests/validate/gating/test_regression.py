"""Changes against a baseline, with the images behind them."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.errors import DataError
from tests.validate.results import artifact_result, result_of
from validate.counts import counts_miou, counts_of
from validate.gate import gate, result_counts
from validate.gating.baseline import load_baseline, update_baseline
from validate.gating.verdict import Outcome, Verdict
from validate.metrics import miou
from validate.result import Result

CLASSES = 3
PIXELS = 1000


def _confusions(wrong: list[int], seed: int = 0) -> np.ndarray[Any, np.dtype[np.int64]]:
    """One matrix per image; `wrong` of each image's pixels of class 1 are called class 2."""
    rng = np.random.default_rng(seed)
    found = np.zeros((len(wrong), CLASSES, CLASSES), np.int64)
    for matrix, missed in zip(found, wrong, strict=True):
        matrix[0, 0] = rng.integers(PIXELS, 2 * PIXELS)
        matrix[1] = (0, PIXELS - missed, missed)
        matrix[2, 2] = PIXELS
    return found


def _write(folder: Path, confusions: np.ndarray[Any, Any], **changes: Any) -> Result:
    """A result of int8 alone and its confusion.npz in `folder`."""
    folder.mkdir(exist_ok=True)
    reached = miou(confusions.sum(0))
    int8 = artifact_result("int8", miou=reached, drop=0.0)
    result = result_of(artifacts=[int8], reference="torch-fp32", **changes)
    np.savez_compressed(folder / "confusion.npz", int8=confusions)
    (folder / "result.json").write_text(result.to_json())
    return result


def _baseline(tmp_path: Path, confusions: np.ndarray[Any, Any]) -> Path:
    result, path = _write(tmp_path / "before", confusions), tmp_path / "baseline.json"
    update_baseline(result, path, result_counts(result, tmp_path / "before"))
    return path


def _judged(
    tmp_path: Path, before: np.ndarray[Any, Any], now: np.ndarray[Any, Any], **options: Any
) -> Verdict:
    path = _baseline(tmp_path, before)
    result = _write(tmp_path / "now", now)
    (verdict,) = gate(result, folder=tmp_path / "now", baseline=path, **options)
    return verdict


def test_counts_add_up_to_the_miou_of_the_matrices() -> None:
    rng = np.random.default_rng(1)
    confusions = rng.integers(0, 50, (7, 5, 5))
    confusions[:, 3] = 0  # a class that is only predicted
    counts = counts_of(confusions)
    assert counts.shape == (7, 3, 5)
    assert counts_miou(counts) == pytest.approx(miou(confusions.sum(0)), abs=1e-12)
    assert counts_miou(np.zeros((2, 3, 4), np.int64)) is None


def test_a_loss_in_every_image_is_sure_and_one_in_a_single_image_is_not(tmp_path: Path) -> None:
    before = _confusions([100] * 30)
    everywhere = _judged(tmp_path, before, _confusions([120] * 30))
    assert everywhere.outcome is Outcome.FAIL and not everywhere.inconclusive
    low, high = everywhere.interval or (0, 0)
    # 20 of 1000 pixels of one of 3 classes
    assert everywhere.value == pytest.approx(-1.2078, abs=1e-4)
    assert low - 1e-9 <= everywhere.value <= high + 1e-9 and high < -0.2
    assert f"95 % interval {low:+.3f} to {high:+.3f}" in everywhere.reason

    lonely = [100] * 29 + [700]  # as many pixels, in one image
    for choice, outcome in ((None, Outcome.PASS), ("pass", Outcome.PASS), ("fail", Outcome.FAIL)):
        verdict = _judged(tmp_path, before, _confusions(lonely), on_inconclusive=choice)
        assert verdict.inconclusive and verdict.outcome is outcome
        assert verdict.value == pytest.approx(everywhere.value)


def test_no_change_passes_without_doubt(tmp_path: Path) -> None:
    same = _confusions([100, 50, 0, 10])
    verdict = _judged(tmp_path, same, same, on_inconclusive="fail", tolerance=0)
    assert verdict.outcome is Outcome.PASS and verdict.value == 0


def test_without_counts_on_either_side_the_point_decides(tmp_path: Path) -> None:
    path = _baseline(tmp_path, _confusions([100] * 5))
    now = _write(tmp_path / "now", _confusions([120] * 5))
    (no_folder,) = gate(now, baseline=path)
    assert no_folder.interval is None and no_folder.outcome is Outcome.FAIL
    update_baseline(_write(tmp_path / "again", _confusions([100] * 5)), path)
    (no_counts,) = gate(now, folder=tmp_path / "now", baseline=path)
    assert no_counts.interval is None and no_counts.outcome is Outcome.FAIL


def test_other_labels_under_the_same_image_ids_are_not_compared(tmp_path: Path) -> None:
    verdict = _judged(tmp_path, _confusions([0] * 4, seed=0), _confusions([0] * 4, seed=1))
    assert verdict.outcome is Outcome.UNKNOWN
    assert "not the labels of the baseline" in verdict.reason


def test_the_same_masks_at_another_size_are_not_compared(tmp_path: Path) -> None:
    masks = result_of().dataset.model_copy(update={"labels_sha256": "d" * 64})
    path, confusions = tmp_path / "baseline.json", _confusions([100] * 4)
    before = _write(tmp_path / "before", confusions, dataset=masks)
    update_baseline(before, path, result_counts(before, tmp_path / "before"))
    now = _write(tmp_path / "now", confusions // 2, dataset=masks, shape=(3, 257, 257))
    (verdict,) = gate(now, folder=tmp_path / "now", baseline=path)
    assert verdict.outcome is Outcome.UNKNOWN
    assert "the masks are those of baseline.json" in verdict.reason and "257x257" in verdict.reason


def test_counts_are_one_small_file_beside_the_baseline(tmp_path: Path) -> None:
    path = _baseline(tmp_path, _confusions([100] * 200))
    (entry,) = load_baseline(path).entries
    assert entry.counts is not None
    file = tmp_path / entry.counts.file
    assert file.parent == tmp_path / "baseline-counts"
    assert file.name.startswith("net-squash-int8-")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == entry.counts.sha256
    assert file.stat().st_size < 4000
    before = file.read_bytes(), path.read_bytes()
    _baseline(tmp_path, _confusions([100] * 200))
    assert (file.read_bytes(), path.read_bytes()) == before


def test_an_update_removes_the_counts_it_replaces_and_no_others(tmp_path: Path) -> None:
    path = _baseline(tmp_path, _confusions([100] * 5))
    (old,) = (tmp_path / "baseline-counts").iterdir()
    other = _write(tmp_path / "other", _confusions([7] * 5), name="other")
    update_baseline(other, path, result_counts(other, tmp_path / "other"))
    assert len(list((tmp_path / "baseline-counts").iterdir())) == 2
    _baseline(tmp_path, _confusions([50] * 5))
    files = {f"baseline-counts/{f.name}" for f in (tmp_path / "baseline-counts").iterdir()}
    named = {entry.counts.file for entry in load_baseline(path).entries if entry.counts}
    assert files == named and len(files) == 2 and not old.exists()


@pytest.mark.parametrize("file", ["../precious.npz", "/tmp/precious.npz", "x-counts/../p.npz"])
def test_a_baseline_names_no_files_outside_its_own_folder(tmp_path: Path, file: str) -> None:
    """An update removes the counts that no entry names any more."""
    path = _baseline(tmp_path, _confusions([100] * 5))
    document = json.loads(path.read_text())
    document["entries"][0]["counts"]["file"] = file
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"baseline\.json: damaged \(entries\.0\.counts\.file"):
        update_baseline(_write(tmp_path / "now", _confusions([50] * 5)), path)


def test_masks_without_a_labelled_pixel_are_held_against_fidelity(tmp_path: Path) -> None:
    nothing: dict[str, Any] = {"miou": None, "drop": None, "class_iou": {}}
    counts = {"int8": np.zeros((4, 3, CLASSES), np.int64)}
    confusions = np.zeros((4, CLASSES, CLASSES), np.int64)

    def result(folder: str, fidelity: float) -> Result:
        (tmp_path / folder).mkdir()
        np.savez_compressed(tmp_path / folder / "confusion.npz", int8=confusions)
        int8 = artifact_result("int8", fidelity_miou=fidelity, **nothing)
        masks = result_of().dataset.model_copy(update={"labels_sha256": "d" * 64})
        return result_of(artifacts=[int8], dataset=masks)

    path = tmp_path / "baseline.json"
    before = result("before", 95.0)
    assert np.array_equal(result_counts(before, tmp_path / "before")["int8"], counts["int8"])
    update_baseline(before, path, counts)
    now = result("now", 94.0)
    (verdict,) = gate(now, folder=tmp_path / "now", baseline=path)
    assert verdict.outcome is Outcome.FAIL and verdict.interval is None
    assert verdict.reason == ("fidelity mIoU 94.000 is -1.000 against the baseline, tolerance 0.2")


@pytest.mark.parametrize("damage", ["gone", "other"])
def test_counts_that_are_not_those_of_the_baseline_are_an_error(
    tmp_path: Path, damage: str
) -> None:
    path = _baseline(tmp_path, _confusions([100] * 5))
    (file,) = (tmp_path / "baseline-counts").iterdir()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(DataError, match="baseline counts"):
        gate(_write(tmp_path / "now", _confusions([100] * 5)), baseline=path)


def test_a_confusion_file_of_another_result_is_an_error(tmp_path: Path) -> None:
    path = _baseline(tmp_path, _confusions([100] * 5))
    now = _write(tmp_path / "now", _confusions([100] * 5))
    _write(tmp_path / "now", _confusions([500] * 5))
    with pytest.raises(DataError, match=r"confusion\.npz, int8: adds up to mIoU"):
        gate(now, folder=tmp_path / "now", baseline=path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no zip"])
def test_a_damaged_confusion_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = _baseline(tmp_path, _confusions([100] * 5))
    now = _write(tmp_path / "now", _confusions([100] * 5))
    (tmp_path / "now/confusion.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"confusion\.npz: cannot be read"):
        gate(now, folder=tmp_path / "now", baseline=path)


def test_what_is_no_matrix_is_an_error(tmp_path: Path) -> None:
    path = _baseline(tmp_path, _confusions([100] * 5))
    now = _write(tmp_path / "now", _confusions([100] * 5))
    for array in (np.zeros((3, 3)), np.zeros((2, 3, 3)), np.zeros((2, 2, 3), np.int64)):
        np.savez(tmp_path / "now/confusion.npz", int8=array)
        with pytest.raises(DataError, match=r"confusion\.npz"):
            gate(now, folder=tmp_path / "now", baseline=path)


# ---- classes


def _classes(cat: float) -> Result:
    return result_of(
        artifacts=[artifact_result("int8", class_iou={"background": 90.0, "cat": cat})]
    )


def test_a_classs_loss_is_found_where_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    update_baseline(_classes(70.0), path)
    assert len(gate(_classes(60.0), baseline=path)) == 1  # mIoU alone, which is the same
    for cat, outcome in ((70.0, Outcome.PASS), (68.0, Outcome.PASS), (67.9, Outcome.FAIL)):
        _, verdict = gate(_classes(cat), baseline=path, class_tolerance=2)
        assert (verdict.check, verdict.outcome) == ("baseline classes", outcome)
    assert "worst class cat" in verdict.reason and verdict.value == pytest.approx(-2.1)


def test_an_older_baseline_has_no_classes(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    update_baseline(_classes(70.0), path)
    document = json.loads(path.read_text())
    for name in ("class_iou", "counts", "runtime", "provider", "fidelity_miou"):
        del document["entries"][0][name]
    path.write_text(json.dumps(document))
    miou_verdict, classes = gate(_classes(70.0), baseline=path, class_tolerance=2)
    assert (miou_verdict.outcome, classes.outcome) == (Outcome.PASS, Outcome.UNKNOWN)


# ---- where the baseline was made


def _environment(**changes: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "cpu": "a cpu",
        "machine": "x86_64",
        "threads": 2,
        "isa": ["avx2", "avx512_vnni"],
        "versions": {"onnxruntime": "1.31.1", "python": "3.11.7"},
        "session_settings": {},
    }
    return {**facts, **changes}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cpu": "another"}, None),
        ({"versions": {"onnxruntime": "1.31.1", "python": "3.12.0"}}, None),
        ({"threads": 1}, "threads 2 -> 1"),
        ({"isa": ["avx2"]}, "instruction sets avx2 avx512_vnni -> avx2"),
        ({"machine": "aarch64"}, "machine x86_64 -> aarch64"),
        ({"versions": {"onnxruntime": "1.32.0"}}, "onnxruntime 1.31.1 -> 1.32.0"),
        ({"versions": {"onnxruntime-gpu": "1.31.1"}}, "onnxruntime 1.31.1 -> none"),
        (
            {"session_settings": {"session.x64quantprecision": "1"}},
            "session settings none -> session.x64quantprecision=1",
        ),
    ],
)
def test_another_environment_is_named_once_and_never_fails(
    tmp_path: Path, changes: dict[str, Any], says: str | None
) -> None:
    path = tmp_path / "baseline.json"
    update_baseline(result_of(artifact_result("int8"), environment=_environment()), path)
    now = result_of(artifact_result("int8"), environment=_environment(**changes))
    verdicts = gate(now, baseline=path)
    warnings = [v for v in verdicts if v.outcome is Outcome.WARN]
    assert [v.outcome for v in verdicts if v not in warnings] == [Outcome.PASS, Outcome.PASS]
    assert len(warnings) == (says is not None)
    if says:
        assert says in warnings[0].reason and "baseline.json" in warnings[0].reason


def test_another_runtime_is_a_difference_too(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    update_baseline(result_of(artifact_result("int8")), path)
    cuda = artifact_result("int8", runtime="ort-cuda", provider="CUDAExecutionProvider")
    *_, warning = gate(result_of(cuda), baseline=path)
    assert warning.outcome is Outcome.WARN
    assert "runtime of int8 ort-cpu (CPUExecutionProvider) -> ort-cuda" in warning.reason


def test_a_package_of_another_runtime_is_no_difference(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    there, here = ({"versions": {"openvino": version}} for version in ("2026.0.0", "2026.4.1"))

    def warnings(runtime: str) -> list[Verdict]:
        before, now = (
            result_of(artifacts=[artifact_result("int8", runtime=runtime)], environment=environment)
            for environment in (there, here)
        )
        update_baseline(before, path)
        return [v for v in gate(now, baseline=path) if v.outcome is Outcome.WARN]

    assert warnings("ort-cpu") == []
    (warning,) = warnings("openvino")
    assert "openvino 2026.0.0 -> 2026.4.1" in warning.reason
