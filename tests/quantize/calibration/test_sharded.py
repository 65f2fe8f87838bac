"""Statistics by workers: as in one pass, and the same bytes however many there are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.artifact.artifact import Artifact
from export.common.files import sha256_of
from export.workers.engines import Workers
from quantize.calibration.channel_statistics import ChannelMinMax
from quantize.calibration.coverage import Coverage
from quantize.calibration.histogram import Histogram
from quantize.calibration.statistics import MeanMinMax, MinMax, PooledSum, Statistic
from quantize.calibration.tails import Tails
from quantize.quantization import quantize
from quantize.rounding.moments import InputMoments
from quantize.settings import Settings
from tests.segport.command import segport
from validate.data.datasets import open_dataset
from validate.samples.samples import Preparation, Samples

IMAGES = 21
"""Blocks of 8, 8 and 5."""


def _activations() -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    sizes = rng.lognormal(0, 1.5, IMAGES)  # the widest image comes neither first nor last
    return [rng.normal(0.2, size, (1, 6, 9, 7)).astype(np.float32) for size in sizes]


def _extremes(values: Any) -> tuple[Any, Any]:
    return values.min((2, 3)), values.max((2, 3))


UPDATES: dict[str, tuple[Callable[[], Statistic], Callable[[Any], tuple[Any, ...]]]] = {
    "minmax": (MinMax, _extremes),
    "mean-minmax": (MeanMinMax, _extremes),
    "channel-minmax": (ChannelMinMax, _extremes),
    "coverage": (Coverage, _extremes),
    "pooled-sum": (lambda: PooledSum((2, 3)), lambda v: (np.abs(v).sum((2, 3)).max(),)),
    "histogram": (Histogram, lambda v: (*_extremes(v), v)),
}


@pytest.mark.parametrize("name", UPDATES)
def test_parts_merged_are_the_whole(name: str) -> None:
    make, taken = UPDATES[name]
    whole, parts = make(), [make() for _ in range(3)]
    for number, values in enumerate(_activations()):
        whole.update(*taken(values))
        parts[number // 8].update(*taken(values))
    merged = make()
    merged.restore(parts[0].state())
    for part in parts[1:]:
        merged.merge(part.state())
    wanted, found = whole.state(), merged.state()
    assert wanted.keys() == found.keys()
    for key, array in wanted.items():
        assert np.array_equal(found[key], array), key


def test_tails_merged_have_the_ends_of_all_values() -> None:
    share, activations = 0.01, _activations()
    parts = [Tails(share, IMAGES) for _ in range(3)]
    for number, values in enumerate(activations):
        parts[number // 8].update(*_extremes(values), values)
    merged = parts[0]
    for part in parts[1:]:
        merged.merge(part.state())
    values = np.concatenate([one.reshape(-1) for one in activations])
    assert merged.total == values.size
    histogram = merged.histogram()
    assert histogram.counts.sum() == values.size
    above = int(share * values.size)
    threshold = np.sort(values)[-above]
    reached = np.cumsum(histogram.counts[::-1])[::-1]  # values in each bin and those above
    edges = histogram.edges
    bin_of = int(np.searchsorted(edges, threshold, "right")) - 1
    assert reached[bin_of] >= above > reached[bin_of + 1]


def test_moments_merged_are_those_of_all_inputs() -> None:
    rng = np.random.default_rng(1)
    columns = [rng.normal(5 + n, 1, (1, 4, 40)).astype(np.float32) for n in range(IMAGES)]
    parts = []
    for start in range(0, IMAGES, 8):
        part = InputMoments(_Plain())  # type: ignore[arg-type]
        for one in columns[start : start + 8]:
            part.update(one)
        parts.append(part)
    merged = parts[0]
    for part in parts[1:]:
        merged.merge(part.state())
    values = np.concatenate(columns, -1)[0].astype(np.float64)
    assert merged.mean[0] == pytest.approx(values.mean(1), rel=1e-5)
    assert merged.covariance(slice(1))[0] == pytest.approx(
        np.cov(values, bias=True), rel=1e-3, abs=1e-2
    )


class _Plain:
    """A window whose columns are what is given."""

    groups, depth, channels = 1, 4, 4

    def columns(self, picked: Any) -> Any:
        return picked


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["percentile", "mse"])
def test_files_have_the_same_bytes_for_any_number_of_workers(
    tiny: Artifact,
    make_voc: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rule: str,
) -> None:
    root = make_voc(tmp_path / "VOC2012", train=IMAGES, val=1)
    dataset = open_dataset(str(root), "train", masks=False)
    samples = Samples(dataset, Preparation.for_artifact(tiny.manifest, "squash"))
    settings = Settings(target="cpu", range=rule, added=("gptq",))
    digests = set()
    for count in (1, 2, 8):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache{count}"))
        made = quantize(
            tiny,
            "int8",
            tmp_path / f"out{count}",
            samples=samples,
            settings=settings,
            workers=Workers("processes", count),
        )
        assert len(made.manifest.images) == IMAGES
        digests.add(sha256_of(made.path))
    assert len(digests) == 1


@pytest.mark.slow
def test_the_command_takes_workers(tiny: Artifact, voc: Path, tmp_path: Path) -> None:
    words = ("quantize", tiny.path, "--precision", "int8", "--calibration", voc, "-o", tmp_path)
    answer = segport(*words, "--engine", "processes", "--workers", 2, "--force")
    assert answer.code == 0, answer.err
    answer = segport(*words, "--workers", 2)
    assert answer.code == 2 and "--engine" in answer.err
