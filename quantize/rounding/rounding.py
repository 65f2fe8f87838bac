"""Choose the integers of all convolution weights at once, and the biases that go with them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, numpy_helper

from export.common.progress import Progress, silent
from export.onnx_graph.graph import attribute, attributes, consumers, initializers
from quantize.graph.insertion.fixed_scales import weight_scale
from quantize.graph.rounded_weight import RoundedWeight
from quantize.rounding.gptq import gptq
from quantize.rounding.moments import InputMoments
from quantize.rounding.settling import Choose, costs, settle
from quantize.rounding.steps import best_scale
from quantize.rounding.table import ROUNDINGS
from quantize.rounding.windows import Window
from quantize.target import Target

Floats = NDArray[np.float64]

WIDEST = 128
"""Positions of a kernel. Each is a node of the network that is measured: ESPNetv2's poolings of up
to 48 x 48 pixels, layers on hardware without a float unit, were 7,000 of them, which took
onnxruntime 77 s to open; and an average's weights are all alike, so that rounding loses nothing."""


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

    Left out are layers whose weights are computed, shared with another layer, or not 2-D, those
    that leave their padding to the runtime (`auto_pad`), and those of kernels beyond WIDEST: these
    are rounded to nearest.
    """
    constants = initializers(model.graph)
    readers = consumers(model.graph)
    moments = {}
    for node in layers:
        if node.op_type != "Conv" or node.input[1] not in constants:
            continue
        shape = tuple(constants[node.input[1]].dims)
        padded = attributes(node).get("auto_pad", b"NOTSET")[:4] == b"SAME"
        wide = prod(shape[2:]) > WIDEST
        if len(shape) == 4 and len(readers[node.input[1]]) == 1 and not padded and not wide:
            moments[node.name] = InputMoments(_window(node, shape))
    return moments


def round_weights(
    model: ModelProto,
    moments: Mapping[str, InputMoments],
    target: Target,
    method: str,
    progress: Progress = silent,
) -> Rounded:
    """Round the weights of the layers in `moments` by one of ROUNDINGS.

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
        if not target.power_of_two:
            scale = best_scale(values, scale, partial(_costs, moments[node.name], target))
        choose = _chooser(values, scale, moments[node.name], target, method)
        layer = settle(values, moments[node.name], choose)
        per_row = scale.astype(np.float64).reshape(-1, *[1] * (values.ndim - 1))
        integers = np.rint(layer.values / per_row).astype(np.int8)
        weights[node.input[1]] = RoundedWeight(integers, scale)
        shifts[node.name], gains[node.name] = layer.shift, layer.gain
        progress(done, len(nodes))
    return Rounded(weights, shifts, gains)


def _costs(
    moments: InputMoments, target: Target, values: NDArray[np.float32], scale: NDArray[np.float32]
) -> Floats:
    """What each row's output loses when errors are compensated, whatever the method in the end."""
    step = _split_steps(values, scale, moments)

    def candidate(weight: Floats, covariance: Floats, part: slice) -> Floats:
        integers = gptq(weight, step[part], covariance, target.weight_max)
        return integers * step[part][:, :, None]

    return costs(values, moments, candidate)


def _chooser(
    values: NDArray[np.float32],
    scale: NDArray[np.float32],
    moments: InputMoments,
    target: Target,
    method: str,
) -> Choose:
    step, largest = _split_steps(values, scale, moments), target.weight_max

    def choose(weight: Floats, covariance: Floats, part: slice) -> tuple[Floats, Floats]:
        integers = ROUNDINGS[method].integers(weight, step[part], covariance, largest)
        nearest = np.clip(np.rint(weight / step[part][:, :, None]), -largest, largest)
        return integers * step[part][:, :, None], nearest * step[part][:, :, None]

    return choose


def _split_steps(
    values: NDArray[np.float32], scale: NDArray[np.float32], moments: InputMoments
) -> Floats:
    """Lay out the step of each row, or of all, as `InputMoments.split` lays out rows."""
    rows = np.broadcast_to(scale.astype(np.float64), len(values))
    return moments.split(rows.repeat(values[0].size).reshape(values.shape))[:, :, 0]


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
