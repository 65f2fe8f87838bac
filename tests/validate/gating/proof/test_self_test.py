"""The gate's negative control, and what it plants."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.common.errors import DataError
from tests.validate.results import result_of, written
from validate.gating.counted import Counted, count
from validate.gating.proof import self_test as module
from validate.gating.proof.plants import PLANTS
from validate.gating.proof.self_test import judged_miou, planted_evidence, self_test
from validate.gating.rules import Rules
from validate.gating.verdict import Outcome, Verdict
from validate.result.result import load_result

CLASSES = ("background", "cat", "dog")


def _confusions(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    matrices = rng.integers(0, 20, (8, 3, 3))
    matrices[:, range(3), range(3)] += rng.integers(500, 3000, (8, 3))
    return matrices


@pytest.fixture
def counted(tmp_path: Path) -> Counted:
    base = _confusions(0)
    moved = base.copy()
    moved[:, 1, 1] -= 10
    moved[:, 1, 2] += 10
    written(tmp_path, {"fp32": base, "int8": moved}, classes=CLASSES)
    return count(load_result(tmp_path / "result.json"), tmp_path, Rules())


@pytest.mark.parametrize("name", PLANTS)
def test_a_plant_moves_pixels_and_keeps_the_labels(name: str) -> None:
    before = _confusions(1)
    for strength in (0.0, 0.01, 0.3, 1.0):
        after = PLANTS[name](before, strength, np.random.default_rng(3))
        assert np.array_equal(after.sum(2), before.sum(2)) and (after >= 0).all()
        assert np.array_equal(after, before) == (strength == 0)


@pytest.mark.parametrize("name", PLANTS)
@pytest.mark.parametrize("points", [0.1, 0.5, 3.0])
def test_a_planted_loss_has_the_size_that_was_asked_for(
    counted: Counted, name: str, points: float
) -> None:
    evidence = counted.evidence["int8"]
    lost = judged_miou(evidence) - judged_miou(planted_evidence(evidence, name, points, 0))
    assert lost == pytest.approx(points, abs=0.06)


@pytest.mark.parametrize("given", [True, False])
def test_every_loss_beyond_the_tolerance_is_caught(
    counted: Counted, tmp_path: Path, given: bool
) -> None:
    from validate.gating.baseline.acceptance import update_baseline

    baseline = tmp_path / "baseline.json" if given else None
    if baseline:
        update_baseline([counted], baseline, "a test")
    trials = self_test(counted, baseline, Rules())
    assert {trial.plant for trial in trials} == set(PLANTS)
    assert {trial.id for trial in trials} == {"int8"}
    beyond = [trial for trial in trials if trial.lost > 0.2]
    assert len(beyond) >= len(trials) // 2 and all(trial.caught for trial in beyond)
    assert not any(trial.slipped for trial in trials)


def test_a_gate_that_passes_everything_is_found_out(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asleep(*_: Any) -> list[Verdict]:
        return [Verdict("int8", Outcome.PASS, "fine", limit=-0.2)]

    broken: Callable[..., list[Verdict]] = asleep
    monkeypatch.setattr(module, "judge_baseline", broken)
    trials = self_test(counted, None, Rules())
    assert all(trial.slipped == (trial.lost > 0.2) for trial in trials)
    assert any(trial.slipped for trial in trials)


def test_without_counts_there_is_nothing_to_plant_into() -> None:
    with pytest.raises(DataError, match="self-test"):
        self_test(count(result_of(), None, Rules(trust=True)), None, Rules())
