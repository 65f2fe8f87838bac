import numpy as np
import pytest

from export.artifact.class_map import class_map


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_equals_argmax_also_with_ties(dtype: type[np.floating]) -> None:
    # small integers, so that many pixels have several largest values
    logits = np.random.default_rng(0).integers(-2, 3, (3, 7, 11, 13)).astype(dtype)

    found = class_map(logits)

    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, logits.argmax(1))


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([np.nan, 5, 3], 1),
        ([2, np.nan, 3], 2),
        ([4, np.nan, 3], 0),
        ([np.nan, np.nan, -7], 2),
        ([np.nan, np.nan, np.nan], 0),
        ([-np.inf, 1, np.inf], 2),
    ],
)
def test_nan_never_wins_against_a_number(values: list[float], wanted: int) -> None:
    logits = np.array(values, np.float32).reshape(1, 3, 1, 1)

    assert class_map(logits).item() == wanted


def test_all_255_classes_fit() -> None:
    logits = np.zeros((1, 255, 1, 2), np.float32)
    logits[0, 254, 0, 1] = 1

    assert class_map(logits).tolist() == [[[0, 254]]]


def test_input_is_left_alone() -> None:
    logits = np.random.default_rng(0).normal(size=(1, 4, 3, 3)).astype(np.float32)
    before = logits.copy()

    class_map(logits)

    np.testing.assert_array_equal(logits, before)
