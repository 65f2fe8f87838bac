"""Latencies that hold under several protocols are measured once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from export.artifact.artifact import Artifact
from validate.judging.comparison import validate
from validate.report.report_text import notes
from validate.result.result import Result

Compared = Callable[..., tuple[Result, list[str]]]


@pytest.fixture
def compared(tiny: Artifact, voc: Path, tmp_path: Path) -> Compared:
    """Validate `tiny` against itself under a protocol; also return the stages it went through."""

    def compare(
        protocol: str, before: Result | None = None, limit: int = 2
    ) -> tuple[Result, list[str]]:
        stages: list[str] = []
        result = validate(
            [tiny], f"{voc}:val", tmp_path / protocol, protocol=protocol, limit=limit,
            timed_with=before, progress=lambda stage, done, total: stages.append(stage),
        )  # fmt: skip
        return result, stages

    return compare


def test_another_protocol_takes_the_latencies_and_says_so(compared: Compared) -> None:
    first, stages = compared("squash")
    assert "latency" in stages and first.latency_protocol is None
    second, stages = compared("center-crop", first)
    assert "latency" not in stages and second.latency_protocol == "squash"
    third, _ = compared("full", second)
    assert third.latency_protocol == "squash"
    one, other = first.artifacts[0], third.artifacts[0]
    assert (one.latency_ms, one.mask_ms) == (other.latency_ms, other.mask_ms)
    assert one.latency_runtime == other.latency_runtime == "ort-cpu"
    said = "latency depends on no protocol: measured for squash"
    assert said in notes(second) and said not in notes(first)


def test_they_are_measured_again_where_anything_differs(compared: Compared) -> None:
    first, _ = compared("squash")
    entry = first.artifacts[0]
    for update in ({"sha256": "0"}, {"runtime": "openvino"}, {"latency_ms": None}, {"id": "fp16"}):
        other = first.model_copy(update={"artifacts": [entry.model_copy(update=update)]})
        second, stages = compared("center-crop", other)
        assert "latency" in stages and second.latency_protocol is None, update
    second, stages = compared("center-crop", first, limit=1)
    assert "latency" in stages and second.latency_protocol is None
