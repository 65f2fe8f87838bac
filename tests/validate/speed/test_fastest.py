import pytest

from validate.speed.fastest import Contender, fastest_line, held_to

SLOW = Contender("a.onnx", "ort-cpu", 12.0, 99.5)
FAST = Contender("b.onnx", "openvino", 8.0, 97.0)
UNKNOWN = Contender("c.onnx", "ort-cpu", 4.0, None)


@pytest.mark.parametrize(
    ("least", "line"),
    [
        (
            95,
            "fastest here: b.onnx on openvino (8.0 ms, 97.00 % as fp32); "
            "then a.onnx on ort-cpu (12.0 ms, 99.50 % as fp32), 1.50 times as long; "
            "left out: c.onnx (not judged)",
        ),
        (
            99,
            "fastest here: a.onnx on ort-cpu (12.0 ms, 99.50 % as fp32); "
            "left out: b.onnx (less than 99 %), c.onnx (not judged)",
        ),
        (
            100,
            "fastest here: none; left out: a.onnx (less than 100 %), b.onnx (less than 100 %), "
            "c.onnx (not judged)",
        ),
    ],
)
def test_speed_wins_only_within_the_budget(least: float, line: str) -> None:
    assert fastest_line(held_to([SLOW, FAST, UNKNOWN], least)) == line
