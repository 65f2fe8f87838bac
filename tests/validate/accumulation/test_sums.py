"""float16 sums against loops over numpy's float16 numbers, and against Higham's bound."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper
from torch.nn import functional

from validate.accumulation.bound import gamma, may_overflow
from validate.accumulation.layers import compute
from validate.accumulation.sums import dot

Half = NDArray[np.float16]


def one_by_one(left: Half, right: Half) -> np.float16:
    total = left[0] * right[0]
    for a, b in zip(left[1:], right[1:], strict=True):
        total = np.float16(total + np.float16(a * b))
    return total


def by_halves(left: Half, right: Half) -> np.float16:
    """Recursively, the left part the largest power of two that leaves something."""
    if len(left) == 1:
        return np.float16(left[0] * right[0])
    middle = 1 << (len(left) - 1).bit_length() - 1
    return np.float16(
        by_halves(left[:middle], right[:middle]) + by_halves(left[middle:], right[middle:])
    )


SLOW = {"sequential": one_by_one, "pairwise": by_halves}


@pytest.mark.parametrize("order", SLOW)
@pytest.mark.parametrize("scale", [1e-4, 1.0, 60.0])  # subnormal sums, usual ones, overflow
def test_sums_are_those_of_numpy_to_the_bit(order: str, scale: float) -> None:
    rng = np.random.default_rng(1)
    rows = (scale * rng.normal(size=(3, 301))).astype(np.float16)
    columns = (scale * rng.normal(1.0, 1.0, size=(301, 5))).astype(np.float16)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        wanted = [[SLOW[order](row, column) for column in columns.T] for row in rows]
    found = dot(torch.tensor(rows), torch.tensor(columns), order).numpy()
    np.testing.assert_array_equal(found, np.array(wanted, np.float16))
    assert np.isfinite(found).all() == (scale < 60)


@pytest.mark.parametrize("order", SLOW)
def test_errors_keep_to_the_bound_and_wide_results_to_their_place(order: str) -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(300, 500)).astype(np.float16)
    columns = rng.normal(size=(500, 700)).astype(np.float16)
    exact = rows.astype(float) @ columns.astype(float)
    found = dot(torch.tensor(rows), torch.tensor(columns), order).numpy().astype(float)
    reach = np.abs(rows.astype(float)) @ np.abs(columns.astype(float))
    share = gamma(order, 500)
    assert share is not None and (np.abs(found - exact) <= share * reach).all()
    assert np.abs(found - exact).max() > 1e-3  # it did round


def test_what_bounds_say() -> None:
    assert gamma("sequential", 2048) is None and gamma("sequential", 1024) == pytest.approx(1.0)
    assert gamma("pairwise", 2048) == pytest.approx(12 / 2048 / (1 - 12 / 2048))
    assert may_overflow("pairwise", 2048, 65400.0) and not may_overflow("pairwise", 2048, 60000.0)
    assert may_overflow("sequential", 3000, 1.0)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"pads": [1, 2, 0, 1], "strides": [2, 1]}, ([2, 1, 1, 0], (2, 1), (1, 1), 1)),
        ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, ([0, 1, 1, 1], (2, 2), (1, 1), 1)),
        ({"auto_pad": "SAME_LOWER", "strides": [2, 2]}, ([1, 0, 1, 1], (2, 2), (1, 1), 1)),
        ({"group": 2, "dilations": [2, 3]}, ([0, 0, 0, 0], (1, 1), (2, 3), 2)),
    ],
)
def test_convolutions_are_written_as_products(given: dict, wanted: tuple) -> None:
    pads, strides, dilations, groups = wanted
    image = torch.randn(2, 4, 9, 12)
    weight, bias = torch.randn(6, 4 // groups, 3, 3), torch.randn(6)
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], **given)
    found = compute(node, [image, weight, bias], lambda rows, columns: rows @ columns)
    padded = functional.pad(image, pads)
    exact = functional.conv2d(padded, weight, bias, strides, 0, dilations, groups)
    assert found.shape == exact.shape
    torch.testing.assert_close(found, exact, rtol=2**-10, atol=1e-3)


def test_matrix_products_keep_their_batches_and_factors() -> None:
    left, right, bias = torch.randn(2, 3, 4, 5), torch.randn(5, 6), torch.randn(6)
    plain = helper.make_node("MatMul", ["a", "b"], ["y"])
    found = compute(plain, [left, right], lambda rows, columns: rows @ columns)
    torch.testing.assert_close(found, left @ right)
    gemm = helper.make_node("Gemm", ["a", "b", "c"], ["y"], transA=1, alpha=0.5, beta=2.0)
    found = compute(gemm, [left[0, 0].T, right, bias], lambda rows, columns: rows @ columns)
    exact = 0.5 * left[0, 0] @ right + 2 * bias
    torch.testing.assert_close(found, exact, rtol=2**-9, atol=1e-2)
