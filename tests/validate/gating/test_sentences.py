"""What a verdict says, word by word: people and tools read it."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.validate.gating.baseline.test_paired import (
    _accept,
    _confusions,
    _gate,
    _written,
)
from tests.validate.results import result_of, written
from validate.gating.baseline.baseline import Acceptance, load_baseline
from validate.gating.baseline.paired import _accepted
from validate.gating.judged import Judged
from validate.gating.overall import headline, overall_code, titles
from validate.gating.verdict import Outcome, Verdict
from validate.result.facts import NoiseFacts
from validate.result.result import load_result
from validate.result.sealing import sealed


def iou(hits: float, labelled: float, predicted: float) -> float:
    return 100 * hits / (labelled + predicted - hits)


def with_noise(folder: Path, **noise: Any) -> None:
    """Write the result again, its artifacts with this noise."""
    result = load_result(folder / "result.json")
    facts = NoiseFacts(**noise)
    artifacts = [one.model_copy(update={"noise": facts}) for one in result.artifacts]
    changed = result.model_copy(update={"artifacts": artifacts})
    (folder / "result.json").write_text(sealed(changed, result.counts_sha256 or "").to_json())


def test_a_loss_with_all_that_explains_it(tmp_path: Path) -> None:
    wrong = ([100, 50, 0, 10, 40], [200, 50, 0, 0, 45])
    for name, one in zip(("before", "now"), wrong, strict=True):
        _written(tmp_path / name, _confusions(one))
    path = tmp_path / "baseline.json"
    _accept(tmp_path / "before", path)
    verdict = _gate(tmp_path / "now", path)[1]

    # 5000 pixels of cat, of which some are called dog; 5000 of dog, all found
    cats, dogs = ([f(sum(one)) for one in wrong] for f in (
        lambda n: iou(5000 - n, 5000, 5000 - n), lambda n: iou(5000, 5000, 5000 + n)
    ))  # fmt: skip
    mious = [(100 + cat + dog) / 3 for cat, dog in zip(cats, dogs, strict=True)]
    change = mious[1] - mious[0]
    low, high = verdict.interval or (0, 0)
    assert verdict.outcome is Outcome.FAIL
    assert (verdict.value, verdict.limit) == (pytest.approx(change), -0.2)
    assert verdict.reason == (
        f"mIoU {mious[1]:.3f} is {change:+.3f} against the baseline, tolerance 0.2 "
        f"(other images: {low:+.3f} to {high:+.3f})"
    )
    pixels = [one.sum() for one in _confusions(wrong[0])]
    assert verdict.evidence == (
        f"classes that carry it: cat {cats[1] - cats[0]:+.2f}, dog {dogs[1] - dogs[0]:+.2f}",
        # the third is as it was, the fourth better
        "images: 2 got worse, 1 better, of 5 (sign test p = 1)",
        f"images that lost most right pixels: image_000 {-10_000 / pixels[0]:+.2f} %, "
        f"image_004 {-500 / pixels[4]:+.2f} %",
    )


def test_noise_and_steps_are_told(tmp_path: Path) -> None:
    """Four accepted steps down, the last without a date; noise that allows for what is left."""
    path = tmp_path / "baseline.json"
    steps = (100, 101, 103, 106, 108)
    for number, wrong in enumerate(steps):
        _written(tmp_path / str(number), _confusions([wrong] * 4))
        with_noise(
            tmp_path / str(number), settings=["1 thread", "no fusions"], miou=0.75,
            class_iou=2.5, agreement=0.25,
        )  # fmt: skip
        _accept(tmp_path / str(number), path, f"reason {number}")
    _written(tmp_path / "now", _confusions([112] * 4))
    verdict = _gate(tmp_path / "now", path)[1]
    assert verdict.outcome is Outcome.PASS and verdict.limit == -0.75
    assert "tolerance 0.75 (measured noise)" in verdict.reason
    assert (
        "the same file under other settings (1 thread, no fusions): mIoU by up to 0.750, a class "
        "by 2.500, agreement by 0.250"
    ) in verdict.evidence

    def mious(wrong: int) -> float:
        return (100 + iou(1000 - wrong, 1000, 1000 - wrong) + iou(1000, 1000, 1000 + wrong)) / 3

    accepted = [
        f" {mious(after) - mious(before):+.3f} (reason {number + 1})"
        for number, (before, after) in enumerate(itertools.pairwise(steps))
    ]
    today = load_baseline(path).entries[1].last.date
    assert verdict.evidence[-1] == (
        f"accepted since the anchor of {today}: 1 more, then "
        + "; ".join(f"{today}{one}" for one in accepted[1:])
    )
    # three steps are told whole
    first = tmp_path / "three.json"
    for number in range(4):
        _accept(tmp_path / str(number), first, f"reason {number}")
    assert _gate(tmp_path / "now", first)[1].evidence[-1] == (
        f"accepted since the anchor of {today}: " + "; ".join(f"{today}{s}" for s in accepted[:3])
    )


def test_acceptances_of_unknown_date_and_figure_are_told_without() -> None:
    """Baselines of earlier versions, and artifacts that once had labels."""

    def accepted(date: str | None, miou: float | None, fidelity: float | None) -> Acceptance:
        return Acceptance(
            date=date, reason="why", reference="fp32", miou=miou, fidelity_miou=fidelity,
            agreement=99.0, drop=None, environment={},
        )  # fmt: skip

    history = [accepted(None, 70.0, 90.0), accepted(None, 69.5, 91.0)]
    assert _accepted(history) == "accepted since the anchor: earlier -0.500 (why)"
    history = [accepted("2026-01-02", None, None), accepted("2026-01-03", 69.5, 91.0)]
    assert _accepted(history) == "accepted since the anchor of 2026-01-02: 2026-01-03  (why)"
    history = [accepted("2026-01-02", 70.0, 90.0), accepted("2026-01-03", None, 91.25)]
    assert _accepted(history) == "accepted since the anchor of 2026-01-02: 2026-01-03 +1.250 (why)"


def unlabelled(folder: Path, int8: Any, classes: tuple[str, ...] = ("a", "b", "c")) -> None:
    right = np.stack([np.diag([500, 300, 0])] * 4)
    against = {"fp32": right, "int8": np.stack([np.asarray(int8)] * 4)}
    written(folder, {}, against, classes=classes)


def test_without_labels_classes_that_the_reference_sees_are_judged(tmp_path: Path) -> None:
    """Class c is in no prediction of the reference: what int8 makes of it costs a and b only."""
    unlabelled(tmp_path / "before", [[500, 0, 0], [0, 300, 0], [0, 0, 0]])
    unlabelled(tmp_path / "now", [[490, 0, 10], [0, 290, 10], [0, 0, 0]])
    path = tmp_path / "baseline.json"
    _accept(tmp_path / "before", path)
    verdict = _gate(tmp_path / "now", path)[1]
    assert verdict.outcome is Outcome.FAIL
    # a 490 of 500, b 290 of 300; 20 of 800 pixels
    assert verdict.value == pytest.approx((98 + 100 * 29 / 30) / 2 - 100)
    assert verdict.reason.startswith(
        f"fidelity mIoU {(98 + 100 * 29 / 30) / 2:.3f} is {verdict.value:+.3f} against the "
        "baseline, tolerance 0.2"
    )
    assert "b -3.333, tolerance 2" in verdict.reason
    assert "agreement -2.500, tolerance 0.2" in verdict.reason
    assert verdict.evidence[:2] == (
        "classes that carry it: b -3.33, a -2.00",
        "pixels that differ from the reference: 2.500 %, before 0.000 %",
    )
    # noise of the same file counts for classes, too
    with_noise(tmp_path / "before", settings=["x"], miou=9.0, class_iou=3.5, agreement=9.0)
    _accept(tmp_path / "before", path)
    assert _gate(tmp_path / "now", path)[1].outcome is Outcome.PASS


def test_many_lost_classes_are_counted(tmp_path: Path) -> None:
    names = tuple("abcdef")
    right = np.stack([np.diag([100] * 6)] * 3)
    lost = right.copy()
    for index in range(5):
        lost[:, index, index] -= 10 + index
        lost[:, index, 5] += 10 + index
    for name, int8 in (("before", right), ("now", lost)):
        written(tmp_path / name, {"fp32": right, "int8": int8}, classes=names)
    path = tmp_path / "baseline.json"
    _accept(tmp_path / "before", path)
    verdict = _gate(tmp_path / "now", path, tolerance=50, agreement_tolerance=50)[1]
    last = iou(100, 100, 160) - 100
    # five lose 10 to 14 of 100, the sixth takes 60 that are not its own
    assert verdict.reason.split("; ")[1:] == [
        f"f {last:+.3f}, tolerance 2",
        "e -14.000, tolerance 2",
        "d -13.000, tolerance 2",
        "and 3 more beyond their tolerance",
    ]
    assert verdict.evidence[0] == f"classes that carry it: f {last:+.2f}, e -14.00, d -13.00"


def test_classes_that_are_gone_are_named(tmp_path: Path) -> None:
    right = np.stack([np.diag([100] * 3)] * 3)
    written(tmp_path / "before", {"fp32": right, "int8": right}, classes=("sky", "cat", "dog"))
    path = tmp_path / "baseline.json"
    _accept(tmp_path / "before", path)
    written(tmp_path / "now", {"fp32": right, "int8": right}, classes=("sky", "cat", "hund"))
    for verdict in _gate(tmp_path / "now", path)[:2]:
        assert verdict.outcome is Outcome.UNKNOWN
        assert verdict.reason == (
            "baseline.json has classes that the result has not (dog); validate with the same class "
            "names, or accept the new ones with --update-baseline"
        )


def test_a_reference_that_moved_is_said_in_pixels(tmp_path: Path) -> None:
    right = np.stack([np.diag([500, 300, 0])] * 4)
    other = np.stack([np.diag([480, 320, 0])] * 4)
    for name, one in (("before", right), ("now", other)):
        written(tmp_path / name, {}, {"fp32": one, "int8": one}, classes=("a", "b", "c"))
    path = tmp_path / "baseline.json"
    _accept(tmp_path / "before", path)
    for verdict in _gate(tmp_path / "now", path)[:2]:
        assert verdict.outcome is Outcome.UNKNOWN
        assert verdict.reason == (  # 20 of 800 pixels
            "the reference itself answers otherwise than in the baseline, on 2.50 % of pixels or "
            "more, and there are no labels to say which is right; accept it with --update-baseline"
        )
    assert _gate(tmp_path / "now", path, agreement_tolerance=2.5)[0].outcome is not Outcome.UNKNOWN
    (tmp_path / "now/confusion.npz").unlink()  # then nobody can tell that it moved
    assert _gate(tmp_path / "now", path, trust=True)[0].outcome is Outcome.PASS


def test_a_reference_may_move_by_the_noise_of_its_file_and_not_further(tmp_path: Path) -> None:
    results = {}
    for name, first in (("before", 500), ("now", 496)):  # 4 of 800 pixels, 0.5 %
        seen = {id: np.stack([np.diag([first, 800 - first])] * 4) for id in ("fp32", "int8")}
        results[name] = written(tmp_path / name, {}, seen, classes=("a", "b"))
    path = tmp_path / "baseline.json"
    _accept(tmp_path / "before", path)
    assert _gate(tmp_path / "now", path)[1].outcome is Outcome.UNKNOWN
    noise = NoiseFacts(settings=["1 thread"], miou=1.0, class_iou=1.0, agreement=0.6)
    before = results["before"]
    artifacts = [a.model_copy(update={"noise": noise}) for a in before.artifacts]
    noisy = sealed(before.model_copy(update={"artifacts": artifacts}), before.counts_sha256 or "")
    (tmp_path / "before/result.json").write_text(noisy.to_json())
    _accept(tmp_path / "before", path)
    assert _gate(tmp_path / "now", path)[1].outcome is Outcome.PASS


def test_all_classes_that_are_gone_are_many(tmp_path: Path) -> None:
    right = np.stack([np.diag([100] * 5)] * 3)
    for name, classes in (("before", "abcde"), ("now", "avwxy")):
        written(tmp_path / name, {"fp32": right, "int8": right}, classes=tuple(classes))
    _accept(tmp_path / "before", tmp_path / "baseline.json")
    verdict = _gate(tmp_path / "now", tmp_path / "baseline.json")[0]
    assert "classes that the result has not (b, c, d); validate" in verdict.reason


def judged(name: str, file: str, *outcomes: Outcome) -> Judged:
    verdicts = [Verdict(str(index), outcome, "why") for index, outcome in enumerate(outcomes)]
    return Judged(Path(file), result_of(name=name), verdicts)


def test_results_of_one_name_are_told_apart_by_their_files() -> None:
    alone, one, two = judged("a", "x/r.json"), judged("b", "y/r.json"), judged("b", "z/r.json")
    assert titles([alone, one, two]) == ["a squash", "b squash (y/r.json)", "b squash (z/r.json)"]
    three = [one, two, judged("b", "w/r.json")]
    assert titles(three) == [f"b squash ({folder}/r.json)" for folder in "yzw"]


@pytest.mark.parametrize(
    ("outcomes", "code", "says"),
    [
        ([], 2, "nothing was judged"),
        ([Outcome.WARN], 2, "nothing was judged"),
        ([Outcome.PASS, Outcome.PASS, Outcome.WARN], 0, "all 2 checks pass"),
        ([Outcome.PASS, Outcome.FAIL], 1, "1 of 2 checks fail"),
        ([Outcome.PASS, Outcome.UNKNOWN], 2, "1 of 2 checks cannot be told"),
        ([Outcome.FAIL, Outcome.UNKNOWN, Outcome.UNKNOWN], 1,
         "1 of 3 checks fail, 2 cannot be told"),
    ],
)  # fmt: skip
def test_the_headline_counts_checks(outcomes: list[Outcome], code: int, says: str) -> None:
    found = [judged("a", "r.json", *outcomes)]
    assert headline(found).split(" ", 1)[1] == says
    assert overall_code(found) == code
