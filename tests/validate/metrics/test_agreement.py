import numpy as np
import pytest

from validate.metrics.agreement import (
    ImageCounts,
    away_from_borders,
    boundary,
    count_image,
    near_borders,
    overall,
    worst,
)


def test_five_pixels_on_either_side_of_a_border_are_near() -> None:
    classes = np.zeros((3, 40), np.uint8)
    classes[:, 20:] = 7
    near = boundary(classes)
    assert near.dtype == np.bool_
    assert [np.flatnonzero(row).tolist() for row in near] == [list(range(15, 25))] * 3


def test_the_ring_without_label_is_the_border() -> None:
    classes = np.zeros((1, 60), np.uint8)
    classes[:, 20:24] = 255
    classes[:, 24:] = 3
    assert np.flatnonzero(boundary(classes)[0]).tolist() == list(range(15, 29))


def test_inside_a_large_region_without_label_is_away_from_borders() -> None:
    classes = np.zeros((1, 60), np.uint8)
    classes[:, 20:50] = 255
    near = boundary(classes)[0]
    assert near[15:25].all() and near[45:55].all() and not near[25:45].any()


def test_pixels_are_split_into_near_and_away() -> None:
    agree = np.array([[True, True, False, False, True]])
    near = np.array([[True, False, True, False, False]])
    images = [
        count_image("a", agree, near),
        count_image("b", np.array([[True] * 3]), np.array([[False] * 3])),
    ]
    assert images[0] == ImageCounts("a", pixels=5, agreeing=3, near=2, near_agreeing=1)
    assert images[0].agreement == 60
    assert overall(images) == 100 * 6 / 8
    assert near_borders(images) == 50
    assert away_from_borders(images) == pytest.approx(100 * 5 / 6)


def test_without_such_pixels_there_is_no_figure() -> None:
    nowhere, everywhere = np.zeros((2, 2), bool), np.ones((2, 2), bool)
    assert near_borders([count_image("a", everywhere, nowhere)]) is None
    assert away_from_borders([count_image("a", everywhere, everywhere)]) is None


def _image(id: str, agreeing: int, pixels: int = 100) -> ImageCounts:
    return ImageCounts(id, pixels, agreeing, 0, 0)


def test_the_worst_come_first_and_ties_go_by_id() -> None:
    found = worst([_image("d", 90), _image("c", 40), _image("b", 90), _image("a", 100)])
    assert [(image.id, image.agreement) for image in found] == [("c", 40), ("b", 90), ("d", 90)]


def test_the_worst_are_ten_by_share_not_by_pixels() -> None:
    images = [_image(f"{index:02}", index) for index in range(30)]
    large = _image("large", 9_999, 10_000)  # as many wrong pixels as "99", but 0.01 %
    assert [image.id for image in worst([*images, large])] == [f"{i:02}" for i in range(10)]
