"""Changes against a baseline of the same images, with the counts behind them."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.common.errors import DataError, UsageError
from tests.validate.results import accept, artifact_result, result_of, trusted, written
from validate.gating.baseline.acceptance import Update, update_baseline
from validate.gating.baseline.baseline import load_baseline
from validate.gating.counted import count
from validate.gating.gate import gate
from validate.gating.rules import Rules
from validate.gating.verdict import Outcome, Verdict, exit_code
from validate.metrics.counts import counts_miou, counts_of
from validate.metrics.metrics import miou
from validate.result.result import Result

CLASSES = 3
PIXELS = 1000
Matrices = np.ndarray[Any, np.dtype[np.int64]]


def _confusions(wrong: list[int], seed: int = 0) -> Matrices:
    """One matrix per image; `wrong` of each image's pixels of class 1 are called class 2."""
    rng = np.random.default_rng(seed)
    found = np.zeros((len(wrong), CLASSES, CLASSES), np.int64)
    for matrix, missed in zip(found, wrong, strict=True):
        matrix[0, 0] = rng.integers(PIXELS, 2 * PIXELS)
        matrix[1] = (0, PIXELS - missed, missed)
        matrix[2, 2] = PIXELS
    return found


def _written(folder: Path, confusions: Matrices, **changes: Any) -> Result:
    """A result of fp32, which is always right, and int8 in `folder`."""
    right = _confusions([0] * len(confusions), changes.pop("seed", 0))
    return written(folder, {"fp32": right, "int8": confusions}, **changes)


def _accept(
    folder: Path, baseline: Path, reason: str = "a test", *, anchor: bool = False
) -> Update:
    from validate.result.result import load_result

    counted = count(load_result(folder / "result.json"), folder, Rules())
    return update_baseline([counted], baseline, reason, new_anchor=anchor)


def _baseline(tmp_path: Path, confusions: Matrices, **changes: Any) -> Path:
    _written(tmp_path / "before", confusions, **changes)
    _accept(tmp_path / "before", tmp_path / "baseline.json")
    return tmp_path / "baseline.json"


def _gate(folder: Path, baseline: Path, **rules: Any) -> list[Verdict]:
    from validate.result.result import load_result

    result = load_result(folder / "result.json")
    return gate(result, folder=folder, baseline=baseline, rules=Rules(**rules))


def _judged(tmp_path: Path, before: Matrices, now: Matrices, **rules: Any) -> Verdict:
    """The verdict on int8."""
    path = _baseline(tmp_path, before)
    _written(tmp_path / "now", now)
    _, verdict = _gate(tmp_path / "now", path, **rules)
    return verdict


def test_counts_add_up_to_the_miou_of_the_matrices() -> None:
    rng = np.random.default_rng(1)
    confusions = rng.integers(0, 50, (7, 5, 5))
    confusions[:, 3] = 0  # a class that is only predicted
    counts = counts_of(confusions)
    assert counts.shape == (7, 3, 5)
    assert counts_miou(counts) == pytest.approx(miou(confusions.sum(0)), abs=1e-12)
    assert counts_miou(np.zeros((2, 3, 4), np.int64)) is None
    one_pixel_of_a_cat = np.array([[[3, 0], [1, 0]]])
    assert counts_miou(counts_of(one_pixel_of_a_cat)) == 100 * (3 / 4 + 0) / 2


def test_a_loss_is_a_loss_in_however_few_images(tmp_path: Path) -> None:
    before = _confusions([100] * 30)
    everywhere = _judged(tmp_path, before, _confusions([120] * 30))
    assert everywhere.outcome is Outcome.FAIL
    low, high = everywhere.interval or (0, 0)
    # 20 of 1000 pixels of one of 3 classes
    assert everywhere.value == pytest.approx(-1.2078, abs=1e-4)
    assert low - 1e-9 <= everywhere.value <= high + 1e-9 and high < -0.2
    assert f"other images: {low:+.3f} to {high:+.3f}" in everywhere.reason

    lonely = [100] * 29 + [700]  # as many pixels, in one image
    for choice in (None, "pass", "fail"):
        verdict = _judged(tmp_path, before, _confusions(lonely), on_inconclusive=choice)
        assert verdict.outcome is Outcome.FAIL
        assert verdict.value == pytest.approx(everywhere.value)
        assert verdict.interval is not None and verdict.interval[1] >= 0  # and that is no excuse


