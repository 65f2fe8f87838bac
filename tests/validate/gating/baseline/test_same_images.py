"""What a change on the same images says of images and classes, one by one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.validate.gating.baseline.test_paired import _accept, _confusions, _gate, _judged
from tests.validate.results import artifact_result, written
from validate.gating.baseline.baseline import Acceptance, BaselineEntry
from validate.gating.baseline.baseline_counts import StoredCounts
from validate.gating.baseline.paired import Lists, judge_same_images
from validate.gating.rules import Rules
from validate.gating.verdict import Outcome, Verdict

CLASSES = ("background", "cat")


def binary(*images: tuple[int, int, int]) -> Any:
    """Each image's pixels: background, cat, and cat that is called background."""
    return np.stack([np.array([[ground, 0], [lost, cat]]) for ground, cat, lost in images])


def judged(tmp_path: Path, before: Any, now: Any, **rules: Any) -> Verdict:
    """The verdict on int8 when its counts change; fp32 is always right."""
    for name, one in (("before", before), ("now", now)):
        right = np.stack([np.diag(matrix.sum(1)) for matrix in one])
        written(tmp_path / name, {"fp32": right, "int8": one}, classes=CLASSES)
    _accept(tmp_path / "before", tmp_path / "baseline.json")
    return _gate(tmp_path / "now", tmp_path / "baseline.json", **rules)[1]


def test_no_image_is_named_where_none_lost(tmp_path: Path) -> None:
    verdict = _judged(tmp_path, _confusions([100, 50]), _confusions([99, 50]))
    assert verdict.evidence[-1] == "images: 0 got worse, 1 better, of 2 (sign test p = 1)"


def test_images_that_lost_alike_are_named_in_their_order(tmp_path: Path) -> None:
    before = binary(*[(500, 100, 0)] * 40)
    after = binary(*[(500, 90, 10)] * 20, *[(500, 70, 30)] * 20)
    verdict = judged(tmp_path, before, after)
    assert verdict.evidence[-1] == (
        "images that lost most right pixels: image_020 -5.00 %, image_021 -5.00 %, "
        "image_022 -5.00 %"
    )


def test_an_image_may_lose_the_only_pixel_it_has(tmp_path: Path) -> None:
    """And one without a labelled pixel has none to lose."""
    verdict = judged(
        tmp_path,
        binary((500, 100, 0), (0, 1, 0), (0, 0, 0)),
        binary((500, 100, 0), (0, 0, 1), (0, 0, 0)),
    )
    assert verdict.evidence[-2:] == (
        "images: 1 got worse, 0 better, of 3 (sign test p = 1)",
        "images that lost most right pixels: image_001 -100.00 %",
    )


def test_what_did_not_change_has_no_interval_to_speak_of(tmp_path: Path) -> None:
    verdict = _judged(tmp_path, _confusions([100, 50]), _confusions([100, 50]))
    assert verdict.interval == (0, 0) and verdict.check == "baseline"
    assert verdict.evidence == ()
    assert verdict.reason.endswith("is +0.000 against the baseline, tolerance 0.2")


def test_a_class_that_is_no_longer_invented_is_no_loss(tmp_path: Path) -> None:
    """No label has a dog. Before, 30 pixels of cat were called one."""
    right = np.stack([np.diag([1000, 500, 0])] * 4)
    invented = right.copy()
    invented[:, 1] = (0, 470, 30)
    for name, int8 in (("before", invented), ("now", right)):
        written(tmp_path / name, {"fp32": right, "int8": int8})
    _accept(tmp_path / "before", tmp_path / "baseline.json")
    verdict = _gate(tmp_path / "now", tmp_path / "baseline.json")[1]
    assert verdict.outcome is Outcome.PASS
    assert verdict.evidence[0] == "classes that carry it: cat +6.00"


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        ((None, 90.0), (None, None), "no fidelity mIoU in the baseline"),
        ((None, None), (None, 90.0), "no fidelity mIoU in the result"),
        ((None, 90.0), (80.0, 90.0), "no mIoU in the result"),
        ((80.0, 90.0), (None, 90.0), "no mIoU in the baseline"),
    ],
)
def test_a_figure_that_one_side_lacks_cannot_be_compared(
    now: tuple[float | None, float | None], before: tuple[float | None, float | None], said: str
) -> None:
    """Earlier versions kept less, and labels may be void everywhere. Each pair: mIoU, fidelity."""
    accepted = Acceptance(
        date=None, reason="why", reference="fp32", miou=before[0], fidelity_miou=before[1],
        agreement=99.0, drop=None, environment={},
    )  # fmt: skip
    entry = BaselineEntry(
        name="net", protocol="squash", ids_sha256="d", id="int8", runtime="x", accepted=[accepted]
    )
    artifact = artifact_result("int8", miou=now[0], fidelity_miou=now[1])
    verdict = judge_same_images(
        artifact, entry, None, None, Lists((), CLASSES), Rules(), "baseline"
    )
    assert verdict == Verdict("int8", Outcome.UNKNOWN, said, "baseline")


