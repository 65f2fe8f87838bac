import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.artifact.artifact import Artifact
from export.artifact.classes import palette
from export.common.errors import DataError
from tests.validate.fakes import FakeEngine, Outputs, logits_of, save_rgb
from validate.predict.overlays import OVERLAY_ALPHA, legend, overlay, palette_image
from validate.predict.prediction import predict
from validate.runtime.engine import Runtime
from validate.runtime.runtimes import open_runtime
from validate.runtime.table import RUNTIMES, RuntimeEntry


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
    done = predict(artifact, image, tmp_path)
    (found,) = done.images
    assert done.failed == [] and done.runtime.name == "ort-cpu"
    assert sorted(tmp_path.iterdir()) == [done.legend, found.mask, found.overlay]
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
    assert list(found.classes) == by_size[: np.count_nonzero(counts)]
    largest = found.classes[by_size[0]]
    assert largest == pytest.approx(100 * counts.max() / indices.size, abs=1e-3)
    assert sum(found.classes.values()) == pytest.approx(100, abs=0.02)


def test_a_folder_of_images_of_different_sizes(tiny: Artifact, voc: Path, tmp_path: Path) -> None:
    source = tmp_path / "images"
    source.mkdir()
    shutil.copy(voc / "JPEGImages/val_000.jpg", source / "b.jpg")
    save_rgb(source / "a.png", np.random.default_rng(0).integers(0, 256, (50, 33, 3)))
    seen: list[tuple[int, int]] = []
    done = predict(tiny, source, tmp_path / "out", progress=lambda *step: seen.append(step))
    found = done.images
    assert [p.id for p in found] == ["a", "b"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "a-mask.png", "a-overlay.jpg", "b-mask.png", "b-overlay.jpg", "legend.png",
    ]  # fmt: skip
    for prediction, size in zip(found, ((33, 50), (96, 80)), strict=True):
        for path in (prediction.mask, prediction.overlay):
            with Image.open(path) as file:
                assert file.size == size
    assert seen == [(1, 2), (2, 2)]


def _answer(monkeypatch: pytest.MonkeyPatch, outputs: Outputs) -> None:
    """Register the runtime `fake`, which answers every image with `outputs`."""
    opened = Runtime("fake", "nowhere", FakeEngine(outputs))
    monkeypatch.setitem(RUNTIMES, "fake", RuntimeEntry("", lambda artifact, weights: opened))


def _right_half_person() -> np.ndarray:
    classes = np.zeros((65, 65), np.uint8)
    classes[:, 33:] = 15
    return classes


def test_the_overlay_leaves_background_untouched(
    tiny: Artifact, voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _answer(monkeypatch, logits_of(_right_half_person(), 21))
    image = voc / "JPEGImages/val_000.jpg"
    (found,) = predict(tiny, image, tmp_path, runtime="fake").images
    with Image.open(image) as file:
        original = np.asarray(file.convert("RGB")).astype(np.float64)
    with Image.open(found.overlay) as file:
        assert file.mode == "RGB"
        shown = np.asarray(file).astype(np.float64)
    with Image.open(found.mask) as file:
        person = np.asarray(file) == 15
    assert 0.4 < person.mean() < 0.6 and set(found.classes) == {"background", "person"}
    # VOC's colour of class 15, person, is (192, 128, 128); JPEG is near, not the same
    blended = (1 - OVERLAY_ALPHA) * original + OVERLAY_ALPHA * np.array([192, 128, 128])
    for part, wanted in ((~person, original), (person, blended)):
        assert np.abs(shown[part] - wanted[part]).mean() < 5
        assert np.abs(shown[part].mean(0) - wanted[part].mean(0)).max() < 2
    assert np.abs(original[person].mean(0) - blended[person].mean(0)).max() > 10


def test_overlay_by_hand() -> None:
    picture = Image.fromarray(np.array([[[100, 0, 200], [100, 0, 200]]], np.uint8))
    colours = np.array([[9, 9, 9], [0, 255, 100]], np.uint8)
    found = np.asarray(overlay(picture, palette_image(np.array([[0, 1]], np.uint8), colours)))
    # 0.45 * (100, 0, 200) + 0.55 * (0, 255, 100) = (45, 140.25, 145)
    assert OVERLAY_ALPHA == 0.55
    assert found[0, 0].tolist() == [100, 0, 200]
    assert np.abs(found[0, 1] - np.array([45.0, 140.25, 145.0])).max() <= 1


@pytest.mark.parametrize("classes", [2, 21, 255])
def test_the_legend_shows_every_colour_beside_its_name(classes: int) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (classes, 3)).astype(np.uint8)
    names = [f"class {index}" for index in range(classes)]
    shown = np.asarray(legend(names, colours))
    pixels = {tuple(colour) for colour in shown.reshape(-1, 3).tolist()}
    assert {tuple(colour) for colour in colours.tolist()} <= pixels
    # text is dark on white: a legend without its last name differs right of the swatches
    other = np.asarray(legend([*names[:-1], "class !"], colours))
    assert shown.shape != other.shape or (shown != other).any()