def test_no_change_passes_without_any_tolerance(tmp_path: Path) -> None:
    same = _confusions([100, 50, 0, 10])
    none = {"tolerance": 0, "class_tolerance": 0, "agreement_tolerance": 0}
    verdict = _judged(tmp_path, same, same, **none)
    assert verdict.outcome is Outcome.PASS and verdict.value == 0
    one_pixel = _confusions([101, 50, 0, 10])
    assert _judged(tmp_path / "one", same, one_pixel, **none).outcome is Outcome.FAIL


def test_a_class_that_a_mean_hides_fails_and_is_named(tmp_path: Path) -> None:
    """Class 1 (cat) loses 40 of 1000 pixels, class 2 (dog) gets them right that it had wrong."""
    before = _confusions([0] * 10)
    before[:, 2] = (0, 40, PIXELS - 40)
    verdict = _judged(tmp_path, before, _confusions([40] * 10))
    assert verdict.value == pytest.approx(0) and verdict.outcome is Outcome.PASS
    now = _confusions([80] * 10)
    verdict = _judged(tmp_path / "b", before, now, tolerance=5)
    assert verdict.outcome is Outcome.FAIL and "cat -" in verdict.reason
    assert "tolerance 2" in verdict.reason
    assert any("classes that carry it" in sentence for sentence in verdict.evidence)
    wide = _judged(tmp_path / "c", before, now, tolerance=5, class_tolerance=10)
    assert wide.outcome is Outcome.PASS


def _against(differing: int, images: int = 4) -> Matrices:
    """`differing` of 1000 pixels per image are another class than the reference's."""
    return np.stack([np.array([[1000 - differing, differing], [0, 500]])] * images)


def test_agreement_that_miou_hides_fails(tmp_path: Path) -> None:
    """Both get the same pixels right; int8 now differs from fp32 elsewhere, on void, say."""
    right = np.stack([np.diag([500, 300])] * 4)
    confusions = {"fp32": right, "int8": right}
    for name, differing in (("before", 3), ("now", 9)):
        against = {"fp32": _against(0), "int8": _against(differing)}
        written(tmp_path / name, confusions, against, classes=("background", "cat"))
    _accept(tmp_path / "before", tmp_path / "baseline.json")
    _, verdict = _gate(tmp_path / "now", tmp_path / "baseline.json")
    assert verdict.outcome is Outcome.FAIL and verdict.value == 0
    # 24 of 6000 pixels
    assert "agreement -0.400, tolerance 0.2" in verdict.reason
    assert "pixels that differ from the reference: 0.600 %, before 0.200 %" in verdict.evidence
    _, wide = _gate(tmp_path / "now", tmp_path / "baseline.json", agreement_tolerance=0.5)
    assert wide.outcome is Outcome.PASS


# ---- history


def test_a_climb_does_not_make_room_for_a_ratchet(tmp_path: Path) -> None:
    """Drift counts from the best since the anchor: what was gained can be lost unseen, too."""
    path = _baseline(tmp_path, _confusions([150] * 20))
    for number, wrong in enumerate((100, 102, 104, 106)):
        _written(tmp_path / str(number), _confusions([wrong] * 20))
        _accept(tmp_path / str(number), path, "a change")
    _written(tmp_path / "last", _confusions([108] * 20))
    assert _gate(tmp_path / "last", path)[1].outcome is Outcome.FAIL
    assert _gate(tmp_path / "last", path, max_drift=1)[1].outcome is Outcome.PASS
    _accept(tmp_path / "last", path, "a smaller network", anchor=True)
    assert _gate(tmp_path / "last", path)[1].outcome is Outcome.PASS


