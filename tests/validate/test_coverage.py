"""The claim behind every interval, by simulation; benchmarks/coverage.py prints the table."""

import pytest

from benchmarks.coverage import ARTIFACTS, Coverage, Population, cover, simulated
from validate.metrics.metrics import miou


@pytest.mark.slow
def test_95_percent_intervals_hold_the_truth_in_95_of_100_runs() -> None:
    population = simulated(ARTIFACTS["int8"])
    images = round(45 / population.class_images)
    row = cover(population, images, 1000, at_least=30)
    assert row.drop.made == row.miou.made == 1000
    assert 93 <= row.drop.percent <= 97
    assert 93 <= row.miou.percent <= 97


def test_the_simulated_artifacts_are_damaged_as_much_as_they_say() -> None:
    drops = [simulated(artifact).drop for artifact in ARTIFACTS.values()]
    assert 0 < drops[0] < 1 < drops[1] < 3 < drops[2]


def test_the_truth_is_that_of_the_whole_population() -> None:
    population = simulated(ARTIFACTS["int8"])
    reference, artifact = (miou(m.sum(0)) for m in (population.reference, population.artifact))
    assert reference is not None and artifact is not None
    assert population.drop == reference - artifact
    assert (population.reference.sum(2) == population.artifact.sum(2)).all()  # one label for both
    assert isinstance(population, Population)


def test_coverage_counts_what_holds_the_truth() -> None:
    coverage = Coverage(1.0)
    for interval in ((0.0, 2.0), (0.5, 0.9), None, (1.0, 1.0), (1.1, 3.0)):
        coverage.add(interval)
    assert (coverage.made, coverage.hits) == (4, 2)
    assert coverage.percent == 50
