"""A baseline of other images: two samples, and no silent verdict."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.validate.results import written
from validate.gating.baseline.acceptance import update_baseline
from validate.gating.baseline.unpaired import Side, growth, judge_other_images
from validate.gating.counted import count
from validate.gating.gate import gate
from validate.gating.proof.plan import (
    against_others,
    alone,
    images_needed,
    planted,
    power,
)
from validate.gating.rules import Rules
from validate.gating.verdict import Outcome, Verdict
from validate.metrics.counts import counts_of
from validate.metrics.metrics import miou
from validate.metrics.power import detectable, drop_error, mean_iou

CLASSES = ("background", "cat")


def _confusions(images: int, missed: float, seed: int, spread: float = 30) -> Any:
    """Images whose cat has 1000 pixels, of which about `missed` are called background."""
    rng = np.random.default_rng(seed)
    wrong = np.clip(rng.normal(missed, spread, images), 0, 1000).astype(np.int64)
    return np.stack([np.array([[4000, 0], [w, 1000 - w]]) for w in wrong])


def _pair(folder: Path, images: int, missed: float, seed: int, **changes: Any) -> None:
    confusions = {
        "fp32": _confusions(images, 100, seed),
        "int8": _confusions(images, missed, seed + 1000),
    }
    written(folder, confusions, classes=CLASSES, **changes)


def _verdict(tmp_path: Path, missed: float, **rules: Any) -> Verdict:
    """int8 on 50 images against a baseline of 60 others, where it missed 120 pixels."""
    from validate.result.result import load_result

    _pair(tmp_path / "before", 60, 120, 1)
    _pair(tmp_path / "now", 50, missed, 2)
    before = load_result(tmp_path / "before/result.json")
    counted = count(before, tmp_path / "before", Rules())
    update_baseline([counted], tmp_path / "baseline.json", "a test")
    verdicts = gate(
        load_result(tmp_path / "now/result.json"),
        folder=tmp_path / "now",
        baseline=tmp_path / "baseline.json",
        rules=Rules(**rules),
    )
    return next(v for v in verdicts if v.id == "int8")


def test_a_drop_that_surely_grew_fails(tmp_path: Path) -> None:
    verdict = _verdict(tmp_path, 220)
    assert verdict.outcome is Outcome.FAIL and not verdict.inconclusive
    assert "unpaired comparison" in verdict.reason and "detectable from" in verdict.reason
    low, high = verdict.interval or (0, 0)
    assert low < (verdict.value or 0) < high < 0


@pytest.mark.parametrize("missed", [220, 120])
def test_an_unpaired_comparison_states_both_drops_and_how_sure_it_is(
    tmp_path: Path, missed: float
) -> None:
    verdict = _verdict(tmp_path, missed)
    here, there = (
        (miou(_confusions(images, 100, seed).sum(0)) or 0)
        - (miou(_confusions(images, wrong, seed + 1000).sum(0)) or 0)
        for images, wrong, seed in ((50, missed, 2), (60, 120, 1))
    )
    low, high = verdict.interval or (0, 0)
    value = verdict.value or 0
    assert value == pytest.approx(there - here)
    assert (verdict.limit, verdict.check) == (-0.2, "baseline")
    error = (high - value) / 1.959964
    assert verdict.reason == (
        f"other images than the baseline's, so an unpaired comparison: drop {here:+.3f} here, "
        f"{there:+.3f} there, grown by {here - there:+.3f} (95 % interval {-high:+.3f} to "
        f"{-low:+.3f}), tolerance 0.2; detectable from {2.801585 * error:.2f}"
    ) + (
        "; validate on the baseline's images, accept these with --update-baseline, or decide with "
        "--on-inconclusive"
    ) * (missed == 120)


def test_without_counts_on_both_sides_nothing_can_be_told_unless_it_was_decided() -> None:
    side = _side()
    for now, before in ((None, side), (side, None), (None, None)):
        verdict = judge_other_images("int8", now, before, Rules(), "a check")
        assert (verdict.id, verdict.outcome) == ("int8", Outcome.UNKNOWN)
        assert (verdict.check, verdict.inconclusive) == ("a check", True)
        assert verdict.reason == (
            "other images than the baseline's, and no counts of drops on both sides; validate on "
            "the baseline's images, accept these with --update-baseline, or decide with "
            "--on-inconclusive"
        )
        for choice, outcome in (("pass", Outcome.PASS), ("fail", Outcome.FAIL)):
            decided = judge_other_images(
                "int8", now, before, Rules(on_inconclusive=choice), "a check"
            )
            assert decided.outcome is outcome


def test_a_change_within_the_noise_of_the_images_cannot_be_told(tmp_path: Path) -> None:
    verdict = _verdict(tmp_path, 120)
    assert verdict.outcome is Outcome.UNKNOWN and verdict.inconclusive
    assert "--on-inconclusive" in verdict.reason
    assert _verdict(tmp_path, 120, on_inconclusive="pass").outcome is Outcome.PASS
    assert _verdict(tmp_path, 120, on_inconclusive="fail").outcome is Outcome.FAIL


def test_a_wide_tolerance_passes_when_the_whole_interval_is_inside(tmp_path: Path) -> None:
    assert _verdict(tmp_path, 120, tolerance=10).outcome is Outcome.PASS


def test_a_drops_error_is_that_of_the_mean_of_many_images() -> None:
    """Small changes of IoU are linear in the pixels, so that the drop is a mean: by hand."""
    reference, artifact = (counts_of(_confusions(80, m, s)) for m, s in ((100, 5), (150, 6)))
    lost = reference[:, 0, 1] - artifact[:, 0, 1]
    per_image = 100 * (lost * 4000 / 4125**2 + lost / 1000) / 2
    by_hand = per_image.std(ddof=1) / np.sqrt(80)
    assert drop_error(reference, artifact) == pytest.approx(by_hand, rel=0.1)


def test_errors_of_independent_samples_add_like_squares() -> None:
    side = Side(*(counts_of(_confusions(80, m, s)) for m, s in ((100, 5), (150, 6))))
    value, (low, high) = growth(side, side)
    assert value == 0
    assert high == -low == pytest.approx(1.959964 * np.sqrt(2) * side.error)


def test_the_detectable_change_is_what_a_normal_table_says() -> None:
    assert detectable(1.0) == pytest.approx(2.801585, abs=1e-5)  # 1.959964 + 0.841621


def test_mean_iou_is_that_of_the_matrices() -> None:
    rng = np.random.default_rng(2)
    confusions = rng.integers(0, 50, (6, 4, 4))
    confusions[:, 2] = 0
    assert float(mean_iou(counts_of(confusions).sum(0))) == pytest.approx(miou(confusions.sum(0)))
    assert np.isnan(mean_iou(np.zeros((3, 4), np.int64)))


def _side() -> Side:
    return Side(*(counts_of(_confusions(60, m, s)) for m, s in ((100, 7), (130, 8))))


def test_planted_counts_lose_what_was_asked_for() -> None:
    side = _side()
    before = mean_iou(side.artifact.sum(0))
    after = planted(side.artifact, 2.0)
    assert float(before - mean_iou(after.sum(0))) == pytest.approx(2, abs=0.05)
    assert np.array_equal(after[:, 1], side.artifact[:, 1]) and (after >= 0).all()


@pytest.mark.slow
def test_a_plan_keeps_its_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws the plan has not seen: 80 % of them show the loss, and few do without one."""
    side = _side()
    needed = images_needed(side, 0.6, against_others)
    assert needed is not None and 4 < needed < 2000
    assert power(side, 0.6, needed, against_others, seed=99) == pytest.approx(80, abs=8)
    assert power(side, 0.0, needed, against_others, seed=99) < 5
    alone_needed = images_needed(side, 0.6, alone)
    assert alone_needed is not None and alone_needed < needed
    monkeypatch.setattr("validate.gating.proof.plan.MOST", alone_needed // 2)
    assert images_needed(side, 0.6, alone) is None  # nobody has so many