def test_history_keeps_reasons_and_only_the_last_counts(tmp_path: Path) -> None:
    path = _baseline(tmp_path, _confusions([100] * 5))
    (old,) = (f for f in (tmp_path / "baseline-counts").iterdir() if "int8" in f.name)
    _written(tmp_path / "now", _confusions([101] * 5))
    done = _accept(tmp_path / "now", path, "another optimizer")
    assert (done.accepted, done.unchanged, done.retired) == (["int8"], ["fp32"], [])
    (entry,) = (e for e in load_baseline(path).entries if e.id == "int8")
    assert [one.reason for one in entry.accepted] == ["a test", "another optimizer"]
    assert [one.anchor for one in entry.accepted] == [True, False]
    assert [one.counts is None for one in entry.accepted] == [True, False]
    assert not old.exists()
    again = path.read_bytes()
    assert _accept(tmp_path / "now", path, "the same once more").accepted == []
    assert path.read_bytes() == again


def test_an_acceptance_needs_a_reason_and_a_result_that_holds(tmp_path: Path) -> None:
    path = _baseline(tmp_path, _confusions([100] * 5))
    before = path.read_bytes()
    with pytest.raises(UsageError, match="--reason"):
        _accept(tmp_path / "before", path, " ")
    file = tmp_path / "before/result.json"
    document = json.loads(file.read_text())
    document["artifacts"][1]["miou"] = 99.0
    file.write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"not accepted: int8: .*miou 99.0, counted"):
        _accept(tmp_path / "before", path)
    assert path.read_bytes() == before


def test_a_baseline_of_format_1_is_read_and_upgraded(tmp_path: Path) -> None:
    path = _baseline(tmp_path, _confusions([100] * 5))
    document = json.loads(path.read_text())
    entries = []
    for entry in document["entries"]:
        (accepted,) = entry.pop("accepted")
        for name in ("date", "reason", "anchor", "reference", "sha256", "noise", "seal"):
            del accepted[name]
        del entry["retired"]
        entries.append(entry | accepted)
    path.write_text(json.dumps({"format": 1, "entries": entries}))
    assert exit_code(_gate(tmp_path / "before", path)) == 0
    _written(tmp_path / "now", _confusions([140] * 5))
    assert exit_code(_gate(tmp_path / "now", path)) == 1
    _written(tmp_path / "next", _confusions([101] * 5))
    _accept(tmp_path / "next", path, "upgraded")
    upgraded = load_baseline(path)
    assert json.loads(path.read_text())["format"] == 2
    (entry,) = (e for e in upgraded.entries if e.id == "int8")
    assert [one.date is None for one in entry.accepted] == [True, False]
    assert entry.accepted[0].anchor


def _by_hand(path: Path, change: Callable[[dict[str, Any]], None], **more: Any) -> None:
    """Change int8's last acceptance, and take its date and seal, as an earlier version's."""
    document = json.loads(path.read_text())
    (entry,) = (e for e in document["entries"] if e["id"] == "int8")
    accepted = entry["accepted"][-1]
    change(accepted)
    accepted.update({"date": None, "seal": None, **more})
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "change",
    [{"miou": 1.0}, {"noise": {"settings": [], "miou": 50, "class_iou": 99, "agreement": 9}},
     {"reason": "another"}, {"class_iou": {}}, {"anchor": False}, {"seal": None}],
)  # fmt: skip
def test_an_acceptance_that_was_changed_is_an_error(tmp_path: Path, change: dict[str, Any]) -> None:
    path = _baseline(tmp_path, _confusions([100] * 5))
    document = json.loads(path.read_text())
    document["entries"][0]["accepted"][0].update(change)
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"acceptance 1 of net fp32 was changed"):
        _gate(tmp_path / "before", path)


