"""Every float rewrite on random networks: no logit moves farther than float32 explains."""

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper

from export.artifact.manifest import InputSpec
from export.onnx_graph.graph import dims
from quantize.rewrites.table import REWRITES, Rewrite
from tests.export.build import constant
from tests.numerical.networks import allowed, exactly, images, network
from tests.numerical.sizes import cases
from tests.quantize.rewrites.graphs import seen

HAS = {
    "sub-pixel-conv": ["transposed", "relu"],
    "gelu": ["gelu", "conv"],
    "repair-dead-channels": ["dead", "relu"],
    "convolve-batch-norm": ["norm", "relu"],
    "equalize": ["relu6", "residual", "batched"],
    "absorb-bias": ["always on", "conv"],
    "convolve-before-resize": ["relu", "enlarged"],
    "hard-sigmoid": ["hard", "conv"],
    "write-out-prelu": ["prelu", "conv"],
    "read-pixels": ["conv", "relu"],
}
"""Parts in which each rewrite finds something to do. A pooling is written out by the exporter
alone (tests/quantize/rewrites/operators/test_pooling.py)."""


def test_no_rewrite_is_forgotten() -> None:
    assert set(HAS) == set(REWRITES) - {"simplify-pooling"}


def known(rewrite: Rewrite, made: ModelProto) -> Any:
    """What a rewrite is told: how pixels are normalized, or what was seen of channels."""
    if not rewrite.of_input:
        return seen(made, images(made, 3))
    channels = dims(made.graph.input[0])[1]
    mean, std = ([0.485, 0.456, 0.406, 0.5][:channels], [0.229, 0.224, 0.225, 1.0][:channels])
    order = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    return InputSpec(shape=dims(made.graph.input[0]), mean=mean, std=std, colour_order=order)


def distance(made: ModelProto, changed: ModelProto) -> float:
    """Largest difference of a logit in parts of what rounding explains, on seen images."""
    worst = 0.0
    for image in images(made, 2):
        before, after = (exactly(one, image) for one in (made, changed))
        bound = allowed(made, image) + allowed(changed, image)
        worst = max(worst, float((np.abs(after - before) / bound).max()))
    return worst


@pytest.mark.parametrize("rewrite", HAS)
def test_a_rewrite_moves_no_logit_beyond_rounding(rewrite: str) -> None:
    done = 0
    for seed in cases(6):
        made = network(seed, HAS[rewrite])
        change = REWRITES[rewrite].apply(made, known(REWRITES[rewrite], made))
        if change.model.graph != made.graph:
            assert distance(made, change.model) <= 1, f"network {seed}"
            done += 1
    assert done >= len(cases(6)) / 3


@pytest.mark.parametrize("seed", cases(20))
def test_all_rewrites_together_move_no_logit_beyond_rounding(seed: int) -> None:
    made = changed = network(seed)
    for rewrite in REWRITES.values():
        changed = rewrite.apply(changed, known(rewrite, changed)).model
    assert distance(made, changed) <= 1


@pytest.mark.parametrize("rewrite", HAS)
def test_a_weight_that_is_a_hundredth_off_lies_beyond_rounding(rewrite: str) -> None:
    """What is allowed is little: damage the last layer's largest weight by 1 %."""
    made = network(0, HAS[rewrite])
    damaged = ModelProto()
    damaged.CopyFrom(made)
    name = damaged.graph.node[-1].input[1]
    tensor = next(t for t in damaged.graph.initializer if t.name == name)
    values = numpy_helper.to_array(tensor).copy()
    values.flat[np.abs(values).argmax()] *= np.float32(1.01)
    tensor.CopyFrom(constant(name, values))
    assert distance(made, damaged) > 1


def test_every_part_gives_finite_logits() -> None:
    for seed in cases(20):
        made = network(seed)
        assert np.isfinite(exactly(made, images(made, 1)[0])).all()
