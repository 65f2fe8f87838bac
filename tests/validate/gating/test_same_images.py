"""What a change on the same images says of images and classes, one by one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.validate.gating.test_paired import _accept, _confusions, _gate, _judged
from tests.validate.results import artifact_result, written
from validate.gating.baseline import Acceptance, BaselineEntry
from validate.gating.paired import Lists, judge_same_images
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
    before = binary(*[(500, 100, 0)] * 60)
    verdict = judged(tmp_path, before, binary(*[(500, 70, 30)] * 60))
    assert verdict.evidence[-1] == (
        "images that lost most right pixels: image_000 -5.00 %, image_001 -5.00 %, "
        "image_002 -5.00 %"
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
