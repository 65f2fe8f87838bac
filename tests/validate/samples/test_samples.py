import hashlib
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from export.artifact.artifact import Artifact
from export.artifact.classes import palette
from export.common.errors import DataError, UsageError
from tests.validate.fakes import save_mask, save_rgb
from validate.data.datasets import open_dataset
from validate.data.items import Dataset, Item
from validate.samples.labels import read_mask
from validate.samples.samples import Preparation, Samples, ahead, read_image

HEIGHT, WIDTH = 12, 20
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _picture(seed: int = 0) -> np.ndarray:
    cells = np.random.default_rng(seed).integers(0, 256, (3, 5, 3), dtype=np.uint8)
    return np.repeat(np.repeat(cells, HEIGHT // 3, 0), WIDTH // 5, 1)


def _plain(size: tuple[int, int] = (HEIGHT, WIDTH)) -> Preparation:
    """No resize for an image of `size`, and pixels in 0-1 units."""
    return Preparation("squash", size, (0, 0, 0), (1, 1, 1), 21)


def _pixels(preparation: Preparation, item: Item) -> np.ndarray:
    """The prepared image as RGB, uint8 (H, W, 3)."""
    image = preparation.sample(item).image
    return np.rint(255 * image[0].transpose(1, 2, 0)).astype(np.uint8)


def _in_mode(mode: str) -> Image.Image:
    picture = Image.fromarray(_picture())
    if mode == "P":
        return picture.quantize(16)
    if mode in ("RGBA", "LA"):
        converted = picture.convert(mode)
        converted.putalpha(Image.fromarray(_picture(1)[..., 0]))
        return converted
    return picture.convert(mode)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("L", "jpg"),
        ("L", "png"),
        ("1", "png"),
        ("CMYK", "jpg"),
        ("RGBA", "png"),
        ("LA", "png"),
        ("P", "png"),
        ("RGB", "bmp"),
        ("RGB", "webp"),
        ("CMYK", "tif"),
    ],
)
def test_any_image_mode_is_read_as_pils_rgb(tmp_path: Path, mode: str, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    _in_mode(mode).save(path)
    with Image.open(path) as file:
        assert file.mode == mode  # the file really is what the test is about
        expected = np.asarray(file.convert("RGB"))
    np.testing.assert_array_equal(_pixels(_plain(), Item("x", path, None)), expected)


def test_16_bits_of_grey_are_scaled_not_clipped(tmp_path: Path) -> None:
    """PIL's own conversion makes white of all but the darkest 256 of the 65536 values."""
    grey = _picture()[..., 0]
    for suffix in ("png", "tif"):
        path = tmp_path / f"x.{suffix}"
        Image.fromarray(grey.astype(np.uint16) * 257).save(path)
        with Image.open(path) as file:
            assert file.mode == "I;16"
        expected = np.repeat(grey[..., None], 3, 2)
        np.testing.assert_array_equal(_pixels(_plain(), Item("x", path, None)), expected)


def test_a_picture_without_a_known_range_is_refused(tmp_path: Path) -> None:
    for mode in ("F", "I"):
        Image.fromarray(_picture()[..., 0]).convert(mode).save(tmp_path / "x.tif")
        with pytest.raises(DataError, match=rf"image some_id: cannot read .*x\.tif.*mode {mode}"):
            read_image(Item("some_id", tmp_path / "x.tif", None))


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """What a stored picture looks like upright, by EXIF's table of the eight orientations."""
    return {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, -1),
        7: pixels[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(pixels),
    }[orientation]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_exif_rotated_images_are_set_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(_picture()).save(path, exif=exif)
    with Image.open(path) as file:
        expected = _turned(np.asarray(file.convert("RGB")), orientation)
    item = Item("x", path, None)
    np.testing.assert_array_equal(_pixels(_plain(expected.shape[:2]), item), expected)


def test_a_label_belongs_to_the_upright_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(_picture()).save(tmp_path / "x.png", exif=exif)
    upright = np.zeros((WIDTH, HEIGHT), np.uint8)
    upright[0] = 7
    save_mask(tmp_path / "good.png", upright)
    save_mask(tmp_path / "stored.png", upright.T)
    good = _plain((WIDTH, HEIGHT)).labelled(Item("x", tmp_path / "x.png", tmp_path / "good.png"))
    assert good.image_size == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(good.label, upright)
    with pytest.raises(DataError, match="mask is 20x12, the image 12x20; where EXIF turns"):
        _plain().labelled(Item("x", tmp_path / "x.png", tmp_path / "stored.png"))


def test_normalisation_is_pixel_over_255_minus_mean_over_std(tmp_path: Path) -> None:
    save_rgb(tmp_path / "x.png", _picture())
    preparation = Preparation("squash", (HEIGHT, WIDTH), MEAN, STD, 21)
    sample = preparation.sample(Item("x", tmp_path / "x.png", None))
    expected = (_picture().astype(np.float64) / 255 - MEAN) / STD
    assert sample.image.dtype == np.float32 and sample.image.shape == (1, 3, HEIGHT, WIDTH)
    assert sample.image.flags["C_CONTIGUOUS"]
    np.testing.assert_allclose(sample.image[0], expected.transpose(2, 0, 1), atol=2e-6)


def test_a_sample_carries_id_and_digest_of_its_file(tmp_path: Path) -> None:
    save_rgb(tmp_path / "x.png", _picture())
    sample = _plain().sample(Item("name", tmp_path / "x.png", None))
    digest = hashlib.sha256((tmp_path / "x.png").read_bytes()).hexdigest()
    assert (sample.id, sample.sha256) == ("name", digest)


def test_preparation_follows_the_artifact(tiny: Artifact) -> None:
    found = Preparation.for_artifact(tiny.manifest, "center-crop")
    assert found == Preparation("center-crop", (65, 65), MEAN, STD, 21, tuple(palette(21)))
    with pytest.raises(UsageError, match="did you mean 'full'"):
        Preparation.for_artifact(tiny.manifest, "ful")


def test_image_and_label_go_through_the_protocol(tmp_path: Path) -> None:
    columns = np.arange(4, dtype=np.uint8)
    save_rgb(tmp_path / "x.png", np.repeat(np.tile(columns, (2, 1))[..., None], 3, 2))
    save_mask(tmp_path / "m.png", np.tile(columns, (2, 1)))
    item = Item("x", tmp_path / "x.png", tmp_path / "m.png")
    cropped = Preparation("center-crop", (2, 2), (0, 0, 0), (1, 1, 1), 21).labelled(item)
    assert cropped.label is not None and cropped.label.tolist() == [[1, 2], [1, 2]]
    np.testing.assert_allclose(cropped.sample.image[0, 0], np.array([[1, 2], [1, 2]]) / 255)
    assert cropped.image_size == (2, 4)
    full = Preparation("full", (2, 2), (0, 0, 0), (1, 1, 1), 21).labelled(item)
    assert full.label is not None and full.label.tolist() == [[0, 1, 2, 3]] * 2
    assert full.sample.image.shape == (1, 3, 2, 2)


def _truncate(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _garbage(path: Path) -> None:
    path.write_bytes(b"this is no image at all" * 10)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _bomb(path: Path) -> None:
    """A PNG that claims 20000 x 20000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", 20000, 20000, 8, 0, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


@pytest.mark.parametrize("damage", [_truncate, _garbage, _empty, _bomb])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_damaged_image_is_named(
    tmp_path: Path, damage: Callable[[Path], None], suffix: str
) -> None:
    path = tmp_path / f"broken.{suffix}"
    save_rgb(path, np.random.default_rng(0).integers(0, 256, (64, 64, 3)))
    damage(path)
    with pytest.raises(DataError, match=f"image some_id: cannot read .*broken.{suffix}"):
        read_image(Item("some_id", path, None))


@pytest.mark.parametrize("damage", [_truncate, _garbage, _empty, _bomb])
def test_a_damaged_mask_is_named(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = tmp_path / "broken.png"
    save_mask(path, np.random.default_rng(0).integers(0, 21, (64, 64)))
    damage(path)
    with pytest.raises(DataError, match=r"image some_id: cannot read its mask .*broken\.png"):
        read_mask(Item("some_id", path, path), (64, 64), 21)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="image gone: cannot read"):
        read_image(Item("gone", tmp_path / "gone.jpg", None))


def _read_classes(path: Path, classes: int = 21) -> Any:
    return np.asarray(read_mask(Item("x", path, path), (2, 3), classes)).tolist()


def test_masks_give_their_indices_whatever_the_palette(tmp_path: Path) -> None:
    rows = [[0, 20, 255], [3, 4, 5]]
    indexed = Image.fromarray(np.array(rows, np.uint8))
    indexed.putpalette([255 - v for v in range(256) for _ in range(3)])
    indexed.save(tmp_path / "palette.png")
    save_mask(tmp_path / "grey.png", rows)
    with Image.open(tmp_path / "palette.png") as file:
        assert file.mode == "P"
    assert _read_classes(tmp_path / "palette.png") == rows
    assert _read_classes(tmp_path / "grey.png") == rows


def test_colour_coded_masks_are_read_by_the_devkits_colours(tmp_path: Path) -> None:
    """Colours as the VOC devkit prints them: aeroplane, person, tvmonitor, void."""
    rows = [
        [[0, 0, 0], [128, 0, 0], [192, 128, 128]],
        [[0, 64, 128], [224, 224, 192], [0, 0, 0]],
    ]
    save_rgb(tmp_path / "m.png", rows)
    assert _read_classes(tmp_path / "m.png") == [[0, 1, 15], [20, 255, 0]]
    with_alpha = Image.fromarray(np.array(rows, np.uint8))
    with_alpha.putalpha(7)
    with_alpha.save(tmp_path / "alpha.png")
    assert _read_classes(tmp_path / "alpha.png") == [[0, 1, 15], [20, 255, 0]]


def test_colours_of_the_artifact_come_before_the_devkits(tmp_path: Path) -> None:
    rows = [[[10, 20, 30], [224, 224, 192], [0, 0, 0]]] * 2
    save_rgb(tmp_path / "m.png", rows)
    item = Item("x", tmp_path / "m.png", tmp_path / "m.png")
    colours = [(0, 0, 0), (10, 20, 30), (0, 0, 0)]  # a colour of two classes is the first one's
    found = np.asarray(read_mask(item, (2, 3), 3, colours))
    assert found.tolist() == [[1, 255, 0]] * 2
    own_void = [(0, 0, 0), (10, 20, 30), (224, 224, 192)]
    assert np.asarray(read_mask(item, (2, 3), 3, own_void)).tolist() == [[1, 2, 0]] * 2


def test_a_colour_of_a_class_the_network_lacks_is_unknown(tmp_path: Path) -> None:
    save_rgb(tmp_path / "m.png", [[[0, 0, 0], [128, 0, 0], [0, 128, 0]]] * 2)
    assert _read_classes(tmp_path / "m.png", 3) == [[0, 1, 2]] * 2
    with pytest.raises(DataError, match=r"colour \(0, 128, 0\) at x=2 y=0"):
        _read_classes(tmp_path / "m.png", 2)


@pytest.mark.parametrize("mode", ["LA", "CMYK", "F"])
def test_a_mask_of_another_mode_is_refused(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(np.zeros((2, 3), np.uint8)).convert(mode)
    picture.save(tmp_path / "m.tif")
    with pytest.raises(DataError, match=rf"image x: mask .*m\.tif has mode {mode}"):
        _read_classes(tmp_path / "m.tif")


def test_indices_may_have_16_bits_but_no_other_values(tmp_path: Path) -> None:
    rows = np.array([[0, 20, 255], [3, 4, 5]], np.uint16)
    Image.fromarray(rows).save(tmp_path / "m.png")
    with Image.open(tmp_path / "m.png") as file:
        assert file.mode == "I;16"
    assert _read_classes(tmp_path / "m.png") == rows.tolist()
    rows[0, 0] = 256  # 0 in its lower byte
    Image.fromarray(rows).save(tmp_path / "m.png")
    with pytest.raises(DataError, match=r"holds \[256\]"):
        _read_classes(tmp_path / "m.png")


def test_the_class_count_is_the_artifacts(tmp_path: Path) -> None:
    save_mask(tmp_path / "m.png", [[0, 1, 255], [2, 2, 2]])
    assert _read_classes(tmp_path / "m.png", 3) == [[0, 1, 255], [2, 2, 2]]
    with pytest.raises(DataError, match=r"holds \[2\]; allowed are 0-1 and 255"):
        _read_classes(tmp_path / "m.png", 2)


def test_samples_are_a_sized_sequence_that_can_be_read_again(tiny: Artifact, voc: Path) -> None:
    dataset = open_dataset(f"{voc}:train", "train", masks=False)
    samples = Samples(dataset, Preparation.for_artifact(tiny.manifest, "squash"))
    ids = [f"train_{index:03d}" for index in range(4)]
    assert len(samples) == 4
    assert [s.id for s in samples] == ids == [s.id for s in samples]
    assert samples[2].id == ids[2] and samples[-1].id == ids[-1]
    assert [s.id for s in samples[1:3]] == ids[1:3]
    np.testing.assert_array_equal(samples[1].image, list(samples)[1].image)


def test_identities_are_those_of_the_samples(tiny: Artifact, voc: Path) -> None:
    dataset = open_dataset(f"{voc}:train", "train", masks=False)
    samples = Samples(dataset, Preparation.for_artifact(tiny.manifest, "squash"))
    found = [(image.id, image.sha256) for image in samples.identities()]
    assert found == [(sample.id, sample.sha256) for sample in samples]


def test_identities_need_no_readable_image_but_a_readable_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"broken")
    items = (Item("a", tmp_path / "a.png", None), Item("b", tmp_path / "b.png", None))
    (image,) = Samples(Dataset("d", "s", items[:1]), _plain()).identities()
    assert image.sha256 == hashlib.sha256(b"broken").hexdigest()
    with pytest.raises(DataError, match=r"image b: cannot read .*b\.png"):
        Samples(Dataset("d", "s", items), _plain()).identities()


def test_ahead_keeps_order() -> None:
    assert list(ahead(lambda n: n * n, range(20))) == [n * n for n in range(20)]
    assert list(ahead(lambda n: n, [])) == []
    assert list(ahead(lambda n: -n, range(2), depth=5)) == [0, -1]


def test_ahead_works_in_another_thread_and_only_a_few_items_in_advance() -> None:
    done: list[int] = []
    names: set[str] = set()

    def prepare(number: int) -> int:
        done.append(number)
        names.add(threading.current_thread().name)
        return number

    stream: Iterator[int] = iter(ahead(prepare, range(100), depth=3))
    assert next(stream) == 0
    time.sleep(0.1)  # long enough for all hundred of them
    stream.close()  # type: ignore[attr-defined]
    assert len(done) <= 4  # the one that was given and three ahead
    assert threading.current_thread().name not in names


def test_ahead_raises_in_the_caller_when_its_turn_comes() -> None:
    def prepare(number: int) -> int:
        if number == 2:
            raise DataError("image 2 is broken")
        return number

    stream = ahead(prepare, range(5))
    assert [next(stream), next(stream)] == [0, 1]
    with pytest.raises(DataError, match="image 2 is broken"):
        next(stream)
