import pytest

from validate.result.cells import interval, markdown_table, number, ratio


@pytest.mark.parametrize(
    ("value", "digits", "sign", "cell"),
    [
        (None, 2, False, "-"),
        (None, 2, True, "-"),
        (0.0, 2, True, "+0.00"),
        (-0.004, 2, False, "0.00"),
        (-0.004, 2, True, "+0.00"),
        (-0.006, 2, True, "-0.01"),
        (13.3719, 3, False, "13.372"),
        (52.96, 1, False, "53.0"),
    ],
)
def test_number(value: float | None, digits: int, sign: bool, cell: str) -> None:
    assert number(value, digits, sign=sign) == cell


@pytest.mark.parametrize(
    ("ends", "sign", "cell"),
    [
        (None, True, "-"),
        ((-0.104, 0.35), True, "-0.10 to +0.35"),
        ((-0.001, 0.0), True, "+0.00 to +0.00"),
        ((66.1, 79.214), False, "66.10 to 79.21"),
    ],
)
def test_interval(ends: tuple[float, float] | None, sign: bool, cell: str) -> None:
    assert interval(ends, 2, sign=sign) == cell


@pytest.mark.parametrize(
    ("value", "base", "cell"),
    [(3.0, 4.0, "0.75"), (4.0, 4.0, "1.00"), (None, 4.0, "-"), (3.0, None, "-"), (3.0, 0.0, "-")],
)
def test_ratio(value: float | None, base: float | None, cell: str) -> None:
    assert ratio(value, base) == cell


def test_markdown_table_keeps_cells_as_they_are() -> None:
    head, line, row = markdown_table([["1.50", "a|b", 7]], ["x", "y", "z"]).splitlines()
    assert [cell.strip() for cell in head.strip("|").split("|")] == ["x", "y", "z"]
    assert set(line) == {"|", "-"}
    assert row.replace(" ", "") == "|1.50|a\\|b|7|"
