from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from export.artifact.artifact import Artifact
from export.artifact.sample import Sample
from export.onnx_graph.graph import infer_shapes
from quantize.calibration.calibration import collect
from quantize.calibration.coverage import Coverage, facts
from quantize.calibration.measurement import Measurement
from validate.data.datasets import open_dataset
from validate.samples.samples import Preparation, Samples


def _seen(*images: tuple[list[float], list[float]]) -> Coverage:
    """Lows and highs of the channels, an image each."""
    seen = Coverage()
    for low, high in images:
        seen.update(np.array([low], np.float32), np.array([high], np.float32))
    return seen


def _by_hand(lows: list[float], highs: list[float]) -> float:
    """Width of all / mean width over every half of the images - 1."""
    halves = list(combinations(range(len(highs)), (len(highs) + 1) // 2))
    narrow = np.mean(
        [max(0, *(highs[i] for i in h)) - min(0, *(lows[i] for i in h)) for h in halves]
    )
    return float((max(0, *highs) - min(0, *lows)) / narrow - 1)


def test_growth_of_two_images() -> None:
    # one of the two is drawn: a range of 4 or of 2, 3 on average
    assert _seen(([0], [4]), ([0], [2])).growth == pytest.approx(4 / 3 - 1)


@pytest.mark.parametrize("images", [1, 3, 6, 9])
def test_growth_is_the_mean_over_every_half(images: int) -> None:
    rng = np.random.default_rng(images)
    lows, highs = rng.normal(-1, 2, images).tolist(), rng.normal(2, 3, images).tolist()
    seen = _seen(*(([low], [high]) for low, high in zip(lows, highs, strict=True)))
    assert seen.growth == pytest.approx(_by_hand(lows, highs), rel=1e-5, abs=1e-9)


def test_growth_of_many_images_needs_few_extremes() -> None:
    rng = np.random.default_rng(0)
    highs = np.sort(rng.exponential(1, 200).astype(np.float32))
    seen = _seen(*(([0.0], [float(high)]) for high in rng.permutation(highs)))
    draws = [highs[rng.permutation(200)[:100]].max() for _ in range(20_000)]
    assert seen.growth == pytest.approx(highs.max() / np.mean(draws) - 1, abs=0.01)
    assert sum(array.size for array in seen.state().values()) < 60


@pytest.mark.parametrize("images", [1500, 20_000])
def test_growth_of_more_images_than_floats_can_count_the_halves_of(images: int) -> None:
    seen = _seen(([0.0], [2.0]), *[([0.0], [1.0])] * (images - 1))
    # the one image that is wider is in every second half: 2 against 1.5 on average
    assert seen.growth == pytest.approx(1 / 3)


def test_the_order_of_the_images_does_not_matter() -> None:
    images = [([-float(i)], [float(i * i % 7)]) for i in range(9)]
    one, other = _seen(*images), _seen(*reversed(images))
    assert one.growth == other.growth
    for name, array in one.state().items():
        np.testing.assert_array_equal(array, other.state()[name])


def test_a_channel_that_varies_in_one_image_is_not_silent() -> None:
    seen = _seen(([0, 0, 5], [0, 0, 5]), ([0, 0, 5], [0, 1, 5]))
    assert seen.silent.tolist() == [True, False, True]


def test_two_images_of_growing_ranges_are_said() -> None:
    found = facts({"x": _seen(([0], [4]), ([0], [2])), "pinned": _seen(([0], [6]), ([0], [6]))})
    assert found["growth"] == pytest.approx(1 / 3)
    (text,) = found["warnings"]
    assert "33 % wider" in text and "--samples" in text


def test_silent_maps_are_said() -> None:
    (text,) = facts({"x": _seen(([0, 0], [0, 1]))})["warnings"]
    assert text.startswith("50 % of feature maps stay silent")


def test_enough_images_are_not_warned_of() -> None:
    found = facts({"x": _seen(*(([0, -1], [3, 1]) for _ in range(4)))})
    assert found == {"growth": 0.0, "silent_maps": 0.0, "warnings": []}


def test_state_survives_the_cache() -> None:
    seen, back = _seen(([-1, 0], [2, 3]), ([-2, 0], [1, 5])), Coverage()
    back.restore(seen.state())
    assert back.growth == seen.growth and back.images == 2
    back.update(np.array([[0, 0]], np.float32), np.array([[9, 9]], np.float32))
    assert back.growth != seen.growth


def _measured(artifact: Artifact, samples: Sequence[Sample]) -> dict[str, Any]:
    model = infer_shapes(onnx.load(artifact.path))
    seen = {
        n.output[0]: Coverage() for n in model.graph.node if n.op_type in ("Clip", "Relu", "Add")
    }
    wanted = Measurement(model, {name: [one] for name, one in seen.items()})
    collect([wanted], artifact.manifest, samples, lambda done, total: None)
    return facts(seen)


@pytest.mark.slow
@pytest.mark.shared
def test_photos_of_a_real_network_are_told_from_black_images(
    trained: Artifact, shared: Path
) -> None:
    preparation = Preparation.for_artifact(trained.manifest, "squash")
    voc = open_dataset(f"{shared}/voc/VOCdevkit", "train", masks=False)
    enough = _measured(trained, Samples(voc.sample(16, 0), preparation))
    assert enough["warnings"] == [] and enough["growth"] > 0
    few = _measured(trained, Samples(voc.sample(2, 0), preparation))
    assert few["growth"] > enough["growth"]
    black = [Sample(f"b{i}", np.full((1, 3, 257, 257), -2, np.float32), "") for i in range(2)]
    (text,) = _measured(trained, black)["warnings"]
    assert "stay silent" in text
