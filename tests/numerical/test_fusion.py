"""No statistic depends, in its last bit, on which others are collected with it."""

import numpy as np
import pytest
from onnx import ModelProto

from export.artifact.artifact import Artifact
from export.artifact.sample import Sample
from export.onnx_graph.graph import dims, float_tensors
from quantize.calibration.calibration import collect
from quantize.calibration.channel_statistics import ChannelMinMax
from quantize.calibration.measurement import Measurement
from quantize.calibration.statistics import MinMax
from tests.numerical.mixed import mixed
from tests.numerical.networks import Floats, images
from tests.numerical.sizes import cases


def _extremes(made: ModelProto, tiny: Artifact, image: Floats, others: list[str]) -> list[bytes]:
    """Each channel's extremes of the logits, with `others` measured beside them."""
    logits = ChannelMinMax()
    name = made.graph.output[0].name
    wanted = {name: [logits], **{other: [MinMax()] for other in others if other != name}}
    shape = tuple(dims(made.graph.input[0]))
    source = tiny.manifest.input.model_copy(update={"shape": shape})
    manifest = tiny.manifest.model_copy(update={"input": source, "macs_shape": shape[1:]})
    collect([Measurement(made, wanted)], manifest, [Sample("image", image, "0" * 64)])
    return [np.asarray(values).tobytes() for values in (logits.low, logits.high)]


@pytest.mark.parametrize("seed", cases(40))
def test_logits_are_the_same_bits_whatever_else_is_measured(seed: int, tiny: Artifact) -> None:
    made = mixed(seed)
    (image,) = images(made, 1, seed)
    floats = float_tensors(made)
    given = [name for node in made.graph.node for name in node.output if name in floats]
    alone = _extremes(made, tiny, image, [])
    assert _extremes(made, tiny, image, given) == alone
    some = np.random.default_rng(seed).permutation(given)[: len(given) // 2].tolist()
    assert _extremes(made, tiny, image, some) == alone
