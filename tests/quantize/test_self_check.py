import json
import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export.artifact.artifact import Artifact, write_artifact
from export.artifact.sample import Sample
from export.common.errors import QuantizeError
from quantize.self_check import SelfCheck, surely, warnings


def _photos(count: int, size: int = 65) -> list[Sample]:
    rng = np.random.default_rng(0)
    return [
        Sample(f"p{i}", rng.normal(0, 1, (1, 3, size, size)).astype(np.float32), f"sha{i}")
        for i in range(count)
    ]


def _black(name: str, size: int = 65) -> Sample:
    return Sample(name, np.full((1, 3, size, size), -2.0, np.float32), "")


def test_good_calibration_images_are_not_warned_of() -> None:
    assert warnings(_photos(4), 64) == []


def test_images_of_one_colour_are_said() -> None:
    (text,) = warnings([*_photos(2), _black("night")], 64)
    assert "1 of 3" in text and "night" in text and "one colour" in text


def test_one_image_is_said() -> None:
    (text,) = warnings(_photos(1), 1)
    assert text.startswith("one calibration image")


def test_images_that_are_nearly_the_same_are_said() -> None:
    (photo,) = _photos(1)
    noisy = [Sample(f"n{i}", photo.image + np.float32(0.001 * i), "") for i in range(3)]
    (text,) = warnings(noisy, 3)
    assert "nearly the same" in text


@pytest.fixture
def broken(tiny: Artifact, tmp_path: Path) -> Artifact:
    """The same network with its last weights negated: another class nearly everywhere."""
    model = onnx.load(tiny.path)
    weights = [t for t in model.graph.initializer if len(t.dims) == 4]
    values = -numpy_helper.to_array(weights[-1])
    weights[-1].CopyFrom(numpy_helper.from_array(values, weights[-1].name))
    (tmp_path / "broken").mkdir()
    return write_artifact(model.SerializeToString(), tiny.manifest, tmp_path / "broken")


def test_the_same_network_agrees_entirely_on_images_held_back(tiny: Artifact) -> None:
    facts = SelfCheck(_photos(2)).facts(tiny, tiny, _photos(4)[2:])
    assert facts["agreement"] == 100.0 and facts["held_back"]
    assert [image["id"] for image in facts["images"]] == ["p0", "p1"]
    json.dumps(facts)


def test_two_images_judge_what_is_clear_and_all_what_is_not(
    tiny: Artifact, broken: Artifact
) -> None:
    clear = SelfCheck(_photos(6)).facts(tiny, tiny, _photos(4))
    assert [image["id"] for image in clear["images"]] == ["p0", "p1"]
    agreement = SelfCheck(_photos(6), force=True).facts(tiny, broken, ())["agreement"]
    # just below what it reaches: kept, but by all of them
    doubtful = SelfCheck(_photos(6), least=agreement - 1).facts(tiny, broken, _photos(4))
    assert [image["id"] for image in doubtful["images"]] == [f"p{i}" for i in range(6)]


def test_few_images_show_less_than_their_mean() -> None:
    """By hand: the deviation, at least what is lost on average, times Student's t."""
    assert surely([99.5, 99.5]) == pytest.approx(99.5 - 6.31 * 0.5 / math.sqrt(2))
    assert surely([99.0, 99.0, 99.0, 95.0]) == pytest.approx(98 - 2.35 * 2 / 2)
    # two of 98.2 % do not show 95: what ESPNetv2 for npu gives, whose 200 agree on 94.1
    assert surely([98.3, 98.1]) < 95 < surely([98.3, 98.1] * 4)


def test_without_others_calibration_images_judge_and_that_is_said(tiny: Artifact) -> None:
    facts = SelfCheck().facts(tiny, tiny, _photos(1))
    assert not facts["held_back"] and len(facts["images"]) == 1


def test_without_images_nothing_is_said(tiny: Artifact) -> None:
    assert SelfCheck().facts(tiny, tiny, ()) == {}


def test_a_collapsed_file_is_refused_with_layers_unless_forced(
    tiny: Artifact, broken: Artifact
) -> None:
    with pytest.raises(QuantizeError) as caught:
        SelfCheck(_photos(2)).facts(tiny, broken, ())
    message = str(caught.value)
    assert "nothing was written" in message and "--force" in message and "\n" not in message
    assert "Layers to blame first: " in message
    assert SelfCheck(_photos(2), force=True).facts(tiny, broken, ())["agreement"] < 95
