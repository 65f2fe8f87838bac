from typing import Any
from xml.etree import ElementTree

from validate.report.frontier_plot import frontier_svg, plot_frontier


def _row(share: float, score: float, ms: float | None) -> dict[str, Any]:
    return {"int8_macs_share": share, "score": score, "latency_ms": ms}


def _found(*times: float | None) -> dict[str, Any]:
    rows = [
        _row(share, score, ms)
        for share, score, ms in zip((1.0, 0.75, 0.0), (98.0, 99.5, 100.0), times, strict=True)
    ]
    budget = {"kind": "min_agreement", "limit": 99.0}
    return {"budget": budget, "candidates": rows[:2], "frontier": rows, "chosen": rows[1]}


def _points(axes: Any, label: str) -> list[tuple[float, float]]:
    (line,) = (line for line in axes.lines if line.get_label() == label)
    return [(float(x), float(y)) for x, y in line.get_xydata()]


def test_the_frontier_is_drawn_over_macs_and_over_time() -> None:
    macs, time = plot_frontier(_found(10.0, 12.5, 30.0)).axes
    assert _points(macs, "frontier") == [(100.0, 98.0), (75.0, 99.5), (0.0, 100.0)]
    assert _points(time, "frontier") == [(10.0, 98.0), (12.5, 99.5), (30.0, 100.0)]
    assert _points(time, "chosen") == [(12.5, 99.5)]
    assert macs.get_ylabel() == "pixels as in fp32 (%)"


def test_without_times_there_is_one_panel() -> None:
    assert len(plot_frontier(_found(None, None, None)).axes) == 1


def test_what_was_not_timed_is_left_out_of_the_panel_of_times() -> None:
    _, time = plot_frontier(_found(10.0, None, 30.0)).axes
    assert _points(time, "frontier") == [(10.0, 98.0), (30.0, 100.0)]


def test_the_same_facts_give_the_same_svg() -> None:
    text = frontier_svg(_found(10.0, 12.5, 30.0))
    assert text == frontier_svg(_found(10.0, 12.5, 30.0))
    assert ElementTree.fromstring(text).tag.endswith("svg")
