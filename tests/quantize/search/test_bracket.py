from collections.abc import Callable, Iterator

from onnx import ModelProto

from quantize.search.bracket import find
from quantize.search.budget import SearchBudget
from quantize.search.clock import Clock
from quantize.search.decision import ScoreReading
from quantize.search.order import Foreseen
from quantize.search.trials import Candidate, Trials
from quantize.targets import TARGETS

COUNT = 41
SETS = [
    Foreseen(frozenset(str(layer) for layer in range(index)), index / 40, 2.0 * (1 - index / 40))
    for index in range(COUNT)
]
"""With each of 40 layers that becomes float, the loss foreseen falls from 2 by 0.05."""


def _search(
    lost: Callable[[int], float], limit: float, minutes: float | None = None
) -> tuple[Candidate | None, list[int], list[str]]:
    """Search where `lost` gives the percent of pixels that change with so many layers in float."""
    tried: list[int] = []
    said: list[str] = []

    def build(kept: object) -> ModelProto:
        model = ModelProto()
        model.graph.name = str(len(kept))  # type: ignore[arg-type]
        return model

    def score(model: ModelProto, stop: Callable[[], bool]) -> Iterator[ScoreReading]:
        tried.append(int(model.graph.name))
        yield ScoreReading(100 - lost(tried[-1]), 0.0, 32, 32)

    clock = Clock(said.append, minutes)
    budget = SearchBudget("min_agreement", limit)
    trials = Trials(
        build, lambda kept: 1 - len(kept) / 40, score, budget, clock.say, clock.over, TARGETS["cpu"]
    )
    trials.try_out(frozenset())
    return find(SETS, trials, clock), tried, said


def test_what_is_foreseen_right_but_for_its_scale_is_found_at_once() -> None:
    # 3 times the loss foreseen: 6 % at first, and 3 % with 20 layers in float
    found, tried, _ = _search(lambda layers: 3 * SETS[layers].loss, 96.99)
    assert found is not None and len(found.kept_float) == 20
    assert tried == [0, 20, 19]  # the last shows that no less will do


def test_what_is_foreseen_wrong_is_found_all_the_same() -> None:
    # nothing helps before 33 layers are in float
    found, tried, _ = _search(lambda layers: 6.0 if layers < 33 else 0.5, 99.0)
    assert found is not None and len(found.kept_float) == 33
    assert len(tried) <= 10


def test_no_set_within_the_budget_is_none_after_the_last_was_tried() -> None:
    found, tried, _ = _search(lambda layers: 6.0, 99.0)
    assert found is None and max(tried) == 40


def test_more_in_float_that_scores_worse_is_passed_over_and_said() -> None:
    # worse than all in int8 with 20 in float, where the line through what was scored leads to
    found, _, said = _search(lambda layers: {0: 2.0, 20: 3.0}.get(layers, 0.4), 98.99)
    assert found is not None and found.reading.score == 99.6
    assert any("20 layers in float score worse than 0: passed over" in text for text in said)


def test_without_time_nothing_is_found() -> None:
    found, tried, _ = _search(lambda layers: 0.0, 100.0, minutes=0.0)
    assert found is None and tried == [0]
