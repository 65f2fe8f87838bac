"""Empirical bias correction (Nagel et al. 2019, arXiv:1906.04721, section 4.2).

Rounding shifts the mean of each output channel. The shift is measured on calibration images as
the mean of what a layer gives in the quantized network minus that in the float one, and taken
off the bias. Layers are corrected in order of depth, each in a network whose earlier layers are
corrected already, as otherwise one shift would be corrected again by every layer behind it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper

from export.artifact import Sample
from export.graph import dims, initializers
from export.sessions import open_session
from quantize.biases import Shifts
from quantize.plan import Plan, build

Progress = Callable[[int, int], None]

IMAGES = 8


def correct_biases(plan: Plan, samples: Sequence[Sample], progress: Progress) -> Shifts:
    """Return what to add to the bias of every convolution in int8, by layer name."""
    graph = plan.model.graph
    layers = [n for n in graph.node if n.name in plan.layers and n.op_type == "Conv"]
    constants = initializers(graph)
    rows = {n.name: constants[n.input[1]].dims[0] for n in layers if n.input[1] in constants}
    count = min(IMAGES, len(samples))
    batch = dims(graph.input[0])[0] or 1
    images = [
        np.repeat(samples[len(samples) * i // count].image, batch, axis=0) for i in range(count)
    ]
    wanted = _Means(plan.model, rows).of(images, {})
    quantized = _Means(build(plan), rows)
    shifts: dict[str, NDArray[np.float64]] = {}
    levels = _levels(plan.model, rows)
    for done, level in enumerate(levels, start=1):
        found = quantized.of(images, shifts)
        shifts |= {name: wanted[name] - found[name] for name in level}
        progress(done, len(levels))
    return shifts


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
        outputs = []
        for node in graph.node:
            nodes.append(node)
            if node.name in rows:
                given, shift = node.output[0], f"{node.name}::shift"
                raw, mean = f"{given}::raw", f"{node.name}::mean"
                node.output[0] = raw
                nodes.append(helper.make_node("Add", [raw, shift], [given]))
                # AveragePool's relative takes no axes, so it is the same in every opset
                nodes.append(helper.make_node("GlobalAveragePool", [raw], [mean]))
                outputs.append(onnx.ValueInfoProto(name=mean))
                shape = (1, rows[node.name], 1, 1)
                graph.input.append(helper.make_tensor_value_info(shift, TensorProto.FLOAT, shape))
        ordered = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:], graph.output[:]
        graph.node.extend(ordered)
        graph.output.extend(outputs)
        self._session = open_session(probe.SerializeToString())

    def of(self, images: Sequence[NDArray[np.float32]], shifts: Shifts) -> Shifts:
        """Return the mean of each channel over images and positions, by layer name."""
        fed = {
            f"{name}::shift": np.asarray(shifts.get(name, np.zeros(rows)), np.float32).reshape(
                1, rows, 1, 1
            )
            for name, rows in self._rows.items()
        }
        names = [f"{name}::mean" for name in self._rows]
        total = [np.zeros(rows) for rows in self._rows.values()]
        for image in images:
            found = self._session.run(names, fed | {self._image: image})
            total = [
                sums + np.asarray(one).mean((0, 2, 3))
                for sums, one in zip(total, found, strict=True)
            ]
        return {
            name: sums / len(images) + shifts.get(name, np.zeros(len(sums)))
            for name, sums in zip(self._rows, total, strict=True)
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
