"""What the gate says of a result that it cannot believe, word by word."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.common.errors import DataError
from tests.validate.gating.test_counted import _confusions
from tests.validate.results import written
from validate.gating.counted import Counted, count
from validate.gating.kinds import FACTS
from validate.gating.rules import Rules
from validate.gating.verdict import Outcome, Verdict
from validate.result.result import Result, load_result

AGAIN = "; validate again"
PARTS = ("", "against/", "near/", "nonfinite/")
LABELLED = {"torch-fp32": _confusions(100), "int8": _confusions(150)}


@pytest.fixture
def result(tmp_path: Path) -> Result:
    return written(tmp_path, LABELLED)


def counted(folder: Path, **rules: Any) -> Counted:
    return count(load_result(folder / "result.json"), folder, Rules(**rules))


def doubt(reason: str, id: str = "result", outcome: Outcome = Outcome.UNKNOWN) -> Verdict:
    return Verdict(id, outcome, reason, "evidence")


def repacked(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Write the counts again with other arrays."""
    with np.load(folder / "confusion.npz") as arrays:
        content: Any = dict(arrays)
    change(content)
    np.savez(folder / "confusion.npz", **content)


def edited(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Write the result again with other facts."""
    document = json.loads((folder / "result.json").read_text())
    change(document)
    (folder / "result.json").write_text(json.dumps(document))


def test_a_result_without_counts_says_where_they_should_be(result: Result, tmp_path: Path) -> None:
    (tmp_path / "confusion.npz").unlink()
    for folder, where in (
        (tmp_path, "no confusion.npz beside it"),
        (None, "no folder was given"),
    ):
        found = count(result, folder, Rules())
        assert found.result == result and found.evidence == {} and found.altered == {}
        assert found.verdicts == (doubt(f"unverified: {where}; --trust judges it anyway"),)
        trusting = count(result, folder, Rules(trust=True)).verdicts
        assert trusting == (doubt(f"unverified: {where}; trusted", outcome=Outcome.WARN),)


@pytest.mark.parametrize(
    ("gone", "of"),
    [
        (["int8", "against/int8", "near/int8", "nonfinite/int8"], "int8"),
        (["int8"], "int8"),
        ([f"{part}torch-fp32" for part in PARTS], "torch-fp32"),
    ],
)
def test_an_artifact_that_was_not_counted_is_named(
    result: Result, tmp_path: Path, gone: list[str], of: str
) -> None:
    repacked(tmp_path, lambda arrays: [arrays.pop(name) for name in gone])
    first = counted(tmp_path).verdicts[0]
    assert first == doubt(
        f"unverified: confusion.npz has no counts of {of}; --trust judges them anyway"
    )
    first = counted(tmp_path, trust=True).verdicts[0]
    assert first == doubt(
        f"unverified: confusion.npz has no counts of {of}; trusted", outcome=Outcome.WARN
    )


def test_facts_that_were_changed_stay_so_where_nothing_was_counted(
    result: Result, tmp_path: Path
) -> None:
    """Trust is of figures that counts would bear out, not of a latency that somebody wrote."""
    edited(tmp_path, lambda document: document["artifacts"][1].update(size_bytes=5))
    rules = Rules(trust=True, allow_overlap=True)

    def judged() -> str | None:
        found = count(load_result(tmp_path / "result.json"), tmp_path, rules)
        return found.alteration("int8", FACTS)

    assert judged() == "was changed in result.json after it was written"
    names = [f"{part}{id}" for part in PARTS for id in ("int8", "torch-fp32")]
    repacked(tmp_path, lambda arrays: [arrays.pop(name) for name in names[::2]])
    assert judged() == "was changed in result.json after it was written"
    repacked(tmp_path, lambda arrays: [arrays.pop(name) for name in names[1::2]])
    missing = counted(tmp_path).verdicts[0].reason
    assert missing.startswith("unverified: confusion.npz has no counts of torch-fp32, int8; ")
    (tmp_path / "confusion.npz").unlink()
    assert judged() == "was changed in result.json after it was written"
    edited(tmp_path, lambda document: document.update(overlap_allowed=True))
    overlap = count(load_result(tmp_path / "result.json"), tmp_path, rules).verdicts[-1]
    assert (overlap.check, overlap.outcome) == ("overlap", Outcome.WARN)


def test_counts_of_an_earlier_version_tell_what_labels_do(result: Result, tmp_path: Path) -> None:
    """They hold confusion matrices alone: a stated agreement stands, a stated mIoU is counted."""
    repacked(
        tmp_path,
        lambda arrays: [arrays.pop(name) for name in list(arrays) if name not in LABELLED],
    )
    sealless = {"counts_sha256": None, "facts_sha256": None}

    def older(document: dict[str, Any]) -> None:
        document.update(sealless)
        for one in document["artifacts"]:
            one["facts_sha256"] = None
        document["artifacts"][1].update(agreement=50.0, miou=99.0)

    edited(tmp_path, older)
    found = counted(tmp_path)
    real = result.artifacts[1].miou
    assert found.verdicts == (
        doubt(
            "agreement and fidelity are unverified: the result is of an earlier version; validate "
            "again, or --trust"
        ),
        doubt(
            f"result.json was changed: miou 99.0, counted {real} in confusion.npz{AGAIN}", "int8"
        ),
    )
    assert found.alteration("int8", "miou") == f"miou 99.0, counted {real}"
    assert found.alteration("int8", "agreement") is None
    assert found.alteration("fp16", "miou") is None
    assert found.result.artifacts[1].miou == real and found.result.artifacts[1].agreement == 50


def test_all_figures_that_were_changed_are_named(result: Result, tmp_path: Path) -> None:
    changes = {"miou": 99.0, "drop": 0.0, "pixel_accuracy": 1.0}
    edited(tmp_path, lambda document: document["artifacts"][1].update(changes))
    (verdict,) = counted(tmp_path).verdicts
    assert verdict == doubt(
        f"result.json was changed: miou 99.0, counted {result.artifacts[1].miou} in confusion.npz; "
        f"and pixel_accuracy, drop{AGAIN}",
        "int8",
    )


def test_facts_that_were_changed_are_said_of_whom(result: Result, tmp_path: Path) -> None:
    edited(tmp_path, lambda document: document["artifacts"][1].update(size_bytes=5))
    assert counted(tmp_path).verdicts == (
        doubt(
            "what result.json says of int8 beside its figures was changed after it was written "
            f"(facts_sha256){AGAIN}",
            "int8",
        ),
    )
    edited(tmp_path, lambda document: document.update(model="another"))
    whole = f"result.json was changed after it was written (facts_sha256){AGAIN}"
    assert counted(tmp_path).verdicts[-1] == doubt(whole)


def test_counts_of_other_images_and_labels_say_all_that_is_wrong(
    result: Result, tmp_path: Path
) -> None:
    def other(arrays: dict[str, Any]) -> None:
        arrays["images"] = np.array([f"other_{index}" for index in range(6)])
        arrays["int8"] = arrays["int8"].copy()
        arrays["int8"][0] = np.diag([2000, 0, 2000])

    repacked(tmp_path, other)
    verdict = next(one for one in counted(tmp_path).verdicts if one.id == "counts")
    assert verdict == doubt(
        "confusion.npz: they are not those the result was written with (counts_sha256); their "
        "images are not those of dataset.ids_sha256; artifacts saw different labels",
        "counts",
    )


def test_images_of_classes_are_counted_again(tmp_path: Path) -> None:
    written(tmp_path, LABELLED, class_images={"background": 6, "cat": 5, "dog": 6})
    (verdict,) = counted(tmp_path).verdicts
    assert verdict == doubt("confusion.npz: class_images.cat 5, counted 6", "counts")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda arrays: arrays.update({"int8": arrays["int8"][:, :2, :2]}),
            "counts of int8 are (6, 2, 2), the result means (6, 3, 3)",
        ),
        (
            lambda arrays: arrays.update({"against/int8": arrays["against/int8"][:5]}),
            "counts of int8 are (5, 3, 3), the result means (6, 3, 3)",
        ),
        (
            lambda arrays: arrays.update({"near/int8": np.zeros((6, 3), np.int64)}),
            "counts of int8 are (6, 3), the result means (6, 2)",
        ),
        (
            lambda arrays: arrays.update({"nonfinite/int8": np.zeros(5, np.bool_)}),
            "counts of int8 are (5,), the result means (6,)",
        ),
        (
            lambda arrays: arrays.pop("torch-fp32"),
            "no labels were counted for the reference, torch-fp32",
        ),
        (
            lambda arrays: arrays.update({"images": arrays["images"][:5]}),
            "names 5 images, the result has 6",
        ),
    ],
)
def test_counts_of_another_shape_are_an_error(
    result: Result, tmp_path: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    repacked(tmp_path, change)
    with pytest.raises(DataError) as error:
        counted(tmp_path)
    assert str(error.value) == f"{tmp_path}/confusion.npz: {said}"


def test_an_overlap_is_a_doubt_or_at_least_a_warning(tmp_path: Path) -> None:
    written(tmp_path, LABELLED, overlap_allowed=True)
    reason = "images that influenced the files are among those they were judged on"
    assert counted(tmp_path).verdicts == (
        Verdict(
            "result", Outcome.UNKNOWN, f"{reason}; judge on others, or --allow-overlap", "overlap"
        ),
    )
    allowed = counted(tmp_path, allow_overlap=True).verdicts
    assert allowed == (Verdict("result", Outcome.WARN, reason, "overlap"),)


def test_intervals_are_counted_with_the_bootstrap_that_is_stated(tmp_path: Path) -> None:
    """At the level asked for, which is wider than the one that is written."""
    images = [_confusions(missed, 1)[0] for missed in (100, 180, 120, 260, 150)]
    result = written(tmp_path, {"torch-fp32": _confusions(100, 5), "int8": np.stack(images)})
    narrow, wide = (
        counted(tmp_path, confidence=level).result.artifacts[1].miou_ci95 for level in (80, 99)
    )
    stated = result.artifacts[1].miou_ci95
    assert narrow and wide and stated
    assert wide[0] < stated[0] < narrow[0] < narrow[1] < stated[1] < wide[1]
