"""What takes an int8 file's time, by operator."""

from segport.speed_check import time_table
from validate.profiling.times import Time

FP32 = [
    Time("a", "Conv", "float", 6.0, 300),
    Time("b", "Conv", "float", 2.0, 100),
    Time("slope", "PRelu", "float", 1.5, 0),
    Time("up", "Resize", "float", 3.0, 0),
    Time("order", "ReorderOutput", "float", 0.5, 0),
    Time("tiny", "Abs", "float", 0.001, 0),
]
INT8 = [
    Time("a", "Conv", "int8", 2.5, 300),
    Time("b", "Conv", "float", 2.0, 100),
    Time("up", "Resize", "float", 3.25, 0),
    Time("x_QuantizeLinear", "QuantizeLinear", "conversion", 0.25, 0),
    Time("y_DequantizeLinear", "DequantizeLinear", "conversion", 0.5, 0),
    Time("tiny", "Abs", "float", 0.002, 0),
]
REASONS = [
    {"layer": "b", "reason": "--keep-float"},
    {"layer": "up", "reason": "no int8 operator for it"},
    {"layer": "elsewhere", "reason": "gives the output"},
]


def test_operators_are_summed_up_by_where_they_run_the_slowest_first() -> None:
    _, _, *lines = time_table(FP32, INT8, REASONS).splitlines()
    rows = [[cell for cell in line.split("  ") if cell.strip()] for line in lines]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["Resize", "float", "1", "3.25", "3.00", "no int8 operator for it"],
        # 300 of 400 MACs; both convolutions of the fp32 file
        ["Conv", "int8", "1", "75.0", "2.50", "8.00"],
        ["Conv", "float", "1", "25.0", "2.00", "--keep-float"],
        ["conversions, layout", "2", "0.75", "0.50"],
        # what only fp32 has is shown too
        ["PRelu", "1.50"],
        ["others", "1", "0.00", "0.00"],
    ]
