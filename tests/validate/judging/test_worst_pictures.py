from typing import Any

import numpy as np
import pytest

from export.artifact.image import normalised
from export.artifact.sample import Sample
from validate.judging.worst_pictures import WorstPictures
from validate.samples.samples import Labelled, Preparation
from validate.samples.thumbnail import Thumbnail

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PREPARATION = Preparation("squash", (10, 10), MEAN, STD, 21)


def _labelled(id: str, pixels: Any = None, label: Any = None) -> Labelled:
    image = np.zeros((10, 10, 3), np.uint8) if pixels is None else pixels
    return Labelled(Sample(id, normalised(image, MEAN, STD), "0" * 64), label, image.shape[:2])


def _differing(pixels: int) -> Any:
    classes = np.zeros((10, 10), np.uint8)
    classes.reshape(-1)[:pixels] = 1
    return classes


def _kept(count: int, *images: tuple[str, dict[str, int]]) -> list[Thumbnail]:
    """What stays of images whose artifacts differ from the reference in so many of 100 pixels."""
    worst = WorstPictures(count, "ref", PREPARATION)
    for id, pixels in images:
        predicted = {"ref": _differing(0)} | {key: _differing(n) for key, n in pixels.items()}
        worst.see(_labelled(id), predicted)
    return worst.worst_first()


def test_the_worst_are_kept_worst_first() -> None:
    images = [(f"{n:02}", {"int8": n * 37 % 50}) for n in range(50)]
    # n * 37 % 50 takes every value from 0 to 49 once
    kept = _kept(3, *images)
    assert [one.agreement["int8"] for one in kept] == [51, 52, 53]
    assert [int(one.id) * 37 % 50 for one in kept] == [49, 48, 47]


def test_an_image_is_as_bad_as_its_worst_artifact() -> None:
    kept = _kept(2, ("a", {"x": 10, "y": 10}), ("b", {"x": 0, "y": 15}), ("c", {"x": 12, "y": 0}))
    assert [(one.id, one.agreement) for one in kept] == [
        ("b", {"x": 100, "y": 85}),
        ("c", {"x": 88, "y": 100}),
    ]


def test_among_equals_the_first_id_is_kept_in_any_order() -> None:
    images = [(id, {"int8": 5}) for id in "bdac"]
    assert [one.id for one in _kept(2, *images)] == ["a", "b"]
    assert [one.id for one in _kept(2, *reversed(images))] == ["a", "b"]


def test_images_without_a_difference_and_results_without_artifacts_keep_nothing() -> None:
    assert _kept(5, ("a", {"int8": 0}), ("b", {"int8": 1}))[0].id == "b"
    assert len(_kept(5, ("a", {"int8": 0}))) == 0
    assert _kept(5, ("a", {})) == []
    assert _kept(0, ("a", {"int8": 50})) == []


def test_only_images_that_stay_are_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    from validate.judging import worst_pictures

    made: list[str] = []
    original = worst_pictures.shrink

    def counted(image: Labelled, *others: Any) -> Thumbnail:
        made.append(image.sample.id)
        return original(image, *others)

    monkeypatch.setattr(worst_pictures, "shrink", counted)
    _kept(1, ("a", {"int8": 9}), ("b", {"int8": 8}), ("c", {"int8": 10}), ("d", {"int8": 0}))
    assert made == ["a", "c"]


def test_a_thumbnail_shows_what_was_compared() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (10, 10, 3)).astype(np.uint8)
    label = rng.integers(0, 21, (10, 10)).astype(np.uint8)
    predicted = {"ref": _differing(0), "int8": _differing(25)}
    worst = WorstPictures(1, "ref", PREPARATION)
    worst.see(_labelled("a", pixels, label), predicted)
    (one,) = worst.worst_first()
    # small enough as it is, and normalisation is undone without loss
    np.testing.assert_array_equal(one.image, pixels)
    np.testing.assert_array_equal(one.label, label)
    np.testing.assert_array_equal(one.predicted["int8"], predicted["int8"])


def test_large_images_become_200_pixels_and_classes_are_not_mixed() -> None:
    # under "full" predictions have the file's size, the image the network's
    label = np.zeros((300, 600), np.uint8)
    label[:, 300:] = 20
    label[150:] = 255
    predicted = {"ref": label * 0, "int8": np.where(label == 255, 3, label).astype(np.uint8)}
    worst = WorstPictures(1, "ref", PREPARATION)
    worst.see(_labelled("a", label=label), predicted)
    (one,) = worst.worst_first()
    assert one.image.shape == (100, 200, 3) and one.label is not None
    expected = np.zeros((100, 200), np.uint8)
    expected[:, 100:] = 20
    expected[50:] = 255
    np.testing.assert_array_equal(one.label, expected)
    assert np.unique(one.predicted["int8"]).tolist() == [0, 3, 20]
