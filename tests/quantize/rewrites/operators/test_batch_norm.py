"""Batch normalization as a convolution."""

import numpy as np
import pytest
import torch
from onnx import NodeProto, helper, numpy_helper

from export.onnx_graph.graph import infer_shapes
from quantize.rewrites.operators.batch_norm import convolve_batch_norm
from tests.export.build import computed, model, value

CHANNELS = 5


def _norm(*inputs: str, **attributes: float) -> NodeProto:
    return helper.make_node(
        "BatchNormalization", ["input", *inputs], ["logits"], name="norm", **attributes
    )


@pytest.mark.parametrize("given", [{}, {"epsilon": 0.5}])
def test_it_gives_what_torch_gives(given: dict[str, float]) -> None:
    rng = np.random.default_rng(0)
    values = {
        "scale": rng.normal(size=CHANNELS),
        "bias": rng.normal(size=CHANNELS),
        "mean": rng.normal(size=CHANNELS),
        "variance": rng.uniform(1e-4, 4, CHANNELS),
    }
    constants = {name: one.astype(np.float32) for name, one in values.items()}
    shape = (1, CHANNELS, 4, 6)
    made = infer_shapes(
        model(
            [_norm(*constants, **given)],
            [value("input", shape)],
            [value("logits", shape)],
            [numpy_helper.from_array(one, name) for name, one in constants.items()],
        )
    )
    changed = convolve_batch_norm(made, {}).model
    assert [node.op_type for node in changed.graph.node] == ["Conv"]
    image = rng.normal(size=shape).astype(np.float32)
    scale, bias, mean, variance = map(torch.from_numpy, constants.values())
    wanted = torch.nn.functional.batch_norm(
        torch.from_numpy(image), mean, variance, scale, bias, eps=given.get("epsilon", 1e-5)
    )
    (found,) = computed(changed, input=image)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-5)


def test_what_is_computed_or_no_image_stays() -> None:
    names = ("scale", "bias", "mean", "variance")
    inputs = [value(name, (CHANNELS,)) for name in names]
    shape = (1, CHANNELS, 4, 6)
    computed_scale = model(
        [_norm(*names)], [value("input", shape), *inputs], [value("logits", shape)], []
    )
    flat = model(
        [_norm(*names)],
        [value("input", (3, CHANNELS))],
        [value("logits", (3, CHANNELS))],
        [numpy_helper.from_array(np.ones(CHANNELS, np.float32), name) for name in names],
    )
    for made in map(infer_shapes, (computed_scale, flat)):
        assert convolve_batch_norm(made, {}).model == made
