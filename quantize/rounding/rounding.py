"""Choose the integers of all convolution weights at once, and the biases that go with them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, numpy_helper

from export.graph import attribute, attributes, consumers, initializers
from quantize.plan import RoundedWeight
from quantize.qdq import weight_scale
from quantize.rounding.adaround import adaround
from quantize.rounding.gptq import gptq
from quantize.rounding.moments import InputMoments
from quantize.rounding.windows import Window
from quantize.targets import Target

Floats = NDArray[np.float64]
Method = Callable[[Floats, Floats, Floats, int], Floats]

METHODS: dict[str, Method] = {"gptq": gptq, "adaround": adaround}
"""(weight, scale, covariance of its inputs, largest integer) to integers; see `gptq`."""

_TOGETHER = 1 << 22
"""Covariance entries handed to a method at once."""


@dataclass(frozen=True)
class Rounded:
    """`weights` by initializer name; `shifts` by layer: what to add to each bias, float64 (rows,).

    `gains` by layer: dB by which the error of the output's deviations is below that of
    rounding to nearest.
    """

    weights: dict[str, RoundedWeight]
    shifts: dict[str, Floats]
    gains: dict[str, float]


def input_moments(model: ModelProto, layers: Iterable[NodeProto]) -> dict[str, InputMoments]:
    """Declare what rounding needs to know of the inputs of each convolution, by layer name.

    Left out are layers whose weights are computed, shared with another layer, or not 2-D, and
    those that leave their padding to the runtime (`auto_pad`): these are rounded to nearest.
    """
    constants = initializers(model.graph)
    readers = consumers(model.graph)
    found = {}
    for node in layers:
        if node.op_type != "Conv" or node.input[1] not in constants:
            continue
        shape = tuple(constants[node.input[1]].dims)
        padded = attributes(node).get("auto_pad", b"NOTSET")[:4] == b"SAME"
        if len(shape) == 4 and len(readers[node.input[1]]) == 1 and not padded:
            found[node.name] = InputMoments(_window(node, shape))
    return found


def round_weights(
    model: ModelProto,
    moments: Mapping[str, InputMoments],
    target: Target,
    method: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Rounded:
    """Round the weights of the layers in `moments` by one of METHODS.

    The mean error that is left in a layer's output goes into its bias.
    """
    constants = initializers(model.graph)
    weights: dict[str, RoundedWeight] = {}
    shifts: dict[str, Floats] = {}
    gains: dict[str, float] = {}
    nodes = [node for node in model.graph.node if node.name in moments]
    for done, node in enumerate(nodes, start=1):
        values = numpy_helper.to_array(constants[node.input[1]])
        scale = weight_scale(values, target)
        layer = _round_layer(values, scale, moments[node.name], target.weight_max, method)
        weights[node.input[1]] = RoundedWeight(layer.integers, scale)
        shifts[node.name], gains[node.name] = layer.shift, layer.gain
        progress(done, len(nodes))
    return Rounded(weights, shifts, gains)


@dataclass(frozen=True)
class _Layer:
    integers: NDArray[np.int8]
    shift: Floats
    gain: float


def _round_layer(
    values: NDArray[np.float32],
    scale: NDArray[np.float32],
    moments: InputMoments,
    largest: int,
    method: str,
) -> _Layer:
    groups, blocks = moments.window.groups, moments.blocks
    rows = len(values) // groups
    # (groups, rows, inputs) to (groups * blocks, rows, inputs per block), as moments have it
    split = values.astype(np.float64).reshape(groups, rows, blocks, -1).transpose(0, 2, 1, 3)
    weight = split.reshape(groups * blocks, rows, -1)
    per_row = np.broadcast_to(scale.astype(np.float64), len(values)).reshape(groups, 1, rows)
    step = np.broadcast_to(per_row, (groups, blocks, rows)).reshape(groups * blocks, rows)
    integers = np.empty_like(weight)
    left = nearest = 0.0
    chunk = max(1, _TOGETHER // weight.shape[2] ** 2)
    for start in range(0, len(weight), chunk):
        part = slice(start, min(start + chunk, len(weight)))
        covariance = np.stack([moments.covariance(i) for i in range(part.start, part.stop)])
        integers[part], after, before = _best(weight[part], step[part], covariance, largest, method)
        left, nearest = left + after, nearest + before
    errors = weight - integers * step[:, :, None]
    shift = (errors @ moments.mean[:, :, None]).reshape(groups, blocks, rows).sum(1).reshape(-1)
    joined = integers.reshape(groups, blocks, rows, -1).transpose(0, 2, 1, 3)
    gain = 10 * np.log10(nearest / left) if left > 0 < nearest else 0.0
    return _Layer(joined.reshape(values.shape).astype(np.int8), shift, float(gain))


def _best(
    weight: Floats, step: Floats, covariance: Floats, largest: int, method: str
) -> tuple[Floats, float, float]:
    """Return integers, and the variance of the output's error with them and with the nearest.

    Neither method is sure to beat rounding to nearest in every row: where it does not (up to a
    tenth of depthwise channels), the nearest integers are taken.
    """
    found = METHODS[method](weight, step, covariance, largest)
    plain = np.clip(np.rint(weight / step[:, :, None]), -largest, largest)
    after, before = (
        _variance(weight - integers * step[:, :, None], covariance) for integers in (found, plain)
    )
    chosen = np.where((after < before)[:, :, None], found, plain)
    return chosen, float(np.minimum(after, before).sum()), float(before.sum())


def _variance(errors: Floats, covariance: Floats) -> Floats:
    """Variance of each row's output, for errors (groups, rows, inputs) of its weights."""
    return np.asarray(((errors @ covariance) * errors).sum(2))


def _window(node: NodeProto, weight: tuple[int, ...]) -> Window:
    given = attributes(node)
    groups = attribute(node, "group", 1)
    top, left, bottom, right = given.get("pads", (0, 0, 0, 0))
    rows, columns = given.get("strides", (1, 1))
    down, across = given.get("dilations", (1, 1))
    return Window(
        channels=weight[1] * groups,
        groups=groups,
        kernel=(weight[2], weight[3]),
        strides=(rows, columns),
        dilations=(down, across),
        pads=(top, left, bottom, right),
    )
