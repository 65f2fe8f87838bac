"""Hand-made graphs for the rewrites, and what every tensor in them is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from export.artifact.sample import Sample
from quantize.calibration.channel_statistics import ChannelMinMax
from quantize.rewrites.change import Rewritten, Seen
from quantize.rewrites.channels import scalable_channels
from tests.export.build import computed, model, value, weight

Floats = NDArray[np.float32]
SIZE = 6


def conv(name: str, source: str, result: str = "", **attributes: Any) -> NodeProto:
    """A convolution with weight `<name>.w` and bias `<name>.b`; the result is named after it."""
    inputs = [source, f"{name}.w", f"{name}.b"]
    return helper.make_node("Conv", inputs, [result or name], name=f"conv_{name}", **attributes)


def node(operator: str, inputs: Sequence[str], result: str, **attributes: Any) -> NodeProto:
    return helper.make_node(operator, inputs, [result], name=f"node_{result}", **attributes)


def graph(
    nodes: Sequence[NodeProto],
    constants: Sequence[TensorProto],
    outputs: Sequence[str] = ("logits",),
    channels: int = 3,
) -> ModelProto:
    made = model(
        nodes,
        [value("input", (1, channels, SIZE, SIZE))],
        [value(name, (None,) * 4) for name in outputs],
        constants,
    )
    return onnx.shape_inference.infer_shapes(made, strict_mode=True)


def weights(name: str, *shape: int, seed: int = 0) -> list[TensorProto]:
    return [weight(f"{name}.w", *shape, seed=seed), weight(f"{name}.b", shape[0], seed=seed + 100)]


def images(count: int = 4, channels: int = 3, seed: int = 0) -> list[Floats]:
    rng = np.random.default_rng(seed)
    shape = (1, channels, SIZE, SIZE)
    return [rng.normal(size=shape).astype(np.float32) for _ in range(count)]


def samples(count: int = 4, channels: int = 3) -> list[Sample]:
    return [Sample(str(i), image, "") for i, image in enumerate(images(count, channels))]


def tensors(
    made: ModelProto, names: Sequence[str], pictures: Sequence[Floats]
) -> dict[str, Floats]:
    """Return the values of `names` on all images, stacked."""
    copy = ModelProto()
    copy.CopyFrom(made)
    del copy.graph.output[:]
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    runs = [dict(zip(names, computed(copy, input=one), strict=True)) for one in pictures]
    return {name: np.concatenate([run[name] for run in runs]) for name in names}


def seen(made: ModelProto, pictures: Sequence[Floats]) -> Seen:
    """The extremes of each channel of every computed tensor."""
    names = [name for n in made.graph.node for name in n.output]
    found = {}
    for name, values in tensors(made, names, pictures).items():
        if values.ndim == 4:
            found[name] = ChannelMinMax()
            found[name].low, found[name].high = values.min((0, 2, 3)), values.max((0, 2, 3))
    return found


def constants(made: ModelProto) -> dict[str, Floats]:
    return {t.name: numpy_helper.to_array(t) for t in made.graph.initializer}


def assert_follows(original: ModelProto, change: Rewritten, pictures: Sequence[Floats]) -> None:
    """Every tensor of the original is factor * rewritten + offset, those not listed are equal.

    But those in which channels are part of the batch: their factors are those of others.
    """
    batched = scalable_channels(original).batched
    names = [name for n in original.graph.node for name in n.output if name not in batched]
    before, after = (tensors(m, names, pictures) for m in (original, change.model))
    for name in names:
        found = after[name].astype(np.float64)
        if name in change.rescaled:
            factor, offset = change.rescaled[name].factor, change.rescaled[name].offset
            assert factor.shape == offset.shape == (found.shape[1],)
            assert factor.dtype == offset.dtype == np.float64
            found = factor[:, None, None] * found + offset[:, None, None]
        largest = np.abs(before[name]).max()
        np.testing.assert_allclose(found, before[name], rtol=1e-4, atol=1e-5 * largest)
