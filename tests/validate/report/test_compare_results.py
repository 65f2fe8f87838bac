from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.common.errors import ComparisonError, DataError
from tests.segport.command import segport
from tests.validate.results import artifact_result, lost, result_of
from validate.metrics.intervals import Intervals
from validate.metrics.metrics import miou
from validate.report.compare_results import compare_results
from validate.result.facts import DatasetFacts, SpreadFacts

CLASSES = ("background", "cat", "dog")
IMAGES = 30
IDS = ("torch-fp32", "int8")


def _confusions(seed: int, worse: int) -> dict[str, np.ndarray]:
    """Matrices of the same labels for every seed; `worse` pixels more are background."""
    labels = np.random.default_rng(0).integers(500, 900, (IMAGES, 3))
    rng = np.random.default_rng(seed)
    found = {}
    for id in IDS:
        missed = rng.integers(0, 100, (IMAGES, 2)) + worse
        matrices = np.zeros((IMAGES, 3, 3), np.int64)
        matrices[:, range(3), range(3)] = labels
        matrices[:, (1, 2), (1, 2)] -= missed
        matrices[:, (1, 2), 0] = missed
        found[id] = matrices
    return found


def _dataset(**changes: Any) -> DatasetFacts:
    facts = {
        "name": "VOC2012",
        "split": "val",
        "images": IMAGES,
        "ids_sha256": "b" * 64,
        "labelled": True,
    }
    return DatasetFacts(**{**facts, **changes})


def _write(folder: Path, confusions: dict[str, np.ndarray], **changes: Any) -> Path:
    """A result.json and its confusion.npz; `changes` are of the result."""
    artifacts = [
        artifact_result(
            id,
            miou=miou(matrices.sum(0)),
            class_iou=dict.fromkeys(CLASSES, 50.0),
            latency_ms=SpreadFacts(median=10.0 + 5 * index, p10=9, p90=20),
        )
        for index, (id, matrices) in enumerate(confusions.items())
    ]
    facts = {"dataset": _dataset(), "artifacts": artifacts, **changes}
    folder.mkdir()
    np.savez(folder / "confusion.npz", **confusions)
    path = folder / "result.json"
    path.write_text(result_of(**facts).to_json())
    return path


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return _write(tmp_path / "first", _confusions(1, 0))


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """The same images and labels, predicted worse, of another network."""
    return _write(tmp_path / "second", _confusions(2, 60), name="other")


def test_every_artifact_is_compared_on_the_same_images(first: Path, second: Path) -> None:
    found = compare_results(first, second)
    assert (found.names, found.protocol) == (("net", "other"), "squash")
    assert (found.dataset, found.images) == ("VOC2012:val", IMAGES)
    assert [one.id for one in found.artifacts] == list(IDS)
    assert found.alone == ([], [])
    int8 = found.artifacts[1]
    matrices = [_confusions(1, 0)["int8"], _confusions(2, 60)["int8"]]
    before, after = (miou(m.sum(0)) for m in matrices)
    assert before is not None and after is not None and after < before
    assert int8.miou == (before, after)
    assert int8.change == pytest.approx(after - before)
    # the drop of B against A, the other way round
    drop = Intervals({"a": matrices[0], "b": matrices[1]}).drop("a", "b")
    assert drop is not None and int8.change_ci95 == pytest.approx((-drop[1], -drop[0]))
    assert int8.change_ci95 is not None and int8.change_ci95[1] < 0
    assert int8.latency_ms == (15, 15) and int8.latency_ratio == 1
    assert int8.size_bytes == (1_000_000, 1_000_000) and int8.size_ratio == 1
    assert found.artifacts[0].size_ratio is None  # torch has no file
    assert any("another reference" in note for note in found.notes)


def test_a_result_equals_itself(first: Path) -> None:
    found = compare_results(first, first)
    assert [(one.change, one.change_ci95) for one in found.artifacts] == [(0, (0, 0))] * 2
    assert found.notes == []


