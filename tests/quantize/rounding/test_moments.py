"""Windows and moments against torch's unfold and numpy's mean and covariance."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from quantize.calibration.statistics import Tensor
from quantize.rounding import moments
from quantize.rounding.moments import SIDES, InputMoments
from quantize.rounding.windows import Window
from tests.export.build import computed, constant, model, value


class Case(NamedTuple):
    window: Window
    size: tuple[int, int]


def _window(
    channels: int = 4,
    groups: int = 1,
    kernel: tuple[int, int] = (3, 3),
    strides: tuple[int, int] = (1, 1),
    dilations: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
) -> Window:
    return Window(channels, groups, kernel, strides, dilations, pads)


CASES = {
    "pointwise": Case(_window(kernel=(1, 1)), (9, 14)),
    "padded": Case(_window(pads=(1, 1, 1, 1)), (30, 21)),
    "strided": Case(_window(strides=(2, 3), pads=(1, 0, 0, 2)), (33, 40)),
    "dilated": Case(_window(dilations=(2, 4), pads=(2, 4, 2, 4)), (20, 17)),
    "one-dimensional": Case(_window(kernel=(1, 5), pads=(0, 2, 0, 2)), (16, 13)),
    "grouped": Case(_window(6, 3, pads=(1, 1, 1, 1)), (13, 13)),
    "depthwise": Case(_window(5, 5, strides=(2, 2), pads=(0, 0, 1, 1)), (25, 26)),
    "pooled": Case(_window(8, kernel=(1, 1)), (1, 1)),
    "smaller than its window": Case(_window(kernel=(3, 3), pads=(1, 1, 1, 1)), (1, 2)),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def _image(case: Case, seed: int = 0, batch: int = 1) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    image = rng.normal(1.0, 2.0, (batch, case.window.channels, *case.size))
    return np.asarray(image, np.float32)


def _side(window: Window) -> int:
    """Positions in a row: their number as that of inputs per output, from 36 to 100."""
    return min(max(int(window.depth**0.5), 6), 10)


def _picked(
    window: Window, image: NDArray[np.float32], side: int | None = None
) -> list[NDArray[np.float32]]:
    """What the reduction's nodes give, in onnxruntime."""
    reduction = window.reduction(Tensor("x", image.shape), side or _side(window))
    made = model(
        reduction.nodes,
        [value("x", image.shape)],
        [value(name, (None,) * 4) for name in reduction.outputs],
        [constant(name, given) for name, given in reduction.constants.items()],
    )
    return list(computed(made, x=image))


