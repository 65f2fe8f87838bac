import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from export.artifact.artifact import Artifact, load_artifact
from export.common.errors import ArtifactError, ComparisonError, SegportError, UsageError
from tests.validate.fakes import FakeEngine, Outputs, logits_of, save_mask, save_rgb
from validate.judging.comparison import validate
from validate.judging.conditions import Conditions
from validate.judging.reference import refuse_mixed, with_reference
from validate.metrics.metrics import miou
from validate.report.report import report
from validate.result.picture_file import read_pictures
from validate.result.result import Result, load_result
from validate.runtime.engine import Runtime
from validate.runtime.table import RUNTIMES, RuntimeEntry

BILINEAR, NEAREST = Image.Resampling.BILINEAR, Image.Resampling.NEAREST
MakeVoc = Callable[..., Path]
PRECISIONS = ("fp32", "fp16", "int8")
ONE_CLASS = ("one-class",)
"""Labels of background alone, whose figures can be counted by hand, have to be accepted."""


def _changed(artifact: Artifact, **changes: Any) -> Artifact:
    return Artifact(artifact.path, artifact.manifest.model_copy(update=changes))


def _copy(artifact: Artifact, folder: Path) -> Artifact:
    for path in (artifact.path, artifact.path.with_suffix(".json")):
        shutil.copy(path, folder)
    return load_artifact(folder / artifact.path.name)


