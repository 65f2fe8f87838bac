"""Empirical bias correction (Nagel et al. 2019, arXiv:1906.04721, section 4.2).

Rounding shifts the mean of each output channel. The shift is measured on calibration images as
the mean of what a layer gives in the quantized network minus that in the float one, and taken
off the bias. Layers are corrected in order of depth, each in a network whose earlier layers are
corrected already, as otherwise one shift would be corrected again by every layer behind it.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper

from export.artifact.sample import Sample
from export.common.progress import Progress
from export.onnx_graph.graph import dims, initializers
from export.ort.sessions import open_session
from quantize.graph.biases import Shifts
from quantize.graph.plan import Plan, build

IMAGES = 8


def correct_biases(plan: Plan, samples: Sequence[Sample], progress: Progress) -> Shifts:
    """Return what to add to the bias of every convolution in int8, by layer name."""
    rows = _rows(plan)
    count = min(IMAGES, len(samples))
    batch = dims(plan.model.graph.input[0])[0] or 1
    chosen = [samples[len(samples) * i // count] for i in range(count)]
    images = [np.repeat(sample.image, batch, axis=0) for sample in chosen]
    wanted = _Means(plan.model, rows).of(images, {})
    quantized = _Means(build(plan), rows)
    shifts: dict[str, NDArray[np.float64]] = {}
    levels = _levels(plan.model, rows)
    for done, level in enumerate(levels, start=1):
        means = quantized.of(images, shifts)
        shifts |= {name: wanted[name] - means[name] for name in level}
        progress(done, len(levels))
    return shifts


def _rows(plan: Plan) -> dict[str, int]:
    """Return the number of output channels of each 2-D convolution in int8, by layer name."""
    constants = initializers(plan.model.graph)
    shapes = {
        node.name: constants[node.input[1]].dims
        for node in plan.model.graph.node
        if node.name in plan.layers and node.op_type == "Conv" and node.input[1] in constants
    }
    return {name: shape[0] for name, shape in shapes.items() if len(shape) == 4}


class _Means:
    """Runs a network for the channel means of some convolutions' outputs.

    What is added to these outputs is given at each run.
    """

    def __init__(self, model: ModelProto, rows: Mapping[str, int]) -> None:
        probe = ModelProto()
        probe.CopyFrom(model)
        graph = probe.graph
        self._rows = rows
        self._image = graph.input[0].name
        nodes: list[NodeProto] = []
        for node in graph.node:
            nodes.append(node)
            if node.name in rows:
                given, shift = node.output[0], f"{node.name}::shift"
                raw, mean = f"{given}::raw", f"{node.name}::mean"
                node.output[0] = raw
                nodes.append(helper.make_node("Add", [raw, shift], [given]))
                # takes no axes, which ReduceMean is given in another way from opset 18 on
                nodes.append(helper.make_node("GlobalAveragePool", [raw], [mean]))
                shape = (1, rows[node.name], 1, 1)
                graph.input.append(helper.make_tensor_value_info(shift, TensorProto.FLOAT, shape))
        ordered = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:], graph.output[:]
        graph.node.extend(ordered)
        self._means = [f"{name}::mean" for name in rows]
        graph.output.extend(onnx.ValueInfoProto(name=name) for name in self._means)
        self._session = open_session(probe.SerializeToString())

    def of(self, images: Sequence[NDArray[np.float32]], shifts: Shifts) -> Shifts:
        """Return the mean of each channel, before `shifts` are added, by layer name."""
        fed = {
            f"{name}::shift": np.asarray(shifts.get(name, np.zeros(rows)), np.float32).reshape(
                1, rows, 1, 1
            )
            for name, rows in self._rows.items()
        }
        means = [self._session.run(self._means, fed | {self._image: image}) for image in images]
        return {
            name: np.mean(raw, axis=(0, 1, 3, 4), dtype=np.float64)
            for name, *raw in zip(self._rows, *means, strict=True)
        }


def _levels(model: ModelProto, names: Collection[str]) -> list[list[str]]:
    """Group layers so that none of a group reads, even indirectly, from another of it."""
    depth: dict[str, int] = {}
    levels: dict[int, list[str]] = {}
    for node in model.graph.node:
        level = max((depth.get(name, 0) for name in node.input), default=0)
        if node.name in names:
            levels.setdefault(level, []).append(node.name)
            level += 1
        for name in node.output:
            depth[name] = level
    return [levels[level] for level in sorted(levels)]
