"""What layers cost, by hand from the measured nanoseconds per MAC and per value."""

from typing import Any

import pytest
from onnx import helper

from quantize.partition.costs import CONVERSION, KERNELS, cost, macs, size
from tests.export.build import weight

START = 5000.0
VNNI = KERNELS["vnni"]
SHAPES = {"x": (1, 7, 10, 10), "tokens": (1, 50, 24), "unknown": (1, None, 10, 10)}


def conv(rows: int, inputs: int, kernel: int, group: int = 1) -> tuple[float, float]:
    """Float and int8 nanoseconds, less what starting takes, for 10 x 10 results."""
    weights = weight("w", rows, inputs, kernel, kernel)
    given = {"group": group} if group > 1 else {}
    node = helper.make_node("Conv", ["x", "w"], ["y"], **given)
    shapes = SHAPES | {"y": (1, rows, 10, 10)}
    found = cost(node, shapes, {"w": weights}, VNNI)
    assert macs(node, shapes, {"w": weights}) == 100 * rows * inputs * kernel**2
    return found.in_float - START, found.in_int8 - START


@pytest.mark.parametrize(
    ("layer", "in_float", "in_int8"),
    [
        # 32 to 64: 100 pixels x 2048 MACs, at 80 and 330 a ns; 6400 results are requantized
        ((64, 32, 1), 204_800 / 80, 204_800 / 330 + 0.12 * 6400),
        # nine taps: as many MACs more, and each of 100 pixels is gathered nine times
        ((64, 32, 3), 1_843_200 / 80, 1_843_200 / 330 + 0.12 * 6400 + 1.4 * 900),
        # 3 channels count as 16 in float; 27 products are no multiple of 4, 20 rows are 32
        ((20, 3, 3), 16 * 32 * 900 / 80,
         3 * 32 * 900 / 330 + 0.12 * 2000 + 1.4 * 900 + 0.35 * 27 * 100),
        # depthwise: by value
        ((8, 1, 3, 8), 0.28 * 800, 0.515 * 800),
        ((8, 1, 5, 8), 0.6 * 800, 1.075 * 800),
        # 4 groups of 16 to 16 fill the float blocks; in int8 two of them are computed as one
        ((64, 16, 1, 4), 4 * 256 * 100 / 80, 2 * 32 * 32 * 100 / 330 + 0.12 * 6400),
        # 5 groups of 4 to 3: one small product each in float; in int8 all five are one of 20 to 16
        ((15, 4, 1, 5), 4 * 5 * 100 * (0.3 + 3 / 20), 20 * 16 * 100 / 330 + 0.12 * 1500),
        # 16 inputs fill a block, 8 results do not, and the other way round
        ((16, 16, 1, 2), 16 * 2 * 100 * (0.3 + 8 / 20), 32 * 16 * 100 / 330 + 0.12 * 1600),
        ((32, 8, 1, 2), 8 * 2 * 100 * (0.3 + 16 / 20), 16 * 32 * 100 / 330 + 0.12 * 3200),
        # 2 groups of 32 stay two, and are gathered one by one
        ((64, 32, 3, 2), 2 * 1024 * 900 / 80,
         2 * 1024 * 900 / 330 + 0.12 * 6400 + 1.4 * 9 * 2 * 100),
        # as these, over nine taps
        ((15, 4, 3, 5), 4 * 5 * 900 * (0.3 + 3 / 20),
         20 * 16 * 900 / 330 + 0.12 * 1500 + 1.4 * 9 * 100),
        # 2 groups of 33 to 32 stay two, whose products are no multiple of 4
        ((64, 33, 1, 2), 33 * 2 * 100 * (0.3 + 32 / 20),
         2 * 33 * 32 * 100 / 330 + 0.12 * 6400 + 0.35 * 33 * 2 * 100),
        # one result of two channels each is not depthwise
        ((4, 2, 1, 4), 2 * 4 * 100 * (0.3 + 1 / 20), 8 * 16 * 100 / 330 + 0.12 * 400),
        ((4, 1, 1, 2), 1 * 2 * 100 * (0.3 + 2 / 20),
         2 * 16 * 100 / 330 + 0.12 * 400 + 0.35 * 2 * 100),
    ],
    ids=str,
)  # fmt: skip
def test_convolutions(layer: tuple[int, ...], in_float: float, in_int8: float) -> None:
    assert conv(*layer) == pytest.approx((in_float, in_int8), rel=1e-9)


