import json
from pathlib import Path
from typing import Any

import pytest

from validate.profiling.kernels import middle_half, read_recording


def _event(name: str, ts: int, dur: int, cat: str = "Session", **args: Any) -> dict[str, Any]:
    return {"cat": cat, "name": name, "ts": ts, "dur": dur, "ph": "X", "args": args}


def _node(name: str, ts: int, dur: int, index: int, operator: str, *inputs: str) -> dict[str, Any]:
    return _event(
        f"{name}_kernel_time", ts, dur, "Node", node_index=str(index), op_name=operator,
        input_type_shape=[{kind: [1, 3, 4, 4]} for kind in inputs],
        output_type_shape=[{"float": [1, 8, 4, 4]}],
    )  # fmt: skip


def _run(start: int, conv: int, resize: int, rest: int = 10) -> list[dict[str, Any]]:
    """A run of two kernels, microseconds; `rest` is spent in neither."""
    return [
        _event("SequentialExecutor::Execute", start + 1, conv + resize + rest - 2),
        _event("model_run", start, conv + resize + rest),
        _node("conv", start + 3, conv, 0, "QLinearConv", "uint8", "float"),
        _node("up", start + 4 + conv, resize, 1, "Resize", "float", "int64"),
    ]


def _saved(events: list[dict[str, Any]], folder: Path) -> Path:
    path = folder / "profile.json"
    path.write_text(json.dumps(events))
    return path


def test_times_are_means_of_the_middle_runs_and_add_up(tmp_path: Path) -> None:
    events = [_event("session_initialization", 0, 99_999)]
    # the first is warm-up; of the four others, the fastest and the slowest are left out
    runs = [(900_000, 900_000), (1000, 500), (1200, 520), (1100, 540), (50_000, 9_000)]
    for at, (conv, resize) in enumerate(runs):
        events += _run(10_000_000 * (at + 1), conv, resize)
    found = read_recording(_saved(events, tmp_path), warm_up=1)
    assert [kernel.name for kernel in found.kernels] == ["conv", "up"]
    assert [kernel.ms for kernel in found.kernels] == pytest.approx([1.15, 0.53])
    # (1200 + 520 + 10 + 1100 + 540 + 10) / 2 microseconds
    assert found.session_ms == pytest.approx(1.69)
    assert found.kernels[0].output == (1, 8, 4, 4)


def test_kinds_of_kernels(tmp_path: Path) -> None:
    expected = {
        ("QLinearConv", "uint8"): "int8",
        ("QGemm", "uint8"): "int8",
        ("QLinearAdd", "uint8"): "int8",
        ("Transpose", "uint8"): "int8",
        ("ArgMax", "int8"): "int8",
        ("MaxPool", "uint8"): "int8",
        ("Conv", "float"): "float",
        ("Resize", "float"): "float",
        ("Conv", "float16"): "float16",
        ("QuantizeLinear", "float"): "conversion",
        ("DequantizeLinear", "uint8"): "conversion",
        ("Cast", "float16"): "conversion",
    }
    events = [_event("model_run", 0, 1000)]
    events += [
        _node(f"n{at}", at + 1, 1, at, operator, kind)
        for at, (operator, kind) in enumerate(expected)
    ]
    found = read_recording(_saved(events, tmp_path), warm_up=0)
    assert [kernel.kind for kernel in found.kernels] == list(expected.values())


def test_kernels_without_inputs_have_no_kind(tmp_path: Path) -> None:
    events = [_event("model_run", 0, 9), _node("c", 1, 1, 0, "ConstantOfShape")]
    (kernel,) = read_recording(_saved(events, tmp_path), 0).kernels
    assert kernel.kind == ""


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([5], [0]),
        ([5, 1], [1, 0]),
        ([3, 1, 2], [1, 2, 0]),
        ([9, 1, 4, 3], [3, 2]),
        ([8, 7, 6, 5, 4, 3, 2, 1], [5, 4, 3, 2]),
    ],
)
def test_the_middle_half(times: list[float], expected: list[int]) -> None:
    assert middle_half(times) == expected


@pytest.mark.parametrize(
    ("operator", "moved"), [("Conv", 1000 + 300), ("Reshape", 0), ("Slice", 2 * 300)]
)
def test_bytes_are_those_that_an_operator_really_moves(
    operator: str, moved: int, tmp_path: Path
) -> None:
    event = _node("one", 3, 5, 0, operator, "float")
    event["args"] |= {"activation_size": "1000", "output_size": "300", "parameter_size": "70"}
    events = [_event("model_run", 0, 10), event]
    (kernel,) = read_recording(_saved(events, tmp_path), warm_up=0).kernels
    assert kernel.bytes == moved