def _figures(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _figures(inner)
    elif isinstance(value, float):
        yield value


@pytest.fixture(scope="module")
def compared(
    tiny: Artifact,
    fp16: Artifact,
    int8: Artifact,
    voc: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Result, Path]:
    """The whole comparison of `tiny` on `voc`'s val, torch as reference."""
    folder = tmp_path_factory.mktemp("compared")
    artifacts = [tiny, fp16, int8]
    return validate(artifacts, str(voc), folder, Conditions(reference="torch")), folder


# ---- real runtimes on the small data set


def test_files_agree_with_what_is_returned(compared: tuple[Result, Path]) -> None:
    result, folder = compared
    assert sorted(path.name for path in folder.iterdir()) == ["confusion.npz", "result.json"]
    assert load_result(folder / "result.json").to_json() == result.to_json()
    text = (folder / "result.json").read_text()
    assert "NaN" not in text and "Infinity" not in text
    assert all(math.isfinite(figure) for figure in _figures(json.loads(text)))


def test_the_order_of_the_list_does_not_matter(
    tiny: Artifact, fp16: Artifact, make_voc: MakeVoc, tmp_path: Path
) -> None:
    """So that a shuffled list finds its baseline, and its images their partners there."""
    voc, found = make_voc(tmp_path / "VOC2012"), []
    file = voc / "ImageSets/Segmentation/val.txt"
    for _ in range(2):
        file.write_text("\n".join(reversed(file.read_text().split())))
        result = validate([tiny, fp16], str(voc), tmp_path / "out")
        with np.load(tmp_path / "out/confusion.npz") as arrays:
            found.append((result.dataset.ids_sha256, arrays["fp16"].tolist()))
    assert found[0] == found[1]


def test_facts_of_the_comparison(compared: tuple[Result, Path], tiny: Artifact) -> None:
    result, _ = compared
    assert [a.id for a in result.artifacts] == ["torch-fp32", *PRECISIONS]
    assert (result.name, result.model) == ("tiny", "tests.networks:tiny")
    assert (result.protocol, result.reference, result.shape) == (
        "squash",
        "torch-fp32",
        (3, 65, 65),
    )
    assert result.dataset.name == "VOC2012" and result.dataset.split == "val"
    ids = "\n".join(f"val_{index:03d}" for index in range(4))
    assert result.dataset.images == 4 and result.dataset.labelled
    assert result.dataset.ids_sha256 == hashlib.sha256(ids.encode()).hexdigest()
    assert (result.params, result.macs) == (tiny.manifest.params, tiny.manifest.macs)
    assert not result.overlap_allowed
    assert result.calibration is not None and set(result.calibration) == {"fp16", "int8"}
    assert result.calibration["int8"]["images"] == 4
    assert result.calibration["int8"]["protocol"] == "squash"


def test_facts_of_each_artifact(
    compared: tuple[Result, Path], tiny: Artifact, fp16: Artifact, int8: Artifact
) -> None:
    result, _ = compared
    torch, *files = result.artifacts
    assert (torch.runtime, torch.file, torch.sha256, torch.size_bytes) == ("torch", *[None] * 3)
    assert torch.drop is None and torch.agreement == 100 and torch.fidelity_miou == 100
    for entry, artifact in zip(files, (tiny, fp16, int8), strict=True):
        assert entry.file == artifact.path.name
        assert entry.sha256 == hashlib.sha256(artifact.path.read_bytes()).hexdigest()
        assert entry.size_bytes == artifact.path.stat().st_size
        assert entry.latency_ms is not None and entry.mask_ms is not None
        assert 0 < entry.latency_ms.p10 <= entry.latency_ms.median <= entry.latency_ms.p90
        assert entry.mask_ms.median >= entry.latency_ms.median
        assert entry.miou is not None and torch.miou is not None and entry.drop is not None
        assert entry.drop == pytest.approx(torch.miou - entry.miou)
        assert entry.warnings == []
    fp32_entry, fp16_entry, int8_entry = files
    assert fp32_entry.agreement > 99.9 and 90 < int8_entry.agreement < 100
    assert int8_entry.parent_sha256 == fp16_entry.parent_sha256 == fp32_entry.sha256
    assert (int8_entry.int8_macs_share, int8_entry.int8_verified) == (1, True)
    assert fp32_entry.int8_macs_share is None and fp16_entry.int8_verified is None
    assert int8_entry.target == "cpu"
    # an emulation's own speed is not the file's
    assert fp16_entry.latency_runtime == (
        "ort-cpu" if fp16_entry.runtime == "ort-fp16" else fp16_entry.runtime
    )


def test_confusions_reproduce_the_figures_of_the_json(compared: tuple[Result, Path]) -> None:
    result, folder = compared
    with np.load(folder / "confusion.npz") as arrays:
        kinds = ("{}", "against/{}", "near/{}", "nonfinite/{}")
        names = [kind.format(a.id) for a in result.artifacts for kind in kinds]
        assert sorted(arrays) == sorted([*names, "images"])
        assert arrays["images"].tolist() == [f"val_{index:03d}" for index in range(4)]
        for entry in result.artifacts:
            against = arrays[f"against/{entry.id}"].sum(0)
            assert against.sum() == 4 * 65 * 65  # pixels without a label too
            assert entry.agreement == pytest.approx(100 * np.trace(against) / against.sum())
            near, agreeing = arrays[f"near/{entry.id}"].sum(0)
            assert entry.agreement_boundary == pytest.approx(100 * agreeing / near)
            assert not arrays[f"nonfinite/{entry.id}"].any()
            array = arrays[entry.id]
            assert array.dtype == np.int64 and array.shape == (4, 21, 21)
            total = array.sum(0)
            assert entry.miou == pytest.approx(miou(total))
            assert entry.pixel_accuracy == pytest.approx(100 * np.trace(total) / total.sum())
            ious = []
            for c, iou in enumerate(entry.class_iou.values()):
                union = total[c].sum() + total[:, c].sum() - total[c, c]
                assert iou == (pytest.approx(100 * total[c, c] / union) if union else None)
                if total[c].sum():
                    ious.append(iou)
            assert entry.miou == pytest.approx(np.mean(ious))


def test_confusions_are_per_image_in_list_order(compared: tuple[Result, Path], voc: Path) -> None:
    _, folder = compared
    with np.load(folder / "confusion.npz") as arrays:
        for index in range(4):
            with Image.open(voc / f"SegmentationClass/val_{index:03d}.png") as file:
                label = np.asarray(file.resize((65, 65), Image.Resampling.NEAREST))
            counts = np.bincount(label[label != 255], minlength=21)
            for id in ("torch-fp32", "fp32", "fp16", "int8"):
                np.testing.assert_array_equal(arrays[id][index].sum(1), counts)


def test_statistics_of_the_comparison(compared: tuple[Result, Path]) -> None:
    result, folder = compared
    assert result.bootstrap is not None
    facts = result.bootstrap
    assert (facts.level, facts.resamples, facts.seed) == (95, 10_000, 0)
    reference, *files = result.artifacts
    with np.load(folder / "confusion.npz") as arrays:
        confusions = {key: arrays[key] for key in arrays}
    there = (confusions["int8"].sum(2) > 0).sum(0)
    assert list(result.class_images.values()) == there.tolist()
    assert list(result.class_images) == list(reference.class_iou)
    assert reference.miou_ci95 is not None and reference.drop_ci95 is None
    assert (reference.class_drop, reference.worst_images) == ({}, [])
    for entry in files:
        for value, ends in ((entry.miou, entry.miou_ci95), (entry.drop, entry.drop_ci95)):
            assert value is not None and ends is not None and ends[0] <= value <= ends[1]
        assert set(entry.class_drop) == {name for name, n in result.class_images.items() if n}
        for name, lost in entry.class_drop.items():
            before, after = reference.class_iou[name], entry.class_iou[name]
            assert before is not None and after is not None
            assert lost.drop == pytest.approx(before - after)
            assert lost.images == result.class_images[name]
            assert (lost.ci95 is None) == (lost.images == 1)
    int8 = files[-1]
    assert int8.drop_ci95 is not None and int8.drop_ci95[0] < int8.drop_ci95[1]
    assert int8.agreement_boundary is not None and int8.agreement_interior is not None
    ends = sorted([int8.agreement_boundary, int8.agreement_interior])
    assert ends[0] <= int8.agreement <= ends[1]
    shares = [image.agreement for image in int8.worst_images]
    assert shares == sorted(shares) and len(shares) == 4
    # four images of one size
    assert np.mean(shares) == pytest.approx(int8.agreement)


def test_the_same_comparison_gives_the_same_intervals(
    compared: tuple[Result, Path], tiny: Artifact, int8: Artifact, voc: Path, tmp_path: Path
) -> None:
    again = validate([tiny, int8], str(voc), tmp_path, Conditions(reference="torch")).artifact(
        "int8"
    )
    before = compared[0].artifact("int8")
    assert again is not None and before is not None
    # with fewer artifacts beside it
    assert (again.drop_ci95, again.class_drop) == (before.drop_ci95, before.class_drop)


def test_one_image_has_no_intervals(
    tiny: Artifact, int8: Artifact, voc: Path, tmp_path: Path
) -> None:
    result = validate([tiny, int8], str(voc), tmp_path, Conditions(limit=1))
    assert result.bootstrap is None
    entry = result.artifacts[1]
    assert entry.drop is not None and (entry.miou_ci95, entry.drop_ci95) == (None, None)
    assert entry.class_drop and all(lost.ci95 is None for lost in entry.class_drop.values())


# ---- predictions chosen by the test


@pytest.fixture
def predicts(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Register the runtime `fake`, which answers by precision: `predicts(int8=outputs)`."""

    def register(**answers: Outputs) -> None:
        def opened(artifact: Artifact, weights: str | None) -> Runtime:
            return Runtime("fake", "nowhere", FakeEngine(answers[artifact.manifest.precision]))

        monkeypatch.setitem(RUNTIMES, "fake", RuntimeEntry("", opened))

    return register


@pytest.fixture
def background(tmp_path: Path) -> Path:
    """Two images of 65x65 pixels whose label is background everywhere."""
    for seed, name in enumerate(("a", "b")):
        save_rgb(tmp_path / f"data/images/{name}.png", np.full((65, 65, 3), seed))
        save_mask(tmp_path / f"data/masks/{name}.png", np.zeros((65, 65)))
    return tmp_path / "data"


def _stripe(columns: int, value: int) -> np.ndarray:
    classes = np.zeros((65, 65), np.uint8)
    classes[:, :columns] = value
    return classes


def test_pictures_are_those_of_the_images_that_agree_least(
    tiny: Artifact, int8: Artifact, voc: Path, tmp_path: Path
) -> None:
    result = validate([tiny, int8], str(voc), tmp_path, Conditions(pictures=2))
    kept = read_pictures(result, tmp_path / "pictures.zip")
    entry = result.artifacts[1]
    assert [one.id for one in kept] == [image.id for image in entry.worst_images[:2]]
    assert [one.agreement["int8"] for one in kept] == pytest.approx(
        [image.agreement for image in entry.worst_images[:2]]
    )
    for one in kept:
        # 80 x 96 pixels squashed to 65 x 65, which needs no further shrinking
        stored = np.asarray(Image.open(BytesIO(one.image_file)))
        assert stored.shape == (65, 65, 3) and one.label is not None
        source = Image.open(voc / f"JPEGImages/{one.id}.jpg").resize((65, 65), BILINEAR)
        assert np.abs(stored.astype(int) - np.asarray(source)).mean() < 12  # stored as JPEG
        mask = Image.open(voc / f"SegmentationClass/{one.id}.png").resize((65, 65), NEAREST)
        np.testing.assert_array_equal(one.label, np.asarray(mask))
        share = 100 * (one.predicted["int8"] == one.predicted["fp32"]).mean()
        assert share == pytest.approx(one.agreement["int8"])


def test_pictures_are_kept_only_if_asked_for_and_not_beside_another_result(
    tiny: Artifact, int8: Artifact, voc: Path, tmp_path: Path
) -> None:
    validate([tiny, int8], str(voc), tmp_path, Conditions(pictures=1, limit=2))
    assert (tmp_path / "pictures.zip").is_file()
    validate([tiny, int8], str(voc), tmp_path, Conditions(limit=2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["confusion.npz", "result.json"]


def test_figures_by_hand(
    tiny: Artifact,
    int8: Artifact,
    background: Path,
    predicts: Callable[..., None],
    tmp_path: Path,
) -> None:
    # 13 of 65 columns, a fifth of the picture, become class 5, which no label has
    predicts(fp32=logits_of(_stripe(0, 0), 21), int8=logits_of(_stripe(13, 5), 21))
    out = tmp_path / "out"
    result = validate(
        [int8, tiny], str(background), out, Conditions(runtime="fake", accepted=ONE_CLASS)
    )
    reference, entry = result.artifacts
    assert (reference.id, reference.miou, reference.drop) == ("fp32", 100, None)
    assert (entry.miou, entry.drop, entry.pixel_accuracy) == (80, 20, 80)
    assert (entry.agreement, entry.fidelity_miou) == (80, 80)
    # one label everywhere has no border
    assert (entry.agreement_boundary, entry.agreement_interior) == (None, 80)
    assert [(image.id, image.agreement) for image in entry.worst_images] == [("a", 80), ("b", 80)]
    # both images lose the same, so any images of their kind would have
    assert entry.drop_ci95 == (20, 20) and reference.miou_ci95 == (100, 100)
    assert list(entry.class_drop) == ["background"]
    lost = entry.class_drop["background"]
    assert (lost.drop, lost.ci95, lost.images) == (20, (20, 20), 2)
    assert entry.class_iou["background"] == 80 and entry.class_iou["bottle"] == 0
    assert entry.class_iou["cat"] is None
    assert entry.invented_classes == ["bottle"] and reference.invented_classes == []
    assert (entry.runtime, entry.provider, entry.latency_runtime) == ("fake", "nowhere", "fake")
    assert entry.int8_verified is None and "nowhere" in (entry.int8_note or "")


@pytest.mark.slow
def test_broken_logits_are_counted_and_said(
    tiny: Artifact,
    int8: Artifact,
    background: Path,
    predicts: Callable[..., None],
    tmp_path: Path,
) -> None:
    broken = logits_of(_stripe(0, 0), 21)
    broken["logits"][0, 3, 30, 30] = np.inf
    predicts(fp32=logits_of(_stripe(0, 0), 21), int8=broken)
    result = validate(
        [tiny, int8],
        str(background),
        tmp_path / "out",
        Conditions(runtime="fake", accepted=ONE_CLASS),
    )
    good, bad = result.artifacts
    assert (good.nonfinite_images, good.warnings) == (0, [])
    assert bad.nonfinite_images == 2
    assert any(w.startswith("broken") and "2 images" in w for w in bad.warnings)
    report(tmp_path / "out/result.json", tmp_path / "out")
    assert "int8: broken: inf or NaN" in (tmp_path / "out/report.md").read_text()


def test_a_network_that_sees_one_thing_everywhere_is_said(
    tiny: Artifact, int8: Artifact, voc: Path, predicts: Callable[..., None], tmp_path: Path
) -> None:
    predicts(fp32=logits_of(_stripe(0, 0), 21), int8=logits_of(_stripe(9, 3), 21))
    result = validate([tiny, int8], str(voc), tmp_path, Conditions(runtime="fake"))
    alone, two = result.artifacts
    assert any("predicts background on every pixel" in warning for warning in alone.warnings)
    assert not any("on every pixel" in warning for warning in two.warnings)


def test_a_mask_under_full_says_that_it_was_resized_to_the_nearest_pixel(
    tiny: Artifact, background: Path, predicts: Callable[..., None], tmp_path: Path
) -> None:
    predicts(fp32={"mask": _stripe(13, 5)[None]})
    mask = tiny.manifest.outputs[0].model_copy(update={"name": "mask", "kind": "mask"})
    artifact = _changed(tiny, outputs=(mask,))
    result = validate(
        [artifact],
        str(background),
        tmp_path / "out",
        Conditions(protocol="full", runtime="fake", accepted=ONE_CLASS),
    )
    assert result.artifacts[0].miou == 80
    assert any("nearest" in warning for warning in result.artifacts[0].warnings)


def test_fp16_made_without_images_is_marked(
    tiny: Artifact,
    fp16: Artifact,
    background: Path,
    predicts: Callable[..., None],
    tmp_path: Path,
) -> None:
    predicts(fp32=logits_of(_stripe(0, 0), 21), fp16=logits_of(_stripe(0, 0), 21))
    facts = {**fp16.manifest.checks["fp16"], "range_checked": False}
    unchecked = _changed(fp16, checks={"fp16": facts}, images=())
    result = validate(
        [tiny, unchecked],
        str(background),
        tmp_path / "out",
        Conditions(runtime="fake", accepted=ONE_CLASS),
    )
    assert result.artifacts[1].warnings == ["value range not checked against float16"]


# ---- which reference


def test_the_fp32_artifact_among_the_given_is_the_reference(tiny: Artifact, int8: Artifact) -> None:
    assert with_reference([int8, tiny], None) == ([tiny, int8], "fp32")


def test_the_parent_beside_an_artifact_is_the_reference(
    tiny: Artifact, int8: Artifact, fp16: Artifact, tmp_path: Path
) -> None:
    alone = _copy(int8, tmp_path)
    # neither a file that is no artifact nor a brother is the parent
    (tmp_path / "a.onnx").write_bytes(b"no artifact")
    _copy(fp16, tmp_path)
    with pytest.raises(UsageError, match=r"no reference.*--reference"):
        with_reference([alone], None)
    parent = _copy(tiny, tmp_path)
    assert with_reference([alone], None) == ([parent, alone], "fp32")


def test_an_explicit_reference_is_loaded_and_not_run_twice(
    tiny: Artifact, int8: Artifact, fp16: Artifact
) -> None:
    def chosen(given: list[Artifact], reference: Path) -> tuple[list[Path], str]:
        artifacts, key = with_reference(given, str(reference))
        return [artifact.path for artifact in artifacts], key

    assert chosen([int8], tiny.path) == ([tiny.path, int8.path], "fp32")
    assert chosen([int8, tiny], tiny.path) == ([tiny.path, int8.path], "fp32")
    assert chosen([tiny, int8], fp16.path) == ([fp16.path, tiny.path, int8.path], "fp16")
    with pytest.raises(ArtifactError, match="no such file"):
        with_reference([int8], "nowhere.onnx")


def test_torch_as_reference_needs_the_checkpoint(
    from_file: Artifact, checkpoint: Path, voc: Path, tmp_path: Path
) -> None:
    assert with_reference([from_file], "torch") == ([from_file], "torch-fp32")
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="--weights"):
        validate([from_file], str(voc), out, Conditions(reference="torch"))
    wrong = tmp_path / "tiny.pth"
    wrong.write_bytes(checkpoint.read_bytes() + b"\0")
    with pytest.raises(ArtifactError, match="sha256"):
        validate([from_file], str(voc), out, Conditions(reference="torch", weights=str(wrong)))
    assert not out.exists()
    result = validate(
        [from_file], str(voc), out, Conditions(reference="torch", weights=str(checkpoint), limit=1)
    )
    assert [a.id for a in result.artifacts] == ["torch-fp32", "fp32"]
    assert result.artifacts[1].agreement > 99.9


# ---- what may not be compared


def test_artifacts_that_do_not_belong_together_are_refused(tiny: Artifact, int8: Artifact) -> None:
    spec = int8.manifest.input
    larger = _changed(int8, input=spec.model_copy(update={"shape": (1, 3, 97, 97)}))
    shifted = _changed(int8, input=spec.model_copy(update={"mean": (0.5, 0.5, 0.5)}))
    renamed_classes = _changed(int8, classes=("sky", *int8.manifest.classes[1:]))
    recoloured = _changed(int8, palette=((1, 2, 3), *int8.manifest.palette[1:]))
    fewer = _changed(int8, classes=int8.manifest.classes[:20])
    for other, message in (
        (larger, "differ in size, 65x65 and 97x97"),
        (shifted, r"normalisation, mean \(0.485, 0.456, 0.406\) .* \(0.5, 0.5, 0.5\)"),
        (renamed_classes, "names or colours of the classes"),
        (recoloured, "names or colours of the classes"),
        (fewer, "number of classes, 21 and 20"),
    ):
        with pytest.raises(ComparisonError, match=message):
            refuse_mixed([tiny, other], "squash")


def test_a_result_tells_label_sets_apart(tiny: Artifact, voc: Path, tmp_path: Path) -> None:
    root = shutil.copytree(voc, tmp_path / "VOC2012")
    same = validate([tiny], str(root), tmp_path / "a", Conditions(limit=2))
    Image.new("L", (96, 80)).save(root / "SegmentationClass/val_001.png")
    other = validate([tiny], str(root), tmp_path / "b", Conditions(limit=2))
    assert same.dataset.ids_sha256 == other.dataset.ids_sha256
    assert same.dataset.labels_sha256 != other.dataset.labels_sha256
    expected = [
        hashlib.sha256((voc / f"SegmentationClass/val_00{i}.png").read_bytes()).hexdigest()
        for i in (0, 1)
    ]
    joined = hashlib.sha256("\n".join(expected).encode()).hexdigest()
    assert same.dataset.labels_sha256 == joined


def test_one_network_twice_or_two_networks_are_refused(tiny: Artifact, int8: Artifact) -> None:
    with pytest.raises(ComparisonError, match="different networks: other, tiny"):
        refuse_mixed([tiny, _changed(int8, name="other")], "squash")
    with pytest.raises(ComparisonError, match="two artifacts are both int8"):
        refuse_mixed([tiny, int8, _changed(int8, parent_sha256=None)], "squash")
    refuse_mixed([tiny, int8, _changed(int8, target="npu")], "squash")


def test_an_artifact_of_another_checkpoint_is_refused(
    tiny: Artifact, int8: Artifact, voc: Path, tmp_path: Path
) -> None:
    """Same name, same shapes, other weights: its drop would be two networks' difference."""
    stranger = tiny.manifest.weights.model_copy(update={"how": "file", "sha256": "0" * 64})
    other = _changed(int8, weights=stranger, parent_sha256="1" * 64)
    with pytest.raises(ComparisonError):
        validate([tiny, other], str(voc), tmp_path / "out", Conditions(limit=1))


def test_a_checkpoint_under_another_file_name_is_the_same_checkpoint(from_file: Artifact) -> None:
    renamed = from_file.manifest.weights.model_copy(update={"file": "renamed.pth"})
    refuse_mixed([from_file, _changed(from_file, weights=renamed, target="npu")], "squash")


def test_nothing_to_validate_is_an_error(voc: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one artifact"):
        validate([], str(voc), tmp_path / "out")


# ---- calibration images


def test_allowing_overlap_marks_nothing_where_there_is_none(
    tiny: Artifact, int8: Artifact, voc: Path, tmp_path: Path
) -> None:
    result = validate([tiny, int8], str(voc), tmp_path, Conditions(allow_overlap=True, limit=1))
    assert not result.overlap_allowed
    report(tmp_path / "result.json", tmp_path)
    assert "overlap" not in (tmp_path / "report.md").read_text()


# ---- nothing half done


def test_a_folder_that_cannot_be_written_is_found_before_the_work(
    tiny: Artifact, voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: Any, **__: Any) -> Any:
        raise AssertionError("images were evaluated first")

    monkeypatch.setattr("validate.judging.comparison.evaluate", work)
    (tmp_path / "file").write_text("")
    with pytest.raises(SegportError, match="cannot write"):
        validate([tiny], str(voc), tmp_path / "file" / "out")