def _unfolded(window: Window, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (groups, depth, batch, rows, columns): torch's windows of every output position."""
    top, left, bottom, right = window.pads
    padded = F.pad(torch.from_numpy(image), (left, right, top, bottom))
    columns = F.unfold(padded, window.kernel, window.dilations, 0, window.strides).numpy()
    down, across = (
        (padded.shape[2 + i] - window.dilations[i] * (window.kernel[i] - 1) - 1)
        // window.strides[i]
        + 1
        for i in (0, 1)
    )
    split = columns.reshape(len(image), window.groups, window.depth, down, across)
    return split.transpose(1, 2, 0, 3, 4)


def _chosen(
    window: Window, image: NDArray[np.float32], side: int | None = None
) -> NDArray[np.float32]:
    """Every n-th row and column, with the least n that leaves no more than `side`."""
    every = _unfolded(window, image)
    down, across = (-(-count // (side or _side(window))) for count in every.shape[3:])
    picked = every[..., ::down, ::across]
    return picked.reshape(window.groups, window.depth, -1)


def _seen(window: Window, images: list[NDArray[np.float32]]) -> InputMoments:
    seen = InputMoments(window)
    for image in images:
        seen.update(*_picked(window, image))
    return seen


@every_case
def test_columns_are_torchs_at_the_positions_of_the_grid(case: Case) -> None:
    image = _image(case)
    found = case.window.columns(*_picked(case.window, image))
    np.testing.assert_array_equal(found, _chosen(case.window, image))


@every_case
def test_columns_of_a_batch(case: Case) -> None:
    image = _image(case, batch=3)
    found = case.window.columns(*_picked(case.window, image, side=2))
    np.testing.assert_array_equal(found, _chosen(case.window, image, side=2))


def test_the_grid_is_spread_over_the_whole_map_and_fixed() -> None:
    window = _window(64, kernel=(1, 1))
    position = np.zeros((1, 64, 60, 60), np.float32)
    position[0, 0] = np.arange(60 * 60).reshape(60, 60)
    rows, columns = np.divmod(window.columns(*_picked(window, position))[0, 0], 60)
    # 64 inputs, so at most 8 x 8 positions, every eighth
    assert sorted(set(rows)) == sorted(set(columns)) == list(range(0, 60, 8))
    assert len(rows) == 64


@pytest.mark.parametrize(("depth", "positions"), [(9, 36), (64, 64), (1000, 100)])
def test_more_positions_are_taken_for_more_inputs(depth: int, positions: int) -> None:
    window = _window(depth, kernel=(1, 1))
    seen = InputMoments(window)
    seen.update(*_picked(window, np.zeros((1, depth, 120, 120), np.float32)))
    assert SIDES == (6, 10)
    assert seen.state()["count"] == positions


@every_case
def test_mean_and_covariance_are_numpys(case: Case) -> None:
    window = case.window
    images = [_image(case, seed) for seed in range(5)]
    seen = _seen(window, images)
    values = np.concatenate([_chosen(window, image) for image in images], axis=2)
    for group, columns in enumerate(values.astype(np.float64)):
        np.testing.assert_allclose(seen.mean[group], columns.mean(1), atol=1e-6)
        expected = np.cov(columns, bias=True).reshape(window.depth, window.depth)
        np.testing.assert_allclose(seen.covariance(slice(group, group + 1))[0], expected, atol=1e-4)


def test_a_long_run_is_as_exact_as_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["padded"]
    images = [_image(case, seed) for seed in range(20)]
    together = _seen(case.window, images)
    monkeypatch.setattr(moments, "_BUFFERED", 1)  # each image is added on its own
    single = _seen(case.window, images)
    np.testing.assert_allclose(
        together.covariance(slice(1))[0], single.covariance(slice(1))[0], atol=1e-4
    )
    np.testing.assert_allclose(together.mean, single.mean, rtol=1e-6)


def test_small_deviations_from_a_large_mean_are_not_lost() -> None:
    case = CASES["padded"]
    window = replace(case.window, pads=(0, 0, 0, 0))
    images = [1000 + 0.01 * _image(case, seed) for seed in range(5)]
    seen = _seen(window, [image.astype(np.float32) for image in images])
    values = np.concatenate([_chosen(window, image.astype(np.float32)) for image in images], axis=2)
    expected = np.cov(values[0].astype(np.float64), bias=True)
    np.testing.assert_allclose(np.diag(seen.covariance(slice(1))[0]), np.diag(expected), rtol=1e-2)


def test_the_order_of_images_does_not_matter() -> None:
    case = CASES["depthwise"]
    images = [_image(case, seed) * 10**seed for seed in range(4)]
    forward, backward = _seen(case.window, images), _seen(case.window, images[::-1])
    for group in range(5):
        np.testing.assert_allclose(
            forward.covariance(slice(group, group + 1))[0],
            backward.covariance(slice(group, group + 1))[0],
            rtol=1e-4,
        )
    np.testing.assert_allclose(forward.mean, backward.mean, rtol=1e-5)


def test_a_restored_statistic_is_what_it_was_and_goes_on() -> None:
    case = CASES["grouped"]
    seen = _seen(case.window, [_image(case, seed) for seed in range(3)])
    given = seen.state()
    kept = {name: array.copy() for name, array in given.items()}
    other = InputMoments(case.window)
    assert other.key == seen.key and other.state().keys() == given.keys()
    other.restore(given)
    for statistic in (seen, other):
        statistic.update(*_picked(case.window, _image(case, 9)))
    for name, array in other.state().items():
        np.testing.assert_array_equal(array, seen.state()[name])
        np.testing.assert_array_equal(given[name], kept[name])  # what was given stays
        assert name == "origin" or not np.array_equal(array, kept[name])


def test_keys_tell_windows_apart() -> None:
    windows = {case.window for case in CASES.values()}
    assert len({InputMoments(window).key for window in windows}) == len(windows) == 8


@pytest.mark.parametrize(("groups", "largest", "blocks"), [(1, 18, 3), (1, 30, 2), (2, 9, 3)])
def test_blocks_are_those_on_the_diagonal(
    groups: int, largest: int, blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 6 channels of 9 inputs each, so 54 / groups inputs per group
    case = Case(_window(6, groups, pads=(1, 1, 1, 1)), (11, 11))
    images = [_image(case, seed) for seed in range(3)]
    whole = _seen(case.window, images)
    monkeypatch.setattr(moments, "LARGEST", largest)
    split = _seen(case.window, images)
    assert (whole.blocks, split.blocks) == (1, blocks)
    size = 54 // groups // blocks
    for index in range(groups * blocks):
        group, block = divmod(index, blocks)
        part = slice(block * size, (block + 1) * size)
        np.testing.assert_allclose(
            split.covariance(slice(index, index + 1))[0],
            whole.covariance(slice(group, group + 1))[0][part, part],
            atol=1e-5,
        )
        np.testing.assert_allclose(split.mean[index], whole.mean[group][part])


def test_a_single_channel_is_never_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "LARGEST", 4)
    assert InputMoments(_window(6)).blocks == 6  # 9 inputs each, more than allowed
    assert InputMoments(_window(7, kernel=(1, 1))).blocks == 7  # 7 is prime
