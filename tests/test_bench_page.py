"""The page of benchmarks/: its tables, and that the committed one is what its files give."""

from typing import Any

import pytest

from benchmarks.page import HERE, page, read
from benchmarks.tables import pipeline_table, ratios

MACHINE = {"cpu": "Some CPU", "threads": 2, "isa": ["avx2", "avx_vnni"]}


def _spread(median: float) -> dict[str, float]:
    return {"median": median, "p10": median - 1, "p90": median + 1}


def _file(seconds: float, peak: float, size: float) -> dict[str, Any]:
    return {
        "seconds": seconds, "peak_mb": peak, "before_mb": 130.0, "megabytes": size,
        "int8_macs": 87.654, "error": None,
    }  # fmt: skip


def _score(miou: float, drop: float, agreement: float) -> dict[str, float]:
    return {"miou": miou, "drop": drop, "agreement": agreement}


@pytest.fixture
def results() -> dict[str, Any]:
    """One network: two peers, of which one could not be quantized, and torch."""
    ms = {
        "segport cpu": 10.0, "nncf in openvino + numpy": 21.0, "nncf in openvino + ArgMax": 12.0,
        "onnxruntime fp32 + numpy": 39.0, "onnxruntime fp32 + ArgMax": 30.0, "torch.compile": 33.3,
    }  # fmt: skip
    quantizers = {
        "fp32_megabytes": 20.43,
        "samples": 64,
        "files": {
            "segport cpu": _file(8.06, 1001.2, 5.55),
            "nncf": _file(7.8, 1402.6, 5.41),
            "segport npu": {"error": "AssertionError: a | b"},
        },
    }
    scores = {
        "segport cpu": _score(75.604, -0.684, 99.434),
        "nncf in openvino": _score(76.0, -1.08, 98.5),
        "nncf in onnxruntime": _score(76.1, -1.18, 98.6),
        "onnxruntime fp32": _score(74.92, 0.0, 100.0),
    }
    return {
        "quantizers": {
            "machine": MACHINE, "rounds": 1, "networks": {"deeplabv3_mobilenet": quantizers},
        },
        "scores": {
            "machine": MACHINE, "images": 200, "networks": {"deeplabv3_mobilenet": scores},
        },
        "masks": {
            "machine": MACHINE,
            "networks": {
                "deeplabv3_mobilenet": {
                    "ms": {name: _spread(value) for name, value in ms.items()},
                    "rounds": 20, "others": 1.5,
                    "int8": {"gmac_per_s": 400.0, "of_peak": 52.345, "peak": 764.0},
                }
            },
        },
    }  # fmt: skip


def _lines(text: str, start: str) -> list[str]:
    """The table whose first column is `start`, without its rule and its padding."""
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(f"| {start} "))
    end = next(i for i in range(at, len(lines) + 1) if i == len(lines) or not lines[i])
    rows = [lines[at], *lines[at + 2 : end]]
    return [" | ".join(cell.strip() for cell in row.strip("|").split(" | ")) for row in rows]


def test_everything_about_a_peer_stands_in_one_row(results: dict[str, Any]) -> None:
    assert _lines(page(results), "quantizer, runtime") == [
        "quantizer, runtime | seconds | peak MB | MB | ms, numpy argmax | ms, mask in graph | "
        "mIoU % | drop | agreement %",
        "segport cpu | 8.1 | 1001 | 5.5 | - | 10.0 | 75.60 | -0.68 | 99.43",
        "nncf in openvino | 7.8 | 1403 | 5.4 | 21.0 | 12.0 | 76.00 | -1.08 | 98.50",
        "onnxruntime fp32 | - | - | 20.4 | 39.0 | 30.0 | 74.92 | +0.00 | 100.00",
        "torch.compile | - | - | - | - | 33.3 | - | - | -",
    ]


def test_ratios_stand_beside_what_they_are_to_reach(results: dict[str, Any]) -> None:
    # 21 / 10, 12 / 10 and 39 / 10
    text = page(results)
    assert _lines(text, "network") == [
        "network | best peer + numpy | best peer + ArgMax | onnxruntime fp32 + numpy | "
        "convolutions of the int8 peak",
        "deeplabv3_mobilenet | 2.10x (reaches 2) | 1.20x (below 1.25) | 3.90x (below 4) | 52.3 %",
    ]
    for file in results.values():
        file["networks"] = {"deeplabv3_resnet101": file["networks"]["deeplabv3_mobilenet"]}
    assert _lines(page(results), "network")[1] == (
        "deeplabv3_resnet101 | 2.10x (reaches 1.15) | 1.20x (reaches 1.05) | 3.90x (reaches 3.5) | "
        "52.3 % (reaches 35)"
    )


def test_a_family_shows_what_each_quantizer_made_of_it_or_why_not() -> None:
    made = {"error": None, "agreement": 97.718, "int8_macs": 94.9, "ratio": 0.583, "seconds": 1.04}
    files = {"segport cpu": made, "nncf": {"error": "RuntimeError: no"}}
    targets = {"npu": {"error": "refused: too far"}, "arm": {"error": None, "agreement": 98.0}}
    families = {"a": {"files": files, "targets": targets}, "b": {"error": "BrokenProcessPool: x"}}
    text = page({"families": {"machine": MACHINE, "images": 8, "families": families}})
    assert _lines(text, "family") == [
        "family | segport cpu | nncf",
        "a | 97.72 %, 95 % int8, 0.58x, 1.0 s | RuntimeError: no",
        "b | BrokenProcessPool: x | BrokenProcessPool: x",
    ]
    assert "refused: too far" in text and "98.00 %" in text


