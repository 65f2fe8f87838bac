import json
from collections.abc import Sequence
from math import ceil, log2

import numpy as np
import pytest
from onnx import ModelProto

from export.errors import QuantizeError
from quantize.plan import Plan, build
from quantize.search.budget import Budget
from quantize.search.search import REFINEMENTS, SearchResult, search
from tests.quantize.search.chains import chain, logits, plan, samples

CALIBRATION = samples(4, seed=0)
SCORING = samples(3, seed=1)


class Agreement:
    """Percent of pixels with fp32's class; remembers what it was asked."""

    def __init__(self, fp32: ModelProto) -> None:
        self._fp32 = logits(fp32, SCORING).argmax(1)
        self.models: list[ModelProto] = []

    def __call__(self, model: ModelProto) -> float:
        self.models.append(model)
        return 100 * float((logits(model, SCORING).argmax(1) == self._fp32).mean())


def _search(made: Plan, limit: float) -> tuple[SearchResult, Agreement]:
    score = Agreement(made.model)
    return search(made, CALIBRATION, score, Budget("min_agreement", limit)), score


@pytest.mark.parametrize(
    ("names", "spread", "kept"),
    [
        # The tensor relu_B gives loses its Q only with its writer (B and the Relu that is
        # merged into it) and its only reader (C) in float.
        ("ABCDE", "B", {"B", "relu_B", "C"}),
        ("ABCDE", "A", {"A", "relu_A", "B"}),
        ("ABCDEFG", "BE", {"B", "relu_B", "C", "E", "relu_E", "F"}),
        # the last Relu's only reader is `out`, which is in float anyway
        ("ABCDE", "E", {"E", "relu_E"}),
    ],
)
def test_only_the_layers_around_the_culprits_stay_in_float(
    names: str, spread: str, kept: set[str]
) -> None:
    found, _ = _search(plan(chain(names, spread), CALIBRATION), 97.0)
    assert found.candidates[0].score < 90  # all in int8
    assert set(found.chosen.kept_float) == kept
    assert found.chosen.score >= 97
    # each inner convolution has 4 * 4 MACs per pixel, the last one 4 * 3
    convolutions = len(names) - len({layer for layer in kept if len(layer) == 1})
    assert found.chosen.int8_macs_share == pytest.approx(16 * convolutions / (16 * len(names) + 12))


def test_few_networks_are_scored_and_each_is_listed() -> None:
    made = plan(chain("ABCDEFGH", "BF"), CALIBRATION)
    found, score = _search(made, 97.0)
    units = 8 + 1 + 8  # weights, the input, and what each ReLU gives
    assert len(score.models) <= 2 + ceil(log2(units)) + REFINEMENTS
    assert len(found.candidates) == len(score.models)
    for candidate, model in zip(found.candidates, score.models, strict=True):
        assert build(made, candidate.kept_float) == model
        assert candidate.accepted == (candidate.score >= 97)
    assert found.chosen in found.candidates
    assert found.chosen.int8_macs_share == max(
        c.int8_macs_share for c in found.candidates if c.accepted
    )


def test_a_network_within_budget_stays_in_int8_and_is_scored_once() -> None:
    found, score = _search(plan(chain("ABCD"), CALIBRATION), 90.0)
    assert found.chosen.kept_float == frozenset()
    assert len(score.models) == 1
    assert found.ranking == () and found.images == ()
    assert "with all 8 layers in int8" in found.verdict


def test_a_budget_that_cannot_be_met_is_refused_with_the_best_score() -> None:
    # with both convolutions in float nothing would be int8 any more
    made = plan(chain("AB", "A"), CALIBRATION)
    score = Agreement(made.model)
    with pytest.raises(QuantizeError) as caught:
        search(made, CALIBRATION, score, Budget("min_agreement", 97.0))
    best = max(score(model) for model in list(score.models))
    message = str(caught.value)
    assert message.startswith("--min-agreement 97 cannot be met with 10 % of MACs in int8")
    assert f"the best is agreement {best:.3f} %" in message
    assert "\n" not in message


def test_scores_that_are_not_numbers_never_meet_a_budget() -> None:
    made = plan(chain("ABC", "A"), CALIBRATION)
    with pytest.raises(QuantizeError, match=r"--max-drop 0\.5 cannot be met"):
        search(made, CALIBRATION, lambda model: np.nan, Budget("max_drop", 0.5))


def test_two_searches_find_the_same() -> None:
    made = plan(chain("ABCDE", "B"), CALIBRATION)
    first, second = _search(made, 97.0)[0], _search(made, 97.0)[0]
    assert first == second


def test_images_that_ranked_are_reported_evenly_spread() -> None:
    made = plan(chain("ABC", "A"), CALIBRATION)
    many = samples(9, seed=3)
    found = search(made, many, Agreement(made.model), Budget("min_agreement", 95.0))
    assert [image.id for image in found.images] == ["3-0", "3-2", "3-4", "3-6"]


def test_latency_is_measured_at_both_ends_and_predicted_between() -> None:
    made = plan(chain("ABCDE", "B"), CALIBRATION)

    def milliseconds(models: Sequence[ModelProto]) -> list[float]:
        """10 for each float convolution, 2 for each in int8."""
        quantized = [sum("weight_quantized" in t.name for t in m.graph.initializer) for m in models]
        return [10.0 * (6 - count) + 2.0 * count for count in quantized]

    found = search(
        made,
        CALIBRATION,
        Agreement(made.model),
        Budget("min_agreement", 97.0),
        latency=milliseconds,
    )
    # B and C are in float: 3 of 5 convolutions beside `out` are left in int8
    assert found.latency_ms == {"fp32": 60.0, "int8": 20.0, "chosen": 36.0}
    assert found.predicted_ms(found.chosen) == pytest.approx(60 - 40 * 3 / 5)
    assert found.predicted_ms(found.candidates[0]) == pytest.approx(20.0)


def test_the_manifest_gets_a_table_that_json_can_hold() -> None:
    found, _ = _search(plan(chain("ABCDE", "B"), CALIBRATION), 97.0)
    facts = json.loads(json.dumps(found.facts(), allow_nan=False))
    assert facts["verdict"] == found.verdict
    assert [row["score"] for row in facts["candidates"]] == [c.score for c in found.candidates]
    assert facts["candidates"][0] == {
        "kept_float": 0,
        "int8_macs_share": pytest.approx(80 / 92),
        "score": found.candidates[0].score,
        "accepted": False,
        "predicted_ms": None,
    }
    assert facts["ranking"][0]["unit"] == "B_relu"  # the tensor that was planted
