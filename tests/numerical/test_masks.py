"""Figures of masks against plain counting and scipy; mask heads against interpolation by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from export.mask_head.heads import HEADS, with_head
from tests.export.build import computed
from tests.export.mask_head.test_heads import ending
from tests.numerical.sizes import cases
from validate.metrics.agreement import boundary
from validate.metrics.metrics import class_iou, confusion, invented_classes, miou, pixel_accuracy

ndimage = pytest.importorskip("scipy.ndimage")
Mask = NDArray[np.uint8]


@st.composite
def masks(draw: st.DrawFn) -> tuple[Mask, Mask, int]:
    """A label with or without 255, a prediction of its shape, and the number of classes."""
    classes = draw(st.sampled_from([1, 2, 3, 21, 255]))
    shape = draw(arrays.array_shapes(min_dims=2, max_dims=2, max_side=7))
    known = st.integers(0, classes - 1)
    label = draw(arrays.arrays(np.uint8, shape, elements=known | st.just(255)))
    return label, draw(arrays.arrays(np.uint8, shape, elements=known)), classes


@settings(max_examples=len(cases(100)), deadline=None, derandomize=True)
@given(masks())
def test_figures_of_any_masks_equal_counting(case: tuple[Mask, Mask, int]) -> None:
    label, prediction, classes = case
    pairs = [(a, b) for a, b in zip(label.flat, prediction.flat, strict=True) if a != 255]
    total = confusion(label, prediction, classes)
    assert total.sum() == len(pairs)
    assert all(total[a, b] == pairs.count((a, b)) for a, b in pairs)
    right = sum(a == b for a, b in pairs)
    assert pixel_accuracy(total) == (100 * right / len(pairs) if pairs else None)
    ious = class_iou(total)
    labelled = sorted({int(a) for a, _ in pairs})
    for c in labelled:
        union = sum(c in pair for pair in pairs)
        assert ious[c] == pytest.approx(100 * pairs.count((c, c)) / union)
    present = [ious[c] or 0 for c in labelled]
    assert miou(total) == (pytest.approx(sum(present) / len(present)) if present else None)
    assert invented_classes(total) == sorted({int(b) for _, b in pairs} - set(labelled))


@settings(max_examples=len(cases(60)), deadline=None, derandomize=True)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 25), st.integers(1, 25)),
                     elements=st.sampled_from([0, 1, 254, 255]), fill=st.just(0)))  # fmt: skip
def test_borders_are_those_of_scipys_filters(mask: Mask) -> None:
    highest = ndimage.maximum_filter(mask, 11, mode="nearest")
    lowest = ndimage.minimum_filter(mask, 11, mode="nearest")
    np.testing.assert_array_equal(boundary(mask), highest != lowest)


def interpolated(
    logits: NDArray[np.float32], size: tuple[int, int], aligned: bool
) -> NDArray[np.float64]:
    """Bilinear interpolation of (classes, h, w), axis by axis, as its definition says."""
    values = logits.astype(np.float64)
    for axis, pixels in ((1, size[0]), (2, size[1])):
        samples = values.shape[axis]
        at = np.arange(pixels)
        place = (
            at * (samples - 1) / (pixels - 1) if aligned else (at + 0.5) * samples / pixels - 0.5
        )
        place = np.clip(place, 0, samples - 1)
        low = np.minimum(np.floor(place).astype(int), samples - 2)
        share = (place - low).reshape([-1 if a == axis else 1 for a in range(3)])
        values = values.take(low, axis) * (1 - share) + values.take(low + 1, axis) * share
    return values


@pytest.mark.parametrize("form", HEADS)
@pytest.mark.parametrize("seed", cases(12))
def test_heads_of_random_sizes_give_the_largest_logit(form: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes, h, w = (int(n) for n in (rng.integers(2, 9), rng.integers(2, 12), rng.integers(2, 12)))
    size = int(h * rng.uniform(3, 9)), int(w * rng.uniform(3, 9))
    mode = "align_corners" if seed % 2 else "half_pixel"
    found = with_head(ending((1, classes, h, w), size, mode=mode), form)
    assert found is not None and found[1] == form
    # huge, tiny and equal logits too
    logits = rng.normal(size=(1, classes, h, w)) * 10.0 ** rng.integers(-6, 7)
    logits = np.where(rng.random((1, 1, h, w)) < 0.2, logits.max(), logits).astype(np.float32)
    (mask,) = computed(found[0], input=logits)
    expected = interpolated(logits[0], size, mode == "align_corners")
    chosen = np.take_along_axis(expected, mask.astype(int), 0)[0]
    # positions and shares are float32: each of two axes moves a value by a few roundings of a
    # position, at most max(h, w) in size, times the steepest change of a logit between samples
    allowed = 2 * 8 * 2.0**-24 * max(h, w) * 2 * np.abs(logits).max()
    assert (expected.max(0) - chosen).max() <= allowed