@pytest.mark.parametrize(
    ("operator", "given", "in_float", "in_int8"),
    [
        ("Add", {}, 0.15, 0.25),
        ("Mul", {}, 0.15, 0.25),
        ("Concat", {"axis": 1}, 0.15, 0.2),
        ("Sigmoid", {}, 0.8, 0.2),
        ("LeakyRelu", {}, 0.1, 0.2),
        ("PRelu", {}, 1.2, 1.2),
        ("Softplus", {}, 0.0, 0.0),
        # 0.05 and 2 per value under the window
        ("AveragePool", {"kernel_shape": [2, 3]}, 0.3, 12.0),
    ],
)
def test_other_layers_cost_by_value(
    operator: str, given: dict[str, Any], in_float: float, in_int8: float
) -> None:
    node = helper.make_node(operator, ["x"], ["y"], **given)
    found = cost(node, SHAPES | {"y": (1, 7, 10, 10)}, {}, VNNI)
    assert found == pytest.approx((START + 700 * in_float, START + 700 * in_int8))
    assert macs(node, SHAPES, {}) == 0


def test_what_was_measured_without_vnni_alone_counts_there_alone() -> None:
    erf = helper.make_node("Erf", ["x"], ["y"])
    shapes = {"y": (1, 7, 10, 10)}
    assert cost(erf, shapes, {}, KERNELS["avx2"]) == pytest.approx((START + 1190, START + 1190))
    assert cost(erf, shapes, {}, VNNI) == (START, START)
    assert (KERNELS["avx2"].plain, VNNI.plain) == (0.15, CONVERSION)


def test_a_product_with_a_number_is_no_kernel_in_int8() -> None:
    node = helper.make_node("Mul", ["x", "sixth"], ["y"])
    found = cost(node, SHAPES | {"y": (1, 7, 10, 10)}, {"sixth": weight("sixth")}, VNNI)
    assert found == pytest.approx((START + 700 * 0.15, START))


def test_without_vnni_int8_gains_less() -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    shapes, constants = {"y": (1, 64, 10, 10)}, {"w": weight("w", 64, 32, 1, 1)}
    found = cost(node, shapes, constants, KERNELS["avx2"])
    wanted = (START + 204_800 / 43, START + 204_800 / 85 + 0.12 * 6400)
    assert found == pytest.approx(wanted)
    depthwise = helper.make_node("Conv", ["x", "w"], ["y"], group=8)
    found = cost(depthwise, {"y": (1, 8, 10, 10)}, {"w": weight("w", 8, 1, 3, 3)}, KERNELS["avx2"])
    assert found == pytest.approx((START + 0.424 * 800, START + 0.754 * 800))
    # blocks of 8 channels
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    found = cost(node, {"y": (1, 20, 10, 10)}, {"w": weight("w", 20, 8, 1, 1)}, KERNELS["avx2"])
    assert found.in_float == pytest.approx(START + 24 * 8 * 100 / 43)


@pytest.mark.parametrize("operator", ["MatMul", "Gemm"])
def test_products(operator: str) -> None:
    node = helper.make_node(operator, ["tokens", "w"], ["y"])
    found = cost(node, SHAPES | {"y": (1, 50, 8)}, {}, VNNI)
    # 400 results of 24 products
    assert found == pytest.approx((START + 9600 / 80, START + 9600 / 330 + 0.12 * 400))
    # where nothing is known of the input, only that the results are requantized
    unknown = cost(helper.make_node(operator, ["?", "w"], ["y"]), {"y": (1, 50, 8)}, {}, VNNI)
    assert unknown == pytest.approx((START, START + 0.12 * 400))
    varying = cost(
        helper.make_node(operator, ["x", "w"], ["y"]), {"x": (1, None), "y": (1, 50, 8)}, {}, VNNI
    )
    assert varying == unknown


def test_a_convolution_of_computed_weights_is_not_foreseen() -> None:
    node = helper.make_node("Conv", ["x", "computed"], ["y"])
    assert cost(node, SHAPES | {"y": (1, 4, 10, 10)}, {}, VNNI) == (START, START)
    assert macs(node, SHAPES | {"y": (1, 4, 10, 10)}, {}) == 0


def test_what_varies_counts_once_and_what_is_unknown_not_at_all() -> None:
    assert size("unknown", SHAPES) == 100
    assert size("x", SHAPES) == 700
    assert size("nowhere", SHAPES) == 0