def test_an_acceptance_that_was_taken_out_is_missed(tmp_path: Path) -> None:
    path = _baseline(tmp_path, _confusions([100] * 5))
    for wrong in (101, 102):
        _written(tmp_path / str(wrong), _confusions([wrong] * 5))
        _accept(tmp_path / str(wrong), path, "a step")
    document = json.loads(path.read_text())
    (entry,) = (e for e in document["entries"] if e["id"] == "int8")
    del entry["accepted"][1]
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match="acceptance 2 of net int8 was changed"):
        _gate(tmp_path / "before", path)


def test_an_entry_that_is_there_twice_is_an_error(tmp_path: Path) -> None:
    path = _baseline(tmp_path, _confusions([100] * 5))
    document = json.loads(path.read_text())
    document["entries"].append(document["entries"][0])
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match="more than once"):
        _gate(tmp_path / "before", path)


def test_an_artifact_that_comes_back_brings_its_anchor(tmp_path: Path) -> None:
    """Leaving it out of one update does not begin a new count of what was lost."""
    path = _baseline(tmp_path, _confusions([100] * 20))
    right = _confusions([0] * 20)
    written(tmp_path / "without", {"fp32": right})
    assert _accept(tmp_path / "without", path, "int8 waits").retired == ["int8"]
    assert exit_code(_gate(tmp_path / "without", path)) == 0  # nobody misses it
    _written(tmp_path / "back", _confusions([103] * 20))
    _accept(tmp_path / "back", path, "int8 is back")
    _written(tmp_path / "next", _confusions([106] * 20))
    verdict = _gate(tmp_path / "next", path, max_drift=0.3)[1]
    assert verdict.outcome is Outcome.FAIL and "since the anchor" in verdict.reason


def test_another_runtime_has_an_entry_of_its_own(tmp_path: Path) -> None:
    from validate.result.result import load_result
    from validate.result.sealing import sealed

    path = _baseline(tmp_path, _confusions([100] * 5))
    result = load_result(tmp_path / "before/result.json")
    artifacts = [a.model_copy(update={"runtime": "openvino"}) for a in result.artifacts]
    other = sealed(result.model_copy(update={"artifacts": artifacts}), result.counts_sha256 or "")
    (tmp_path / "before/result.json").write_text(other.to_json())
    done = _accept(tmp_path / "before", path, "openvino, too")
    assert done.retired == [] and done.entries == 4
    verdicts = _gate(tmp_path / "before", path)
    assert exit_code(verdicts) == 0
    assert "by ort-cpu" in verdicts[-1].reason and verdicts[-1].outcome is Outcome.WARN


def _unlabelled(folder: Path, reference: Matrices, int8: Matrices) -> None:
    """Counts against the reference's classes, and nothing else."""
    written(folder, {}, {"fp32": reference, "int8": int8})


def test_without_labels_a_lost_class_fails_too(tmp_path: Path) -> None:
    right = np.stack([np.diag([2000, 300, 300])] * 6)
    before, now = right.copy(), right.copy()
    before[:, 0] = (1800, 100, 100)  # repaired, while cat gets lost
    now[:, 1] = (0, 250, 50)
    _unlabelled(tmp_path / "before", right, before)
    _accept(tmp_path / "before", tmp_path / "baseline.json")
    _unlabelled(tmp_path / "now", right, now)
    verdict = _gate(tmp_path / "now", tmp_path / "baseline.json", tolerance=50)[1]
    assert verdict.outcome is Outcome.PASS  # cat gained: 300 of 400 before, 250 of 300 now
    worse = now.copy()
    worse[:, 1] = (0, 100, 200)
    _unlabelled(tmp_path / "worse", right, worse)
    verdict = _gate(tmp_path / "worse", tmp_path / "baseline.json", tolerance=50)[1]
    assert verdict.outcome is Outcome.FAIL and "cat -41.667" in verdict.reason


# ---- labels, files


