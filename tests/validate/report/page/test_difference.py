import numpy as np

from validate.report.page.difference import GAINED, LOST, OTHER, OUTLINE, SAME, difference


def test_who_is_right_where_two_predictions_differ() -> None:
    expected = np.array([[1, 1, 1, 1, 1, 1]], np.uint8)
    predicted = np.array([[1, 2, 2, 2, 2, 1]], np.uint8)
    label = np.array([[1, 1, 2, 3, 255, 3]], np.uint8)
    found = difference(expected, predicted, label)
    assert found.tolist() == [[SAME, LOST, GAINED, OTHER, OTHER, SAME]]
    assert difference(expected, predicted, None).tolist() == [
        [SAME, OTHER, OTHER, OTHER, OTHER, SAME]
    ]


def test_outlines_are_those_of_the_reference_and_below_differences() -> None:
    expected = np.array([[0, 0, 5], [0, 0, 5], [5, 5, 5]], np.uint8)
    predicted = np.array([[0, 5, 5], [0, 0, 5], [5, 5, 5]], np.uint8)
    assert difference(expected, predicted, None).tolist() == [
        [SAME, OTHER, SAME],
        [OUTLINE, OUTLINE, SAME],
        [SAME, SAME, SAME],
    ]