def test_ratios_are_second_to_first(first: Path, tmp_path: Path) -> None:
    half = [
        artifact_result(
            id,
            miou=miou(matrices.sum(0)),
            class_iou=dict.fromkeys(CLASSES, 50.0),
            size_bytes=250_000,
            latency_ms=SpreadFacts(median=5.0, p10=4, p90=6),
        )
        for id, matrices in _confusions(1, 0).items()
    ]
    other = _write(tmp_path / "half", _confusions(1, 0), artifacts=half)
    int8 = compare_results(first, other).artifacts[1]
    assert (int8.size_ratio, int8.latency_ratio) == (0.25, pytest.approx(1 / 3))


def test_what_only_one_has_is_listed(first: Path, tmp_path: Path) -> None:
    confusions = _confusions(2, 0)
    confusions["int8@npu"] = confusions["int8"]
    found = compare_results(first, _write(tmp_path / "more", confusions))
    assert found.alone == ([], ["int8@npu"])


def test_times_of_another_machine_are_noted(first: Path, tmp_path: Path) -> None:
    environment = {"cpu": "another cpu", "threads": 2}
    other = _write(tmp_path / "there", _confusions(1, 0), environment=environment)
    (note,) = compare_results(first, other).notes
    assert "a cpu" in note and "another cpu" in note


def test_the_name_of_the_folder_with_the_images_does_not_matter(
    first: Path, tmp_path: Path
) -> None:
    other = _write(tmp_path / "moved", _confusions(2, 0), dataset=_dataset(name="copy"))
    assert compare_results(first, other).images == IMAGES


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"protocol": "center-crop"}, ["protocol differs", "squash", "center-crop"]),
        (
            {"dataset": _dataset(ids_sha256="c" * 64)},
            ["image list differs", "bbbbbbbbbbbb", "cccccccccccc"],
        ),
        (
            {"dataset": _dataset(labelled=False)},
            ["label set differs", "has labels (masks unrecorded);", "has no labels"],
        ),
        (
            {"artifacts": [lost("int8", 0, class_iou={"background": 1.0, "cow": 2.0})]},
            ["classes differs", "background, cat, dog", "background, cow"],
        ),
        (
            {"artifacts": [artifact_result("fp16", class_iou=dict.fromkeys(CLASSES, 1.0))]},
            ["no artifact is in both", "torch-fp32, int8", "fp16"],
        ),
        ({"artifacts": []}, ["no artifact is in both", "none"]),
    ],
)
def test_what_may_not_be_compared_is_refused_with_both_sides_named(
    first: Path, tmp_path: Path, changes: dict[str, Any], said: list[str]
) -> None:
    other = _write(tmp_path / "other", _confusions(1, 0), **changes)
    with pytest.raises(ComparisonError) as error:
        compare_results(first, other)
    for text in (str(first), str(other), *said):
        assert text in str(error.value)


def test_other_labels_of_the_same_images_are_refused(first: Path, tmp_path: Path) -> None:
    confusions = _confusions(1, 0)
    for matrices in confusions.values():
        matrices[7, 1, 1] += 1
    other = _write(tmp_path / "relabelled", confusions)
    with pytest.raises(ComparisonError, match="other labels"):
        compare_results(first, other)