def test_other_labels_under_the_same_image_ids_are_not_compared(tmp_path: Path) -> None:
    path = _baseline(tmp_path, _confusions([0] * 4, seed=0), seed=0)
    _written(tmp_path / "now", _confusions([0] * 4, seed=1), seed=1)
    for verdict in _gate(tmp_path / "now", path):
        assert verdict.outcome is Outcome.UNKNOWN
        assert "not the labels of the baseline" in verdict.reason


def test_counts_are_one_small_file_beside_the_baseline(tmp_path: Path) -> None:
    path = _baseline(tmp_path, _confusions([100] * 200))
    entry = next(e for e in load_baseline(path).entries if e.id == "int8")
    assert entry.last.counts is not None
    file = tmp_path / entry.last.counts.file
    assert file.parent == tmp_path / "baseline-counts"
    assert file.name.startswith("net-squash-int8-")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == entry.last.counts.sha256
    assert file.stat().st_size < 5000


@pytest.mark.parametrize("file", ["../precious.npz", "/tmp/precious.npz", "x-counts/../p.npz"])
def test_a_baseline_names_no_files_outside_its_own_folder(tmp_path: Path, file: str) -> None:
    """An update removes the counts that no entry names any more."""
    path = _baseline(tmp_path, _confusions([100] * 5))
    document = json.loads(path.read_text())
    document["entries"][0]["accepted"][0]["counts"]["file"] = file
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"baseline\.json: damaged \(entries\.0\.accepted\.0\.c"):
        _accept(tmp_path / "before", path)


def test_results_without_labelled_pixels_are_held_against_fidelity(tmp_path: Path) -> None:
    nothing: dict[str, Any] = {"miou": None, "drop": None, "class_iou": {}}
    masks = result_of().dataset.model_copy(update={"labels_sha256": "d" * 64})

    def result(fidelity: float) -> Result:
        int8 = artifact_result("int8", fidelity_miou=fidelity, **nothing)
        return result_of(int8, dataset=masks)

    path = tmp_path / "baseline.json"
    accept(result(95.0), path)
    verdict = next(v for v in trusted(result(94.0), baseline=path) if v.id == "int8")
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason.startswith("fidelity mIoU 94.000 is -1.000 against the baseline")


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
        ({"versions": 7, "isa": "avx2", "session_settings": []}, "instruction sets"),
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
    accept(result_of(artifact_result("int8"), environment=_environment()), path)
    now = result_of(artifact_result("int8"), environment=_environment(**changes))
    verdicts = trusted(now, baseline=path)
    warnings = [v for v in verdicts if v.outcome is Outcome.WARN]
    assert [v.outcome for v in verdicts if v not in warnings] == [Outcome.PASS, Outcome.PASS]
    assert len(warnings) == (says is not None)
    if says:
        assert says in warnings[0].reason and "baseline.json" in warnings[0].reason


def test_another_provider_of_the_same_runtime_is_a_difference_too(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    accept(result_of(artifact_result("int8")), path)
    other = artifact_result("int8", provider="another")
    *_, warning = trusted(result_of(other), baseline=path)
    assert warning.outcome is Outcome.WARN
    assert "provider of int8 CPUExecutionProvider -> another" in warning.reason


def test_a_package_of_another_runtime_is_no_difference(tmp_path: Path) -> None:
    there, here = ({"versions": {"openvino": version}} for version in ("2026.0.0", "2026.4.1"))

    def warnings(runtime: str) -> list[Verdict]:
        path = tmp_path / f"{runtime}.json"
        before, now = (
            result_of(artifact_result("int8", runtime=runtime), environment=environment)
            for environment in (there, here)
        )
        accept(before, path)
        return [v for v in trusted(now, baseline=path) if v.outcome is Outcome.WARN]

    assert warnings("ort-cpu") == []
    (warning,) = warnings("openvino")
    assert "openvino 2026.0.0 -> 2026.4.1" in warning.reason
