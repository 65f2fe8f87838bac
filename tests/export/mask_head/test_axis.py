"""Cells of an axis: by hand, and against torch's interpolation."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from export.mask_head.axis import cut


def test_cells_by_hand() -> None:
    # 3 samples, 5 pixels, corners aligned: positions 0, 0.5, 1, 1.5, 2
    axis = cut(3, 5, "align_corners")
    np.testing.assert_array_equal(axis.low, [0, 1])
    np.testing.assert_array_equal(axis.high, [1, 2])
    np.testing.assert_array_equal(axis.cell, [0, 0, 1, 1, 1])
    np.testing.assert_array_equal(axis.pixels, [[0, 1, 1], [2, 3, 4]])
    np.testing.assert_allclose(axis.weights[1], [[1, 0], [0.5, 0.5], [0, 1]])


def test_pixels_beyond_the_border_are_cells_of_one_sample() -> None:
    # 2 samples, 8 pixels: positions -0.375, -0.125, 0.125, ... 1.375
    axis = cut(2, 8, "half_pixel")
    np.testing.assert_array_equal(axis.low, [0, 0, 1])
    np.testing.assert_array_equal(axis.high, [0, 1, 1])
    np.testing.assert_array_equal(axis.cell, [0, 0, 1, 1, 1, 1, 2, 2])


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize(("samples", "pixels"), [(33, 513), (32, 513), (129, 513), (5, 16), (2, 3)])
def test_every_pixel_is_torchs_mixture(samples: int, pixels: int, aligned: bool) -> None:
    axis = cut(samples, pixels, "align_corners" if aligned else "half_pixel")
    found = np.zeros((pixels, samples))
    for cell, (members, shares) in enumerate(zip(axis.pixels, axis.weights, strict=True)):
        for pixel, (low, high) in zip(members, shares, strict=True):
            assert axis.cell[pixel] == cell
            found[pixel] = 0  # the last pixel of a cell may be listed again
            found[pixel, axis.low[cell]] += low
            found[pixel, axis.high[cell]] += high
    impulses = torch.eye(samples, dtype=torch.float64)[None]
    expected = F.interpolate(impulses, pixels, mode="linear", align_corners=aligned)[0]
    np.testing.assert_allclose(found, expected.T, atol=1e-6)
    assert sorted(set(axis.pixels.ravel())) == list(range(pixels))