def test_labels_of_other_sizes_are_refused_with_what_to_do(first: Path, tmp_path: Path) -> None:
    half = {id: matrices // 2 for id, matrices in _confusions(1, 0).items()}
    other = _write(tmp_path / "half", half, shape=(3, 257, 257))
    with pytest.raises(ComparisonError, match=r"sizes: .*513x513; .*257x257; .*--protocol full"):
        compare_results(first, other)


def test_other_masks_are_refused_by_their_digest(tmp_path: Path) -> None:
    """Also where each image has as many pixels of each class as before, as in a mirrored mask."""
    one, other, same, old = (
        _write(tmp_path / f"{n}", _confusions(1, 0), dataset=_dataset(labels_sha256=digest))
        for n, digest in enumerate(("d" * 64, "e" * 64, "d" * 64, None))
    )
    answer = segport("compare", one, other)
    assert (answer.code, answer.out, len(answer.errors)) == (2, "", 1)
    for text in ("label set differs", f"{one} has labels (masks dddddddddddd); {other} has labels"):
        assert text in answer.errors[0]
    assert compare_results(one, same).images == IMAGES
    # a result of an earlier version does not say; its pixels do
    assert compare_results(one, old).images == compare_results(old, other).images == IMAGES


def test_unlabelled_against_labelled_is_refused_whichever_digest_is_known(tmp_path: Path) -> None:
    labelled = _write(
        tmp_path / "with", _confusions(1, 0), dataset=_dataset(labels_sha256="d" * 64)
    )
    without = _write(tmp_path / "without", _confusions(1, 0), dataset=_dataset(labelled=False))
    for pair in ((labelled, without), (without, labelled)):
        with pytest.raises(ComparisonError, match=r"label set differs.*has (no )?labels"):
            compare_results(*pair)


def test_results_without_labels_compare_agreement(tmp_path: Path) -> None:
    def write(folder: Path, agreement: float, **changes: Any) -> Path:
        artifacts = [
            artifact_result(id, miou=None, drop=None, class_iou={}, agreement=agreement)
            for id in IDS
        ]
        folder.mkdir()
        np.savez(folder / "confusion.npz")
        path = folder / "result.json"
        dataset = _dataset(labelled=False)
        path.write_text(result_of(dataset=dataset, artifacts=artifacts, **changes).to_json())
        return path

    old, other = write(tmp_path / "a", 99.5), write(tmp_path / "c", 99.0, classes=["sky", "sea"])
    with pytest.raises(ComparisonError, match=r"classes differs.*2 \(sky, sea\).*3 \(backgr"):
        compare_results(other, write(tmp_path / "d", 98.0, classes=list(CLASSES)))
    assert compare_results(old, other).images == IMAGES  # an older result does not say
    found = compare_results(old, write(tmp_path / "b", 98.0))
    assert found.artifacts[1].agreement == (99.5, 98.0)
    assert (found.artifacts[1].miou, found.artifacts[1].change) == ((None, None), None)
    assert found.artifacts[1].change_ci95 is None


def _missing(path: Path) -> None:
    path.unlink()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def _fewer(path: Path) -> None:
    np.savez(path, int8=np.zeros((IMAGES, 3, 3), np.int64))


def _half(path: Path) -> None:
    np.savez(path, **{id: m[: IMAGES // 2] for id, m in _confusions(1, 0).items()})


@pytest.mark.parametrize("damage", [_missing, _cut, _fewer, _half])
def test_a_bad_confusion_file_is_named(first: Path, second: Path, damage: Any) -> None:
    path = second.with_name("confusion.npz")
    damage(path)
    with pytest.raises(DataError) as error:
        compare_results(first, second)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_the_command_prints_a_table(first: Path, second: Path) -> None:
    answer = segport("compare", first, second)
    assert (answer.code, answer.errors) == (0, [])
    lines = answer.out.splitlines()
    assert lines[0] == f"A net, B other: squash, {IMAGES} images of VOC2012:val"
    (row,) = [line for line in lines if line.startswith("int8")]
    int8 = compare_results(first, second).artifacts[1]
    assert f"{int8.miou[0]:.2f}" in row and f"{int8.change:+.2f}" in row
    assert max(map(len, lines[:6])) <= 100


def test_the_command_prints_one_json_document(first: Path, second: Path) -> None:
    document = segport("compare", first, second, "--json").json
    int8 = compare_results(first, second).artifacts[1]
    assert document["artifacts"][1]["change"] == int8.change
    assert document["artifacts"][1]["change_ci95"] == list(int8.change_ci95 or ())
