"""The page of `benchmarks/protocols.py`."""

from typing import Any

import pytest

from benchmarks.protocols import page
from export.common.errors import ComparisonError
from tests.markdown import table
from tests.validate.results import artifact_result, lost, result_of
from validate.result.facts import DatasetFacts
from validate.result.result import Result


def _pair(**changes: Any) -> tuple[Result, Result]:
    """80 mIoU under one protocol and 73.5 under the other; fp16 loses 0.25 and gains 0.5."""
    crop = result_of(lost("fp16", 0.25, drop_ci95=(-0.1, 0.6)), protocol="center-crop")
    squash = result_of(artifact_result("fp16", miou=74.0, drop=-0.5), **changes)
    return crop, squash.model_copy(
        update={"artifacts": [artifact_result("torch-fp32", miou=73.5), *squash.artifacts[1:]]}
    )


def test_drops_stand_beside_what_mixing_protocols_gives() -> None:
    text = page(*_pair())
    rows = table(text, "Measured")
    assert rows == [
        {
            "artifact": "torch-fp32", "mIoU, center-crop": "80.00", "mIoU, squash": "73.50",
            "drop, center-crop": "-", "drop, squash": "-", "across protocols": "+6.50",
        },
        {
            "artifact": "fp16", "mIoU, center-crop": "79.75", "mIoU, squash": "74.00",
            "drop, center-crop": "+0.25 (-0.10 to +0.60)", "drop, squash": "-0.50",
            "across protocols": "+6.00",
        },
    ]  # fmt: skip
    (published,) = table(text, "Published")
    # 70.1 - 67.816
    assert list(published.values()) == ["fp16", "+2.28", "+6.50", "-0.50"]


def _facts(**changes: Any) -> DatasetFacts:
    facts = {"name": "VOC2012", "split": "val", "images": 200, "labelled": True}
    return DatasetFacts(**{**facts, "ids_sha256": "b" * 64, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"protocol": "full"},
        {"dataset": _facts(ids_sha256="c" * 64)},
        {"dataset": _facts(labels_sha256="d" * 64)},
        {"reference": "fp32"},
    ],
)
def test_results_that_do_not_belong_together_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ComparisonError):
        page(*_pair(**changes))