def test_rotated_photographs_are_answered_upright(
    tiny: Artifact, voc: Path, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(voc / "JPEGImages/val_000.jpg") as file:
        file.save(tmp_path / "photo.png", exif=exif)
    (found,) = predict(tiny, tmp_path / "photo.png", tmp_path / "out").images
    for path in (found.mask, found.overlay):
        with Image.open(path) as file:
            assert file.size == (80, 96)


def test_a_mask_only_artifact_is_answered_too(
    tiny: Artifact, voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _answer(monkeypatch, {"mask": _right_half_person()[None]})
    image = voc / "JPEGImages/val_000.jpg"
    (found,) = predict(tiny, image, tmp_path, runtime="fake").images
    with Image.open(found.mask) as file:
        # columns of the image that lie over columns 33 to 64 of the mask: (x + .5) * 65 / 96 >= 33
        expected = [15 if int((x + 0.5) * 65 / 96) >= 33 else 0 for x in range(96)]
        assert np.asarray(file).tolist() == [expected] * 80


def test_what_cannot_be_predicted_leaves_nothing_behind(tiny: Artifact, tmp_path: Path) -> None:
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
    assert not out.exists()


def _colours(*values: int) -> list[Image.Image]:
    return [Image.new("RGB", (40, 30), (value, 90, 160)) for value in values]


def test_subfolders_are_kept_and_hidden_ones_left_out(tiny: Artifact, tmp_path: Path) -> None:
    source = tmp_path / "photos"
    for name in ("a.png", "day 1/a.png", "day 1/deep/b.JPG", ".cache/c.png", "day 1/notes.txt"):
        save_rgb(source / "x.png", np.zeros((30, 40, 3)))
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / "x.png").rename(source / name)
    out = source / "masks"  # inside: what one run writes is no input of the next
    for _ in range(2):
        done = predict(tiny, source, out)
        assert [one.id for one in done.images] == ["a", "day 1/a", "day 1/deep/b"]
    assert (out / "day 1/deep/b-mask.png").is_file() and (out / "legend.png").is_file()
    with pytest.raises(DataError, match="choose another folder with -o"):
        predict(tiny, source, source)


def test_two_pictures_of_one_name_are_refused(tiny: Artifact, tmp_path: Path) -> None:
    source = tmp_path / "photos"
    for name in ("sub/a.png", "sub/a.bmp", "a.png"):
        save_rgb(source / name, np.zeros((30, 40, 3)))
    with pytest.raises(DataError, match=r"a\.bmp and .*a\.png would both be written as sub/a"):
        predict(tiny, source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("format", ["gif", "png", "webp", "tiff"])
def test_animations_and_pages_are_frames(
    tiny: Artifact, tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    opened = open_runtime(tiny)

    class Watching:
        def outputs(self, image: np.ndarray) -> Outputs:
            seen.append(float(image[0, 0].mean()))
            return opened.engine.outputs(image)

    fake = Runtime("fake", "nowhere", Watching())
    monkeypatch.setitem(RUNTIMES, "fake", RuntimeEntry("", lambda artifact, weights: fake))
    first, *others = _colours(0, 120, 250)
    first.save(tmp_path / f"clip.{format}", save_all=True, append_images=others)
    save_rgb(tmp_path / "still.png", np.zeros((30, 40, 3)))
    done = predict(tiny, tmp_path, tmp_path / "out", runtime="fake")
    assert [one.id for one in done.images] == ["clip-0001", "clip-0002", "clip-0003", "still"]
    # the frames' own red, (value / 255 - 0.485) / 0.229, in their order
    wanted = [(value / 255 - 0.485) / 0.229 for value in (0, 120, 250, 0)]
    np.testing.assert_allclose(seen, wanted, atol=0.1)
    with Image.open(done.images[1].mask) as mask:
        assert mask.size == (40, 30)


def test_a_video_is_answered_with_how_to_take_it_apart(tiny: Artifact, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"ftyp")
    with pytest.raises(DataError, match=r"ffmpeg -i .*clip\.mp4.*frames/%06d\.png"):
        predict(tiny, tmp_path / "clip.mp4", tmp_path / "out")


def test_a_data_set_gives_its_split(tiny: Artifact, voc: Path, tmp_path: Path) -> None:
    """And not the masks beside the images."""
    done = predict(tiny, voc, tmp_path)
    assert [one.id for one in done.images] == [f"val_{index:03d}" for index in range(4)]


def test_memory_does_not_grow_with_the_pictures(
    tiny: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never more than a few pictures between reading and writing."""
    import validate.predict.prediction as module

    source, under_way, most = tmp_path / "photos", 0, 0
    for index in range(30):
        save_rgb(source / f"{index:02d}.png", np.zeros((30, 40, 3)))
    read, write = module.Reader.__call__, module._write

    def counted(self: object, frame: object) -> Image.Image:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        return read(self, frame)  # type: ignore[arg-type]

    def slow(*arguments: object) -> object:
        nonlocal under_way
        time.sleep(0.01)
        under_way -= 1
        return write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module.Reader, "__call__", counted)
    monkeypatch.setattr(module, "_write", slow)
    assert len(predict(tiny, source, tmp_path / "out").images) == 30
    assert 2 <= most <= 10
