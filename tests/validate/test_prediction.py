import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.artifact import Artifact
from export.classes import palette
from export.errors import DataError, SegportError, UsageError
from tests.validate.fakes import FakeEngine, Outputs, logits_of, save_rgb
from validate.prediction import OVERLAY_ALPHA, overlay, predict
from validate.runtimes import RUNTIMES, Runtime, open_runtime


def _independent(artifact: Artifact, image: Path) -> np.ndarray:
    """Classes at the image's own size: squash, infer, resize each plane, argmax."""
    with Image.open(image) as file:
        picture = file.convert("RGB")
    squashed = np.asarray(picture.resize((65, 65), Image.Resampling.BILINEAR), np.float64) / 255
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    tensor = ((squashed - mean) / std).transpose(2, 0, 1)[None].astype(np.float32)
    logits = open_runtime(artifact).engine.outputs(tensor)["logits"][0]
    planes = [Image.fromarray(p).resize(picture.size, Image.Resampling.BILINEAR) for p in logits]
    return np.stack([np.asarray(plane) for plane in planes]).argmax(0)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_masks_are_palette_images_of_class_indices_at_the_images_own_size(
    tiny: Artifact, int8: Artifact, voc: Path, tmp_path: Path, precision: str
) -> None:
    artifact = {"fp32": tiny, "int8": int8}[precision]
    image = voc / "JPEGImages/val_001.jpg"
    (found,) = predict(artifact, image, tmp_path)
    assert sorted(tmp_path.iterdir()) == [found.mask, found.overlay]
    assert found.id == "val_001"
    with Image.open(found.mask) as file:
        assert file.format == "PNG" and file.mode == "P" and file.size == (96, 80)
        indices = np.asarray(file)
        colours = np.asarray(file.getpalette()).reshape(-1, 3)[:21]
    assert colours.tolist() == [list(colour) for colour in palette(21)]
    expected = _independent(artifact, image)
    # the same arithmetic in float64 may decide a tie the other way
    assert (indices == expected).mean() > 0.999
    assert len(np.unique(indices)) > 1
    counts = np.bincount(indices.reshape(-1), minlength=21)
    by_size = [artifact.manifest.classes[c] for c in sorted(range(21), key=lambda c: -counts[c])]
    assert found.classes == by_size[: np.count_nonzero(counts)]


def test_a_folder_of_images_of_different_sizes(tiny: Artifact, voc: Path, tmp_path: Path) -> None:
    source = tmp_path / "images"
    source.mkdir()
    shutil.copy(voc / "JPEGImages/val_000.jpg", source / "b.jpg")
    save_rgb(source / "a.png", np.random.default_rng(0).integers(0, 256, (50, 33, 3)))
    seen: list[tuple[int, int]] = []
    found = predict(tiny, source, tmp_path / "out", progress=lambda *step: seen.append(step))
    assert [p.id for p in found] == ["a", "b"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "a-mask.png", "a-overlay.png", "b-mask.png", "b-overlay.png",
    ]  # fmt: skip
    for prediction, size in zip(found, ((33, 50), (96, 80)), strict=True):
        for path in (prediction.mask, prediction.overlay):
            with Image.open(path) as file:
                assert file.size == size
    assert seen == [(1, 2), (2, 2)]


def _answer(monkeypatch: pytest.MonkeyPatch, outputs: Outputs) -> None:
    """Register the runtime `fake`, which answers every image with `outputs`."""
    opened = Runtime("fake", "nowhere", FakeEngine(outputs))
    monkeypatch.setitem(RUNTIMES, "fake", lambda artifact, weights: opened)


def _right_half_person() -> np.ndarray:
    classes = np.zeros((65, 65), np.uint8)
    classes[:, 33:] = 15
    return classes


def test_the_overlay_leaves_background_untouched(
    tiny: Artifact, voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _answer(monkeypatch, logits_of(_right_half_person(), 21))
    image = voc / "JPEGImages/val_000.jpg"
    (found,) = predict(tiny, image, tmp_path, runtime="fake")
    with Image.open(image) as file:
        original = np.asarray(file.convert("RGB")).astype(np.float64)
    with Image.open(found.overlay) as file:
        assert file.mode == "RGB"
        shown = np.asarray(file).astype(np.float64)
    with Image.open(found.mask) as file:
        person = np.asarray(file) == 15
    assert 0.4 < person.mean() < 0.6 and found.classes[0] in ("background", "person")
    np.testing.assert_array_equal(shown[~person], original[~person])
    # VOC's colour of class 15, person, is (192, 128, 128)
    blended = (1 - OVERLAY_ALPHA) * original + OVERLAY_ALPHA * np.array([192, 128, 128])
    assert np.abs(shown[person] - blended[person]).max() <= 0.5


def test_overlay_by_hand() -> None:
    picture = np.array([[[100, 0, 200], [100, 0, 200]]], np.uint8)
    colours = np.array([[9, 9, 9], [0, 255, 100]], np.uint8)
    found = overlay(picture, np.array([[0, 1]], np.uint8), colours)
    # 0.45 * (100, 0, 200) + 0.55 * (0, 255, 100) = (45, 140.25, 145)
    assert OVERLAY_ALPHA == 0.55
    assert found.tolist() == [[[100, 0, 200], [45, 140, 145]]]
    assert found.dtype == np.uint8


def test_rotated_photographs_are_answered_upright(
    tiny: Artifact, voc: Path, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(voc / "JPEGImages/val_000.jpg") as file:
        file.save(tmp_path / "photo.png", exif=exif)
    (found,) = predict(tiny, tmp_path / "photo.png", tmp_path / "out")
    for path in (found.mask, found.overlay):
        with Image.open(path) as file:
            assert file.size == (80, 96)


def test_a_mask_only_artifact_is_answered_too(
    tiny: Artifact, voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _answer(monkeypatch, {"mask": _right_half_person()[None]})
    (found,) = predict(tiny, voc / "JPEGImages/val_000.jpg", tmp_path, runtime="fake")
    with Image.open(found.mask) as file:
        # columns of the image that lie over columns 33 to 64 of the mask: (x + .5) * 65 / 96 >= 33
        expected = [15 if int((x + 0.5) * 65 / 96) >= 33 else 0 for x in range(96)]
        assert np.asarray(file).tolist() == [expected] * 80


def test_what_cannot_be_predicted_leaves_nothing_behind(
    tiny: Artifact, voc: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"broken")
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    for source, message in (
        (tmp_path / "nowhere", "no such image or folder"),
        (tmp_path / "broken.jpg", "image broken: cannot read"),
        (tmp_path / "empty", "no images"),
    ):
        with pytest.raises(DataError, match=message):
            predict(tiny, source, out)
    with pytest.raises(UsageError, match="did you mean 'ort-cpu'"):
        predict(tiny, voc / "JPEGImages/val_000.jpg", out, runtime="ortcpu")
    assert not out.exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(SegportError, match="is a file"):
        predict(tiny, voc / "JPEGImages/val_000.jpg", tmp_path / "file" / "out")
