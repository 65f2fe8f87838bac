import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as tf
from torchvision.transforms._presets import SemanticSegmentation

from export.artifact.image import normalised
from export.common.errors import UsageError
from validate.samples.protocols import DEFAULT_PROTOCOL, get_protocol


def _grey(rows: list[list[int]]) -> Image.Image:
    return Image.fromarray(np.array(rows, np.uint8))


def _rows(picture: Image.Image) -> list[list[int]]:
    return np.asarray(picture).tolist()


def test_squash_ignores_the_aspect() -> None:
    protocol = get_protocol("squash")
    # 2x4 to 2x2. Bilinear over twice the pixels: the first output pixel lies at 1.0 and sees the
    # inputs at 0.5, 1.5, 2.5 with weights .75, .75, .25, so 0.25 / 1.75 * 70 = 10.
    assert _rows(protocol.image(_grey([[0, 0, 70, 70]] * 2), (2, 2))) == [[10, 60]] * 2
    # nearest: the pixels under 1.0 and 3.0
    assert _rows(protocol.label(_grey([[1, 2, 3, 255]] * 2), (2, 2))) == [[2, 255]] * 2
    assert not protocol.at_image_size


def test_center_crop_cuts_the_sides_off() -> None:
    protocol = get_protocol("center-crop")
    wide = _grey([[1, 2, 3, 4], [5, 6, 7, 8]])
    assert _rows(protocol.image(wide, (2, 2))) == [[2, 3], [6, 7]]
    assert _rows(protocol.label(wide, (2, 2))) == [[2, 3], [6, 7]]
    tall = _grey([[1, 5], [2, 6], [3, 7], [4, 8]])
    assert _rows(protocol.image(tall, (2, 2))) == [[2, 6], [3, 7]]
    assert not protocol.at_image_size


def test_full_leaves_the_label_alone() -> None:
    protocol = get_protocol("full")
    picture = _grey([[0, 0, 70, 70]] * 2)
    assert _rows(protocol.image(picture, (2, 2))) == [[10, 60]] * 2
    assert _rows(protocol.label(picture, (2, 2))) == [[0, 0, 70, 70]] * 2
    assert protocol.at_image_size


@pytest.mark.parametrize("side", [33, 64, 65])
@pytest.mark.parametrize(
    "shape", [(37, 53), (53, 37), (81, 64), (65, 65), (40, 101), (333, 500), (375, 499), (20, 31)]
)
def test_center_crop_is_torchvisions_resize_and_crop(side: int, shape: tuple[int, int]) -> None:
    """VainF's --crop_val: Resize(S) of the shorter side, CenterCrop(S)."""
    rng = np.random.default_rng(shape[0] * shape[1] + side)
    image = Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8))
    label = Image.fromarray(rng.choice(np.array([0, 3, 20, 255], np.uint8), shape))
    protocol = get_protocol("center-crop")

    resized = tf.resize(image, [side], InterpolationMode.BILINEAR)
    expected = np.asarray(tf.center_crop(resized, [side, side]))
    np.testing.assert_array_equal(np.asarray(protocol.image(image, (side, side))), expected)

    resized = tf.resize(label, [side], InterpolationMode.NEAREST)
    expected = np.asarray(tf.center_crop(resized, [side, side]))
    np.testing.assert_array_equal(np.asarray(protocol.label(label, (side, side))), expected)


SHAPES = [(333, 500), (375, 500), (500, 375), (520, 520), (281, 500), (37, 53), (1200, 601)]


@pytest.mark.parametrize("shape", SHAPES)
def test_torchvision_is_the_preset_of_its_weights(shape: tuple[int, int]) -> None:
    """`FCN_ResNet50_Weights.DEFAULT.transforms()` and all others: SemanticSegmentation(520)."""
    rng = np.random.default_rng(sum(shape))
    image = Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8))
    preset = SemanticSegmentation(resize_size=520)
    expected = preset(image).numpy()
    resized = np.asarray(get_protocol("torchvision").image(image, (0, 0)))
    exactly = (
        expected * np.reshape(preset.std, (3, 1, 1)) + np.reshape(preset.mean, (3, 1, 1))
    ) * 255
    np.testing.assert_array_equal(resized, np.rint(exactly).transpose(1, 2, 0).astype(np.uint8))
    found = normalised(resized, tuple(preset.mean), tuple(preset.std))
    np.testing.assert_allclose(found[0], expected, atol=2e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_torchvisions_labels_are_those_of_its_reference(shape: tuple[int, int]) -> None:
    """RandomResize(520, 520) of references/segmentation: functional.resize, NEAREST."""
    rng = np.random.default_rng(sum(shape))
    label = Image.fromarray(rng.choice(np.array([0, 3, 20, 255], np.uint8), shape))
    expected = np.asarray(tf.resize(label, 520, InterpolationMode.NEAREST))
    assert min(expected.shape) == 520
    found = np.asarray(get_protocol("torchvision").label(label, (0, 0)))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["squash", "center-crop", "full", "torchvision"])
def test_labels_hold_only_values_that_were_there(name: str) -> None:
    rng = np.random.default_rng(0)
    label = Image.fromarray(rng.choice(np.array([0, 7, 20, 255], np.uint8), (41, 59)))
    for size in ((33, 33), (65, 65), (33, 65)):
        found = np.unique(np.asarray(get_protocol(name).label(label, size)))
        assert found.tolist() == [0, 7, 20, 255]


@pytest.mark.parametrize("name", ["squash", "center-crop", "full"])
@pytest.mark.parametrize("size", [(33, 65), (65, 33)])
def test_images_get_the_artifacts_height_and_width(name: str, size: tuple[int, int]) -> None:
    picture = Image.new("RGB", (59, 41))
    found = get_protocol(name).image(picture, size)
    assert (found.height, found.width) == size


def test_the_default_is_squash_and_an_unknown_name_gets_the_nearest() -> None:
    assert DEFAULT_PROTOCOL == "squash"
    with pytest.raises(UsageError, match="unknown protocol 'centre-crop': did you mean 'center-c"):
        get_protocol("centre-crop")
    with pytest.raises(UsageError, match="known are center-crop, full, squash, torchvision"):
        get_protocol("xyz")
