import json
from collections.abc import Callable, Collection, Iterator

import numpy as np
import pytest
from onnx import ModelProto

from export.common.errors import QuantizeError
from quantize.graph.plan import Plan, build
from quantize.search.budget import SearchBudget
from quantize.search.decision import ScoreReading, looks
from quantize.search.search import Search, SearchResult, search
from tests.quantize.search.chains import chain, logits, plan, samples

CALIBRATION = samples(4, seed=0)
SCORING = samples(40, seed=1)


class Agreement:
    """Percent of pixels with fp32's class; remembers how many images each model was run on."""

    def __init__(self, fp32: ModelProto) -> None:
        self._fp32 = logits(fp32, SCORING).argmax(1)
        self.runs: list[int] = []

    def __call__(
        self, model: ModelProto, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[ScoreReading]:
        same = (logits(model, SCORING).argmax(1) == self._fp32).mean((1, 2))
        self.runs.append(0)
        for count in looks(len(SCORING)):
            self.runs[-1] = count
            error = 100 * same[:count].std() / count**0.5 if count < len(SCORING) else 0.0
            yield ScoreReading(100 * float(same[:count].mean()), error, count, len(SCORING))


def _builder(made: Plan) -> Callable[[Collection[str]], ModelProto]:
    return lambda kept: build(made, kept)


def _search(
    made: Plan, limit: float, minutes: float | None = None
) -> tuple[SearchResult, Agreement, list[str]]:
    score = Agreement(made.model)
    said: list[str] = []
    wanted = Search(
        SearchBudget("min_agreement", limit), score, lambda: (), None, minutes, said.append
    )
    return search(made, made.model, _builder(made), CALIBRATION, wanted), score, said


@pytest.mark.parametrize(("names", "spread"), [("ABCDE", "B"), ("ABCDE", "A"), ("ABCDEFG", "BE")])
def test_the_culprits_become_float_and_most_stays_int8(names: str, spread: str) -> None:
    found, _, _ = _search(plan(chain(names, spread), CALIBRATION), 97.0)
    assert found.candidates[0].reading.score < 90  # all in int8
    assert found.chosen.reading.score >= 97
    # the tensor a planted layer gives loses its Q only with its writer and its reader in float
    culprits = {one for letter in spread for one in (letter, f"relu_{letter}")}
    assert culprits <= found.chosen.kept_float
    assert found.verdict.endswith(" on 16 images")  # of all int8, which is clearly out by then
    floating = {layer for layer in found.chosen.kept_float if len(layer) == 1}
    assert len(floating) <= 2 * len(spread)
    # each inner convolution has 4 * 4 MACs per pixel, the last one 4 * 3
    share = 16 * (len(names) - len(floating)) / (16 * len(names) + 12)
    assert found.chosen.int8_macs_share == pytest.approx(share)


def test_clear_candidates_are_decided_on_few_images_and_the_chosen_one_on_all() -> None:
    found, score, _ = _search(plan(chain("ABCDEFGH", "BF"), CALIBRATION), 97.0)
    assert found.chosen.reading.images == len(SCORING)
    assert min(score.runs) == 16
    assert found.chosen.int8_macs_share == max(
        c.int8_macs_share for c in found.candidates if c.accepted
    )


def test_a_network_within_budget_stays_in_int8_and_is_not_ranked() -> None:
    found, score, _ = _search(plan(chain("ABCD"), CALIBRATION), 90.0)
    assert found.chosen.kept_float == frozenset()
    assert score.runs == [len(SCORING)]  # clearly in after 16, then on to all, each image once
    assert found.sensitivity is None and found.images == ()
    assert "with all 8 layers in int8" in found.verdict


def test_everything_in_float_is_fp32_and_ends_the_frontier() -> None:
    made = plan(chain("ABCDE", "B"), CALIBRATION)
    found, score, _ = _search(made, 97.0)
    shares = [one.int8_macs_share for one in found.frontier]
    scores = [one.reading.score for one in found.frontier]
    assert shares == sorted(shares, reverse=True) and scores == sorted(scores)
    assert (shares[-1], scores[-1]) == (0.0, 100.0)
    *_, run = score(build(made, found.frontier[-1].kept_float))
    assert run.score == 100.0


def test_a_budget_that_cannot_be_met_is_refused_with_the_frontier() -> None:
    # with both convolutions in float nothing would be int8 any more
    with pytest.raises(QuantizeError) as caught:
        _search(plan(chain("AB", "A"), CALIBRATION), 97.0)
    message = str(caught.value)
    assert message.startswith("--min-agreement 97 cannot be met with 10 % of MACs in int8")
    assert "frontier" in message and "100.00 (0 %)" in message
    assert "\n" not in message


def test_without_time_the_search_ends_and_says_so() -> None:
    with pytest.raises(QuantizeError, match="in the time given"):
        _search(plan(chain("ABCDE", "B"), CALIBRATION), 100.0, minutes=1e-9)


@pytest.mark.parametrize("names", ["A", "ABC"])
def test_all_int8_that_64_images_leave_open_is_judged_on_all(names: str) -> None:
    """Before anything else is tried: nothing has more int8."""

    def undecided(model: ModelProto, stop: Callable[[], bool]) -> Iterator[ScoreReading]:
        for images in looks(200):
            yield ScoreReading(99.1, 1.0 if images < 200 else 0.0, images, 200)

    made = plan(chain(names), CALIBRATION)  # with A alone in float nothing would be int8
    wanted = Search(SearchBudget("min_agreement", 99.0), undecided, lambda: (), None, 5.0)
    found = search(made, made.model, _builder(made), CALIBRATION, wanted)
    assert not found.chosen.kept_float
    assert found.chosen.reading.images == 200


def test_what_is_tried_is_said_in_words() -> None:
    _, _, said = _search(plan(chain("ABCDE", "B"), CALIBRATION), 97.0, minutes=5)
    assert any("errors of int8 measured" in text for text in said)
    assert any("layers in float: agreement" in text and "s left)" in text for text in said)
    assert any("+-" in text for text in said)


def test_scores_that_are_not_numbers_never_meet_a_budget() -> None:
    made = plan(chain("ABC", "A"), CALIBRATION)
    wanted = Search(
        SearchBudget("max_drop", 0.5),
        lambda model, stop: [ScoreReading(np.nan, 0.0, 3, 3)],
        lambda: (),
    )
    with pytest.raises(QuantizeError, match=r"--max-drop 0\.5 cannot be met"):
        search(made, made.model, _builder(made), CALIBRATION, wanted)


def test_two_searches_find_the_same() -> None:
    made = plan(chain("ABCDE", "B"), CALIBRATION)
    assert _search(made, 97.0)[0].facts() == _search(made, 97.0)[0].facts()


def test_the_manifest_gets_a_table_that_json_can_hold() -> None:
    found, _, _ = _search(plan(chain("ABCDE", "B"), CALIBRATION), 97.0)
    facts = json.loads(json.dumps(found.facts(), allow_nan=False))
    assert facts["verdict"] == found.verdict
    assert facts["candidates"][0] == {
        "kept_float": 0,
        "int8_macs_share": pytest.approx(80 / 92),
        "score": found.candidates[0].reading.score,
        "images": 16,  # clearly out
        "accepted": False,
        "latency_ms": None,
    }
    # the tensor between the planted layer and the one that makes up for it
    assert facts["ranking"][0]["layers"] == ["B ... relu_B", "C ... relu_C"]
    assert facts["ranking"][0]["share"] > 0.9
