"""Rewrite: cross-layer equalization (Nagel et al. 2019, arXiv:1906.04721), ReLU6 kept.

With one scale per weight tensor, channels with small weights keep few levels. Scaling channel c
of a tensor by 1 / s_c, in the weights that make it, and by s_c in those that read it, leaves the
network's function as it is and can make the channels of all weights alike. What convolutions read
has one scale as well, so its channels count like those of the weights: weights alone would take the
levels of quiet feature maps.

A ReLU6 commutes with that only where it does not cut: clip(x, 0, 6) / s = clip(x / s, 0, 6) as
long as x <= 6 and x / s <= 6. Replacing ReLU6 by ReLU, as the paper does, costs 7 to 9 points of
mIoU on the MobileNets of `reports/`; so here channels that reach 6 are left as they are (s = 1),
and others are amplified at most until they reach it, with a margin for images not seen.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from export.onnx_graph.graph import attribute, initializers
from quantize.graph.clips import clip_bounds
from quantize.rewrites.change import MARGIN, Floats, Rescaled, Rewritten, Seen, per_weight, put
from quantize.rewrites.channels import CoupledChannels, scalable_channels

Ids = NDArray[np.int64]

_ROUNDS = 60
_REACH = np.log(1e4)
_ENOUGH = 1e-3
_DEAD = 1e-4
"""Of the widest channel. What is smaller is constant, and nothing to a tensor of 8 bits; equalized,
it would take the levels of the others."""


def equalize(model: ModelProto, seen: Seen) -> Rewritten:
    """Make the channels of weights and of what they read alike.

    `seen` must know what Clips and convolutions read.
    """
    channels = scalable_channels(model)
    layers = _layers(model, channels)
    scales = np.exp(
        _solve(channels, layers, _read(model, channels, seen), *_bounds(model, channels, seen))
    )
    copy = ModelProto()
    copy.CopyFrom(model)
    factors = {
        name: factor
        for name, ids in channels.ids.items()
        if ((factor := _of_channels(scales, ids)) != 1).any()
    }
    _apply(copy, factors)
    moved = int((np.abs(np.log(scales)) > _ENOUGH).sum())
    before, after = (_lost_bits(layers, values) for values in (np.ones_like(scales), scales))
    summary = (
        f"{moved} of {channels.count} scalable channels scaled; on average a weight's channel "
        f"lies {before:.2f} -> {after:.2f} bits below its tensor's range"
    )
    rescaled = {name: Rescaled(factor, np.zeros_like(factor)) for name, factor in factors.items()}
    return Rewritten(copy, summary, rescaled)


@dataclass(frozen=True)
class _Layer:
    """A convolution's weights as the largest |w| per (output channel, input channel of the group).

    `inputs` and `outputs` are the classes of its channels.
    """

    magnitude: Floats
    groups: int
    inputs: Ids
    outputs: Ids

    def scaled(self, scales: Floats) -> Floats:
        """Return the magnitudes under scales per class."""
        into, out = _of_channels(scales, self.inputs), _of_channels(scales, self.outputs)
        return self.magnitude * per_weight(into, self.groups, len(out)) / out[:, None]

    def columns(self, magnitude: Floats) -> Floats:
        """Return the largest magnitude per input channel."""
        grouped = magnitude.reshape(self.groups, -1, magnitude.shape[1])
        return np.asarray(grouped.max(1).reshape(-1))


def _of_channels(scales: Floats, ids: Ids) -> Floats:
    """Return the scale of each channel, 1 for the fixed ones, whose class is -1."""
    return np.append(scales, 1.0)[ids]


def _layers(model: ModelProto, channels: CoupledChannels) -> list[_Layer]:
    constants = initializers(model.graph)
    layers = []
    for node in (n for n in model.graph.node if n.op_type == "Conv"):
        around = {node.input[0], node.output[0]}
        if node.input[1] in constants and around <= channels.ids.keys():
            weight = numpy_helper.to_array(constants[node.input[1]]).astype(np.float64)
            layers.append(
                _Layer(
                    np.abs(weight).reshape(*weight.shape[:2], -1).max(2),
                    attribute(node, "group", 1),
                    channels.ids[node.input[0]],
                    channels.ids[node.output[0]],
                )
            )
    return layers


def _read(model: ModelProto, channels: CoupledChannels, seen: Seen) -> list[tuple[Ids, Floats]]:
    """Return the classes and the largest magnitudes of the channels that convolutions read."""
    read = {node.input[0] for node in model.graph.node if node.op_type == "Conv"}
    return [
        (channels.ids[name], np.maximum(np.abs(seen[name].low), np.abs(seen[name].high)))
        for name in sorted(read & channels.ids.keys() & seen.keys())
    ]


def _bounds(model: ModelProto, channels: CoupledChannels, seen: Seen) -> tuple[Floats, Floats]:
    """Return the least and the largest log scale of each class, as the Clips allow."""
    low = np.full(channels.count, -_REACH)
    high = np.full(channels.count, _REACH)
    for node in (n for n in model.graph.node if n.op_type == "Clip"):
        bounds, ids = clip_bounds(model, node), channels.ids.get(node.input[0])
        if bounds is None or ids is None or not np.isfinite(bounds[1]):
            continue
        share = np.maximum(seen[node.input[0]].high, 0) * MARGIN / bounds[1]
        with np.errstate(divide="ignore"):
            least = np.where(share >= 1, 0.0, np.maximum(np.log(share), -_REACH))
        most = np.where(share >= 1, 0.0, _REACH)
        free = ids >= 0
        np.maximum.at(low, ids[free], least[free])
        np.minimum.at(high, ids[free], most[free])
    return low, high


def _solve(
    channels: CoupledChannels,
    layers: list[_Layer],
    read: list[tuple[Ids, Floats]],
    low: Floats,
    high: Floats,
) -> Floats:
    """Iterate: each weight tensor wants a channel's range to be the mean (of logs) of its own.

    So does each tensor that a convolution reads: they are rounded to one scale, too.

    A tensor that makes the channel and one that reads it pull in opposite directions, so for
    one of each the result is the paper's s = sqrt(r_made / r_read) up to a common factor. Pulls
    relative to the widest channel (the paper has but two tensors) do not cancel out where several
    tensors meet: then all channels drift together, to the limit.
    """
    logs = np.zeros(channels.count)
    for _ in range(_ROUNDS):
        scales = np.exp(logs)
        pull, voters = np.zeros_like(logs), np.zeros_like(logs)
        for layer in layers:
            magnitude = layer.scaled(scales)
            _vote(pull, voters, layer.inputs, layer.columns(magnitude), -1.0)
            _vote(pull, voters, layer.outputs, magnitude.max(1), 1.0)
        for ids, magnitude in read:
            _vote(pull, voters, ids, magnitude / _of_channels(scales, ids), 1.0)
        moved = np.clip(logs + pull / np.maximum(voters, 1), low, high)
        settled = np.abs(moved - logs).max(initial=0) < _ENOUGH
        logs = moved
        if settled:
            break
    return logs


def _vote(pull: Floats, voters: Floats, ids: Ids, ranges: Floats, sign: float) -> None:
    alive = ranges > _DEAD * ranges.max(initial=0)
    logs = np.log(ranges, where=alive, out=np.full_like(ranges, np.nan))
    free = (ids >= 0) & alive
    if free.any():
        np.add.at(pull, ids[free], sign * (logs[free] - np.nanmean(logs)))
        np.add.at(voters, ids[free], 1)


def _lost_bits(layers: list[_Layer], scales: Floats) -> float:
    """Mean over all output channels of log2(range of the weight tensor / range of the channel)."""
    ranges = [layer.scaled(scales).max(1) for layer in layers]
    lost = [np.log2(rows.max() / rows[rows > 0]) for rows in ranges]
    every = np.concatenate([np.empty(0), *lost])
    return float(every.mean()) if every.size else 0.0


def _apply(model: ModelProto, factors: dict[str, Floats]) -> None:
    """Divide every channel by its factor, in place, through the constants around it.

    Only a Conv or BatchNormalization with constants of its own has `factors` around it.
    """
    constants = initializers(model.graph)

    def scale(name: str, factor: Floats) -> None:
        put(constants[name], numpy_helper.to_array(constants[name]) * factor)

    for node in model.graph.node:
        if node.op_type not in ("Conv", "BatchNormalization"):
            continue
        if not factors.keys() & {node.input[0], node.output[0]}:
            continue
        dims = constants[node.input[1]].dims
        groups = attribute(node, "group", 1)
        count = dims[1] * groups if node.op_type == "Conv" else dims[0]
        into = factors.get(node.input[0], np.ones(count))
        out = factors.get(node.output[0], np.ones(dims[0]))
        if node.op_type == "Conv":
            across = per_weight(into, groups, dims[0]) / out[:, None]
            scale(node.input[1], across.reshape(*dims[:2], 1, 1))
        else:
            scale(node.input[1], into / out)
            scale(node.input[3], 1 / into)
        for bias in filter(None, node.input[2:3]):
            scale(bias, 1 / out)
