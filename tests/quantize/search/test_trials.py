from collections.abc import Callable, Iterator

from onnx import ModelProto

from quantize.search.budget import SearchBudget
from quantize.search.decision import ScoreReading
from quantize.search.trials import Trials
from quantize.targets import TARGETS

BUDGET = SearchBudget("min_agreement", 99.0)


def _undecided(model: ModelProto, stop: Callable[[], bool]) -> Iterator[ScoreReading]:
    """99.1 on any number of images, of which only all of them tell that it is within 99."""
    for images in (16, 32, 64):
        yield ScoreReading(99.1, 0.0 if images == 64 else 1.0, images, 64)


def _trials(passed: float) -> Trials:
    """When so large a part of the time has passed."""
    return Trials(
        lambda kept: ModelProto(),
        lambda kept: 1.0,
        _undecided,
        BUDGET,
        lambda text: None,
        lambda part: part <= passed,
        TARGETS["cpu"],
    )


def test_what_is_not_clear_when_its_time_has_passed_is_not_accepted() -> None:
    found = _trials(0.3).try_out(frozenset(), until=0.2)
    assert not found.accepted and found.reading.images == 16


def test_what_becomes_clear_in_time_is_accepted() -> None:
    found = _trials(0.3).try_out(frozenset(), until=0.4)
    assert found.accepted and found.reading.images == 64


def test_the_frontier_has_what_no_other_beats_and_ends_with_fp32() -> None:
    trials = _trials(0.0)
    trials.try_out(frozenset())
    trials.try_out(frozenset("a"))  # no better and no more int8
    frontier = trials.frontier(frozenset("abc"))
    assert [(one.reading.score, one.int8_macs_share) for one in frontier] == [(99.1, 1), (100, 0)]


def _on(images: int) -> Trials:
    """99.1 on so many of 256 images, which does not tell whether it is within 99."""
    trials = Trials(
        lambda kept: ModelProto(),
        lambda kept: 1.0,
        lambda model, stop: iter([ScoreReading(99.1, 1.0, images, 256)]),
        BUDGET,
        lambda text: None,
        lambda part: True,
        TARGETS["cpu"],
    )
    trials.try_out(frozenset())
    return trials


def test_when_time_is_over_enough_images_are_believed() -> None:
    assert _on(64).within(over=False) == []
    assert [one.reading.score for one in _on(64).within(over=True)] == [99.1]
    assert _on(63).within(over=True) == []


def test_what_is_settled_goes_on_where_it_stopped() -> None:
    """Once in 256 images: those that were looked at are not run again."""
    run: list[int] = []

    def score(model: ModelProto, stop: Callable[[], bool]) -> Iterator[ScoreReading]:
        for images in (16, 32, 64, 128, 256):
            run.append(images)
            yield ScoreReading(99.1, 0.0 if images == 256 else 1.0, images, 256)

    trials = Trials(
        lambda kept: ModelProto(), lambda kept: 1.0, score, BUDGET, lambda text: None,
        lambda part: False, TARGETS["cpu"],
    )  # fmt: skip
    assert not trials.try_out(frozenset("a")).accepted
    assert run == [16, 32, 64]
    assert trials.try_out(frozenset("a"), settle=True).accepted
    assert run == [16, 32, 64, 128, 256]


def test_time_that_ends_while_it_is_settled_leaves_what_was_known() -> None:
    """Another candidate came between, so it begins anew, and time is over after 16 images."""
    ended = False

    def score(model: ModelProto, stop: Callable[[], bool]) -> Iterator[ScoreReading]:
        for images in (16, 32, 64, 128, 256):
            yield ScoreReading(99.1, 1.0, images, 256)

    trials = Trials(
        lambda kept: ModelProto(), lambda kept: 1.0, score, BUDGET, lambda text: None,
        lambda part: ended, TARGETS["cpu"],
    )  # fmt: skip
    trials.try_out(frozenset("a"))
    trials.try_out(frozenset("b"))
    ended = True
    assert trials.try_out(frozenset("a"), settle=True).reading.images == 64
    assert frozenset("a") in {one.kept_float for one in trials.within(over=True)}