def test_the_best_peer_may_be_torch() -> None:
    ms = {
        "segport cpu": 2.0, "onnxruntime fp32 + numpy": 8.0, "onnxruntime fp32 + ArgMax": 7.0,
        "torch eager": 6.0,
    }  # fmt: skip
    assert ratios(ms) == {
        "best peer + numpy": 4.0, "best peer + ArgMax": 3.0, "onnxruntime fp32 + numpy": 4.0,
    }  # fmt: skip


def test_a_quantizer_that_failed_says_why(results: dict[str, Any]) -> None:
    assert _lines(page(results), "quantizer")[1:] == [
        "segport cpu | 8.1 | 1001 | 5.5 | 75.60 | -0.68 | 99.43 | 87.7",
        "nncf | 7.8 | 1403 | 5.4 | 76.10 | -1.18 | 98.60 | 87.7",
        "segport npu | AssertionError: a \\| b | - | - | - | - | - | -",
    ]


def test_a_search_that_was_stopped_says_so() -> None:
    made = {"seconds": 81.4, "error": None, "int8_macs": 95.04, "agreement": 99.6, "drop": -0.1}
    rows = [
        {"network": "net", "quantizer": "segport cpu", **made},
        {"network": "net", "quantizer": "nncf", "seconds": None, "error": "stopped after 9 s"},
    ]
    found = {"agreement": 99.6, "judges": 64, "samples": 16, "images": 50, "rows": rows}
    assert _lines(page({"search": found}), "network") == [
        "network | quantizer | seconds | MACs in int8 % | agreement % | drop",
        "net | segport cpu | 81 | 95.0 | 99.60 | -0.10",
        "net | nncf | stopped after 9 s | - | - | -",
    ]


def test_growth_shows_where_memory_ran_out() -> None:
    grown = {"seconds": 8.04, "peak_mb": 1002.5, "before_mb": 130.0, "error": None}
    out = {"error": "more than 8 GB of memory"}
    text = page(
        {
            "growth": {
                "machine": MACHINE, "network": "net", "limit_gb": 8.0,
                "quantization": [
                    {"quantizer": "a", "images": 16, **grown},
                    {"quantizer": "b", "images": 16, **grown},
                    {"quantizer": "a", "images": 32, **grown, "seconds": 16.0},
                    {"quantizer": "b", "images": 32, **out},
                ],
                "validation": [
                    {"images": 25, "cpus": 1, "seconds": 9.97},
                    {"images": 25, "cpus": 2, "seconds": 5.0},
                ],
            }
        }
    )  # fmt: skip
    assert _lines(text, "quantizer") == [
        "quantizer | 16 images | 32 images",
        "a | 8.0 s, 1002 MB | 16.0 s, 1002 MB",
        "b | 8.0 s, 1002 MB | more than 8 GB of memory",
    ]
    assert _lines(text, "images") == ["images | 1 CPU, s | 2 CPUs, s", "25 | 10.0 | 5.0"]
    assert "## From image to mask" not in text and "Some CPU (avx2, avx_vnni)" in text


def test_a_run_is_held_to_its_limits() -> None:
    figures = {
        "whole run": "80.0 s", "whole run / inferences": "1.31", "peak memory": "2400 MB",
        "second run": "4.9 s, torch imported: False",
    }  # fmt: skip
    runs = {
        "deeplabv3_mobilenet": {"figures": figures},
        "deeplabv3_resnet101": {"figures": figures},
    }
    assert _lines(pipeline_table(runs), "figure") == [
        "figure | deeplabv3_mobilenet | deeplabv3_resnet101",
        "whole run | 80.0 s | 80.0 s",
        "whole run / inferences | 1.31 (above 1.3) | 1.31 (above 1.3)",
        "peak memory | 2400 MB (above 2000) | 2400 MB (within 4000)",
        "second run | 4.9 s, torch imported: False (within 5) | "
        "4.9 s, torch imported: False (within 5)",
    ]


def test_figures_in_the_text_are_those_of_the_table() -> None:
    head = [
        "population", "images of a class", "images", "drop %", "width", "plain %", "mIoU %",
        "class drop %",
    ]  # fmt: skip
    rows = [
        [name, images, "9", drop, "1.0", "85.0", "95.0", classes]
        for name, images, drop, classes in (
            ("close", "30 or more", "94.6", "95.0"),
            ("int8", "30 or more", "96.1", "95.0"),
            ("close", "5 on average", "98.0", "90.6"),
            ("close", "3 on average", "97.4", "88.0"),
        )
    ]
    text = page({"coverage": {"machine": MACHINE, "runs": 7, "head": head, "rows": rows}})
    assert "hold the truth in 95-96 of 100 cases; with 3 on average\nin 97-97" in text
    assert "falls to\n91-91 at five images and 88-88 at three" in text


def test_the_committed_page_is_what_the_committed_files_give() -> None:
    results = read(HERE / "results")
    assert {"quantizers", "masks", "growth"} <= results.keys()
    assert (HERE / "README.md").read_text(encoding="utf-8") == page(results)
