import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageFilter

from export.artifact.classes import VOC_CLASSES
from segport.demo.backgrounds import background
from segport.demo.drawing import paint, pose
from segport.demo.scenes import OBJECTS, SIZES, Scene, scene
from segport.demo.textures import TEXTURES

_PRINT_DIGEST = """
import hashlib
from segport.demo.scenes import scene
made = scene(3, 2)
print(hashlib.sha256(made.image.tobytes() + made.label.tobytes()).hexdigest())
"""


@pytest.fixture(scope="module")
def twenty() -> list[Scene]:
    return [scene(number, 5) for number in range(20)]


@pytest.mark.slow
def test_another_process_draws_the_same_scene() -> None:
    command = [sys.executable, "-c", _PRINT_DIGEST]
    first = subprocess.run(command, capture_output=True, text=True, check=True)
    second = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(first.stdout.strip()) == 64
    assert first.stdout == second.stdout


def test_scenes_and_series_differ(twenty: list[Scene]) -> None:
    assert len({made.image.tobytes() for made in twenty}) == 20
    assert scene(0, 6).image.tobytes() != twenty[0].image.tobytes()


def test_every_voc_class_can_be_drawn() -> None:
    assert tuple(OBJECTS) == VOC_CLASSES[1:]


def test_twenty_scenes_in_a_row_show_every_class(twenty: list[Scene]) -> None:
    seen = set[int]()
    for made in twenty:
        seen |= set(np.unique(made.label).tolist())
    assert seen == {*range(21), 255}


def test_image_and_label_belong_together(twenty: list[Scene]) -> None:
    for made in twenty:
        assert made.image.dtype == made.label.dtype == np.uint8
        assert made.image.shape == (*made.label.shape, 3)
        assert made.label.shape in SIZES


def test_void_is_a_thin_line(twenty: list[Scene]) -> None:
    voids = [made.label == 255 for made in twenty]
    assert all(0.002 < void.mean() < 0.2 for void in voids)
    # only between twigs and slats do borders grow together
    smallest = ImageFilter.MinFilter(9)
    solid = sum(
        int(np.asarray(Image.fromarray(void).convert("L").filter(smallest)).astype(bool).sum())
        for void in voids
    )
    assert solid < 0.01 * sum(int(void.sum()) for void in voids)


def test_no_two_labels_touch_without_void_between(twenty: list[Scene]) -> None:
    for made in twenty:
        for a, b in (
            (made.label[:, 1:], made.label[:, :-1]),
            (made.label[1:], made.label[:-1]),
        ):
            assert not np.any((a != b) & (a != 255) & (b != 255))


def test_objects_come_in_very_different_sizes(twenty: list[Scene]) -> None:
    shares = [
        float(np.mean(made.label == label))
        for made in twenty
        for label in np.unique(made.label)
        if label not in (0, 255)
    ]
    assert min(shares) < 0.02
    assert max(shares) > 0.15


def test_pictures_are_exposed_differently(twenty: list[Scene]) -> None:
    brightness = [float(made.image.mean()) for made in twenty]
    assert max(brightness) > 1.8 * min(brightness)


@pytest.mark.parametrize("name", OBJECTS)
def test_the_mask_of_an_object_is_what_was_painted(name: str) -> None:
    rng = np.random.default_rng(1)
    grey = np.full((200, 240, 3), 127.25, np.float32)  # no paint has this value
    picture = grey.copy()
    parts = OBJECTS[name](rng)
    covered = paint(picture, parts, pose(parts, (120.0, 100.0), 150.0, rng), rng)
    changed = np.any(np.abs(picture - grey) > 1e-3, axis=2)
    assert np.all(changed[covered])
    # antialiasing touches the next pixel, nothing farther away
    grown = Image.fromarray(covered.astype(np.uint8)).filter(ImageFilter.MaxFilter(3))
    assert not np.any(changed & (np.asarray(grown) == 0))


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_has_the_extent_it_was_asked_for(name: str) -> None:
    rng = np.random.default_rng(2)
    picture = np.zeros((400, 400, 3), np.float32)
    parts = OBJECTS[name](rng)
    covered = paint(picture, parts, pose(parts, (200.0, 200.0), 200.0, rng), rng)
    rows, columns = np.nonzero(covered)
    extent = max(np.ptp(rows), np.ptp(columns))
    assert 140 < extent < 260  # turned, sheared and stretched by up to 15 %


@pytest.mark.parametrize("name", TEXTURES)
def test_a_texture_is_a_weight_that_varies(name: str) -> None:
    v, u = np.mgrid[0:1:100j, 0:1:100j]
    weight = TEXTURES[name](u, v, np.random.default_rng(0))
    assert weight.shape == u.shape
    assert 0 <= weight.min() < weight.max() <= 1


def test_an_object_outside_the_picture_covers_nothing() -> None:
    rng = np.random.default_rng(3)
    picture = np.zeros((50, 50, 3), np.float32)
    parts = OBJECTS["car"](rng)
    assert not paint(picture, parts, pose(parts, (500.0, 500.0), 40.0, rng), rng).any()
    assert not picture.any()


def test_backgrounds_vary() -> None:
    rng = np.random.default_rng(4)
    colours = [background(60, 80, rng).mean(axis=(0, 1)) for _ in range(8)]
    assert np.ptp(np.stack(colours), axis=0).min() > 20