@pytest.mark.parametrize(
    ("change", "carried"),
    [
        ({"cat": 0.25, "dog": 0.5, "cow": 0.001, "background": -0.125}, "dog +0.50, cat +0.25"),
        ({"cat": -0.25, "dog": -0.5, "cow": 0.5}, "dog -0.50, cat -0.25"),
        ({"cat": 2.0, "dog": -2.0}, None),  # of no change there is none to carry
    ],
)
def test_classes_that_carry_a_change_are_named_the_largest_first(
    change: dict[str, float], carried: str | None
) -> None:
    verdict = _verdict({name: 50 + points for name, points in change.items()}, [
        _accepted(None, (80.0, 100.0, None), class_iou=dict.fromkeys(change, 50.0))
    ])  # fmt: skip
    assert verdict.evidence == ((f"classes that carry it: {carried}",) if carried else ())
    assert verdict.interval is None  # which takes counts, as a class does not
    lost = _verdict({"cat": 40.0}, [_accepted(None, (80.0, 100.0, 50.0))])
    assert lost.outcome is Outcome.FAIL and "cat -10.000, tolerance 2" in lost.reason


def test_a_class_that_came_or_went_since_the_anchor_drifts_nowhere() -> None:
    history = [
        _accepted("2026-01-01", (80.0, 100.0, 50.0), anchor=True),
        _accepted("2026-01-02", (80.0, 100.0, None)),
    ]
    verdict = _verdict({"cat": None, "dog": 50.0}, history)
    assert verdict.outcome is Outcome.PASS
    assert verdict.evidence == ("accepted since the anchor of 2026-01-01: 2026-01-02 +0.000 (why)",)


@pytest.mark.parametrize(
    ("before", "now"),
    [(0, None), (None, 0), (0, 1), (2, 0), (0, 2)],
)
def test_counts_that_do_not_belong_together_give_no_interval(
    before: int | None, now: int | None
) -> None:
    """Of one side only, of other numbers of classes, or without labels."""
    kept = (
        StoredCounts(np.ones((2, 3, 2), np.int64), None),
        StoredCounts(np.ones((2, 3, 4), np.int64), None),
        StoredCounts(None, np.ones((2, 3, 2), np.int64)),
    )
    sides = [None if index is None else kept[index] for index in (before, now)]
    verdict = _verdict({}, [_accepted(None, (80.0, 100.0, None))], sides)
    assert (verdict.outcome, verdict.interval, verdict.evidence) == (Outcome.PASS, None, ())


def _verdict(
    classes: dict[str, float | None], history: list[Acceptance], counts: Any = (None, None)
) -> Verdict:
    """int8 of 80 mIoU with these classes' IoU, against its entry and its counts before and now."""
    entry = BaselineEntry(
        name="net", protocol="squash", ids_sha256="d", id="int8", runtime="x", accepted=history
    )
    artifact = artifact_result("int8", class_iou=classes)
    lists = Lists(("a", "b"), CLASSES)
    return judge_same_images(artifact, entry, *counts, lists, Rules(), "baseline")


def _accepted(day: str | None, figures: tuple[float, float, float | None], **more: Any) -> Any:
    """An acceptance with this mIoU (or fidelity), agreement and IoU of cat."""
    value, agreement, cat = figures
    labelled = more.pop("labelled", True)
    return Acceptance(
        date=day, reason="why", reference="fp32", environment={}, drop=None, agreement=agreement,
        miou=value if labelled else None, fidelity_miou=None if labelled else value,
        **({"class_iou": None if cat is None else {"cat": cat}} | more),
    )  # fmt: skip


@pytest.mark.parametrize(("labelled", "noun"), [(True, "mIoU"), (False, "fidelity mIoU")])
def test_what_small_steps_add_up_to_is_said_figure_by_figure(labelled: bool, noun: str) -> None:
    """Each is within its tolerance of the last, and beyond twice that of the best."""
    history = [
        _accepted("2025-12-31", (90.0, 99.9, 90.0), anchor=True, labelled=labelled),
        _accepted("2026-01-01", (80.0, 99.0, 70.0), anchor=True, labelled=labelled),
        _accepted("2026-01-02", (80.3, 99.1, 71.0), labelled=labelled),
        _accepted("2026-01-03", (80.1, 98.9, None), labelled=labelled),
        _accepted("2026-01-04", (79.9, 98.8, 68.9), labelled=labelled),
    ]
    entry = BaselineEntry(
        name="net", protocol="squash", ids_sha256="d", id="int8", runtime="x", accepted=history
    )
    artifact = artifact_result(
        "int8", agreement=98.65, class_iou={"cat": 66.95},
        **{"miou" if labelled else "fidelity_miou": 79.75}, **({} if labelled else {"miou": None}),
    )  # fmt: skip
    verdict = judge_same_images(artifact, entry, None, None, Lists((), CLASSES), Rules(), "check")
    assert verdict.outcome is Outcome.FAIL
    since = "since the anchor of 2026-01-01"
    assert verdict.reason == (
        f"{noun} 79.750 is -0.150 against the baseline, tolerance 0.2; "
        f"{noun} {since} -0.550, tolerance 0.4; agreement {since} -0.450, tolerance 0.4; "
        f"cat {since} -4.050, tolerance 4"
    )
    wide = Rules(max_drift=0.6, agreement_tolerance=0.25, class_tolerance=2.1)
    verdict = judge_same_images(artifact, entry, None, None, Lists((), CLASSES), wide, "check")
    assert verdict.outcome is Outcome.PASS
