"""What is said of a result that the baseline has no, or another, entry for, word by word."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.common.errors import DataError
from export.common.files import sha256_of
from tests.validate.gating.baseline.test_paired import (
    _accept,
    _baseline,
    _by_hand,
    _confusions,
    _gate,
)
from tests.validate.results import accept, artifact_result, result_of, trusted, written
from validate.gating.baseline.baseline_counts import read_counts
from validate.gating.verdict import Outcome, Verdict

LABELS = "d" * 64


def said(reason: str, id: str = "int8", outcome: Outcome = Outcome.UNKNOWN) -> Verdict:
    return Verdict(id, outcome, reason, "baseline")


def dataset(**changes: Any) -> Any:
    return result_of().dataset.model_copy(update=changes)


def test_what_the_baseline_has_and_no_result_is_named_once(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    accept(result_of(*(artifact_result(id) for id in ("fp16", "int8", "int8@npu"))), path)
    for protocol in ("full", "center-crop"):
        accept(result_of(artifact_result("int8"), protocol=protocol), path)
    verdicts = trusted(result_of(artifact_result("fp16")), baseline=path)
    gone = (
        "baseline.json has it, the result has not; validate it too, or leave it out of the "
        "baseline with --update-baseline"
    )
    assert verdicts[2:] == [
        said(gone, "int8"),
        said(gone, "int8@npu"),
        said(
            "entries of baseline.json that no result given is of: net center-crop int8 by ort-cpu, "
            "net center-crop torch-fp32 by torch, net full int8 by ort-cpu and 1 more",
            "baseline",
            Outcome.WARN,
        ),
    ]
    # three are named whole
    two = tmp_path / "two.json"
    accept(result_of(artifact_result("fp16")), two)
    accept(result_of(artifact_result("fp16"), artifact_result("int8"), protocol="full"), two)
    assert trusted(result_of(artifact_result("fp16")), baseline=two)[-1].reason == (
        "entries of two.json that no result given is of: net full fp16 by ort-cpu, "
        "net full int8 by ort-cpu, net full torch-fp32 by torch"
    )


def test_a_network_that_is_not_there_is_said_to_be_there_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    for protocol in ("full", "center-crop"):
        accept(result_of(artifact_result("int8"), protocol=protocol), path)
    wanted = "by ort-cpu; there: center-crop on images bbbbbbbbbbbb by ort-cpu, full on images"
    verdict = trusted(result_of(artifact_result("int8")), baseline=path)[1]
    assert verdict == said(
        f"no entry in the baseline for net, squash on images bbbbbbbbbbbb {wanted} bbbbbbbbbbbb by "
        "ort-cpu"
    )
    other = trusted(result_of(artifact_result("fp16")), baseline=path)[1]
    reason = "no entry in the baseline for net, squash on images bbbbbbbbbbbb by ort-cpu"
    assert other == said(reason, "fp16")


def test_other_images_have_no_drop_to_compare_without_counts(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    accept(result_of(artifact_result("int8")), path)
    others = result_of(artifact_result("int8"), dataset=dataset(ids_sha256="c" * 64))
    reference, int8, *_ = trusted(others, baseline=path)
    assert reference == said(
        "other images than the baseline's: drops are measured from it, and it has none",
        "torch-fp32",
        Outcome.WARN,
    )
    assert int8.inconclusive and int8.check == "baseline"


def test_labels_of_another_set_are_named_on_both_sides(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    accept(result_of(artifact_result("int8"), dataset=dataset(labels_sha256=LABELS)), path)
    other = result_of(artifact_result("int8"), dataset=dataset(labels_sha256="e" * 64))
    assert trusted(other, baseline=path)[1] == said(
        "not the labels of the baseline, though image ids are the same: the result has labels "
        "(masks eeeeeeeeeeee), baseline.json has labels (masks dddddddddddd); validate on the same "
        "masks, or renew the entry with --update-baseline"
    )


def test_the_same_masks_at_another_size_are_said_to_be_that(tmp_path: Path) -> None:
    """Their digest is that of the files; their pixels are those of the size of the network."""
    masks = result_of().dataset.model_copy(update={"labels_sha256": LABELS, "images": 4})
    for name, factor in (("before", 1), ("now", 2)):
        matrices = _confusions([0] * 4) * factor
        folder = tmp_path / name
        result = written(folder, {"fp32": matrices, "int8": matrices})
        labelled = result.dataset.model_copy(update={"labels_sha256": masks.labels_sha256})
        written(folder, {"fp32": matrices, "int8": matrices}, dataset=labelled)
    _accept(tmp_path / "before", tmp_path / "baseline.json")
    verdict = _gate(tmp_path / "now", tmp_path / "baseline.json")[1]
    height, width = result.shape[1:]
    assert verdict == said(
        "the masks are those of baseline.json, but not their pixels: the result has them at "
        f"{height}x{width}, the baseline at another size; renew the entry with --update-baseline"
    )


def test_another_reference_is_named_with_what_labels_say(tmp_path: Path) -> None:
    confusions = _confusions([10] * 4)
    path = _baseline(tmp_path, confusions)
    seen = {"torch-fp32": np.stack([np.diag([900] * 3)] * 4), "int8": _confusions([90] * 4)}
    written(tmp_path / "now", {"torch-fp32": _confusions([0] * 4), "int8": confusions}, seen)
    verdict = next(v for v in _gate(tmp_path / "now", path) if v.id == "int8")
    assert verdict.outcome is Outcome.UNKNOWN
    first, *others = verdict.reason.split("; ")
    assert first.endswith("is +0.000 against the baseline, tolerance 0.2")
    worse = _confusions([99] * 4)
    written(tmp_path / "worse", {"torch-fp32": worse, "int8": worse}, seen)
    lost = next(v for v in _gate(tmp_path / "worse", path) if v.id == "int8")
    assert lost.outcome is Outcome.FAIL and lost.check == "baseline" and "agree" not in lost.reason
    low, high = lost.interval or (0, 0)  # by the labels' counts, which both sides have
    assert low - 1e-9 <= (lost.value or 0) <= high + 1e-9 < 0
    assert others == [
        "but its reference is torch-fp32, that of baseline.json is fp32, so agreement cannot be "
        "compared",
        "validate against the same",
    ]


@pytest.mark.parametrize(
    ("figure", "value", "reason"),
    [
        ("miou", 50.0, "add up to mIoU {}, not to the 50.0 of {}"),
        ("miou", None, "say mIoU {}, the baseline says None"),
        ("agreement", 12.5, "give agreement {}, not 12.5"),
        ("class_iou", {"background": 100.0}, "give cat IoU {}, not None"),
    ],
)
def test_figures_that_counts_do_not_bear_out_are_named(
    tmp_path: Path, figure: str, value: Any, reason: str
) -> None:
    path = _baseline(tmp_path, _confusions([100] * 5))
    real: dict[str, Any] = {}

    def change(accepted: dict[str, Any]) -> None:
        real.update(accepted)
        accepted[figure] = value

    _by_hand(path, change)
    with pytest.raises(DataError) as error:
        _gate(tmp_path / "before", path)
    stated = real["class_iou"]["cat"] if figure == "class_iou" else real[figure]
    counts = path.parent / real["counts"]["file"]
    number = str(error.value).removeprefix(f"baseline counts {counts}: ").split()
    found = next(float(word.strip(",")) for word in number if word[0].isdigit())
    assert found == pytest.approx(stated)
    said_of = reason.format(repr(found), path)
    assert str(error.value) == f"baseline counts {counts}: {said_of}"


@pytest.mark.parametrize("figure", ["miou", "agreement"])
def test_a_figure_that_is_half_a_point_off_is_found(tmp_path: Path, figure: str) -> None:
    path = _baseline(tmp_path, _confusions([100] * 5))
    _by_hand(path, lambda accepted: accepted.update({figure: accepted[figure] - 0.5}))
    with pytest.raises(DataError, match=r"baseline counts .*: (give agreement|add up to mIoU) "):
        _gate(tmp_path / "before", path)


def test_a_stated_figure_that_counts_deny_is_held_against_nothing(tmp_path: Path) -> None:
    path = _baseline(tmp_path, _confusions([100] * 5))
    result = tmp_path / "before/result.json"
    document = json.loads(result.read_text())
    document["artifacts"][1]["agreement"] = 99.5
    result.write_text(json.dumps(document))
    assert _gate(tmp_path / "before", path)[1] == said("agreement 99.5, counted 100.0, no verdict")


def test_counts_that_are_none_are_an_error(tmp_path: Path) -> None:
    for name, arrays, said_of in (
        ("flat", {"counts": np.zeros((4, 3), np.int64)}, "counts"),
        ("four", {"against": np.zeros((4, 4, 2), np.int64)}, "against"),
        ("floats", {"counts": np.zeros((4, 3, 2))}, "counts"),
    ):
        file = tmp_path / f"{name}.npz"
        np.savez(file, **arrays)  # type: ignore[arg-type]
        with pytest.raises(DataError) as error:
            read_counts(file, sha256_of(file))
        assert str(error.value) == f"baseline counts {file}: {said_of} holds no counts"
    file.write_bytes(b"PK, but nothing else")
    with pytest.raises(DataError, match="cannot be read as counts"):
        read_counts(file, sha256_of(file))
    with pytest.raises(DataError) as error:
        read_counts(file, "0" * 64)
    assert str(error.value) == (
        f"baseline counts {file}: not the file that the baseline was written with"
    )
    with pytest.raises(DataError) as error:
        read_counts(tmp_path / "none.npz", "0" * 64)
    assert str(error.value) == (
        f"baseline counts {tmp_path}/none.npz: no such file; commit it with the baseline"
    )
