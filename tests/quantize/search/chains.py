"""Chains of 1x1 convolutions with ReLUs between, whose trouble is planted by hand."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from export.artifact.sample import Sample
from export.onnx_graph.graph import float_tensors, normalise
from export.ort.sessions import open_session, run
from quantize.graph.plan import Plan
from quantize.graph.selection import range_sources
from quantize.ranges.ranges import Range
from quantize.targets import get_target

CHANNELS, CLASSES, SIZE = 4, 3, 24
SPREAD = 1e4


def chain(names: str, spread: str = "") -> ModelProto:
    """Convolutions named by the letters of `names`, then `out`, which gives the logits.

    After a letter in `spread`, channel 0 is 1e4 times as large as the others, and the next
    convolution makes up for it. No convolution there mixes channel 0 with others, so that
    weights (with one scale per output channel) and all other tensors are easy to quantize.
    """
    rng = np.random.default_rng(0)
    nodes, constants, value = [], [], "input"
    grown = False
    for name in [*names, "out"]:
        weight = np.eye(CHANNELS) + rng.uniform(0, 0.2, (CHANNELS, CHANNELS))
        if name == "out":
            weight = np.eye(CHANNELS)[1:]  # the class is the largest of channels 1 to 3
        shrinks, grown = grown, name in spread
        if (shrinks or grown) and name != "out":
            weight[0, 1:] = weight[1:, 0] = 0
            weight[0, 0] = (SPREAD if grown else 1) / (SPREAD if shrinks else 1)
        kernel = weight.astype(np.float32)[:, :, None, None]
        constants.append(numpy_helper.from_array(kernel, f"{name}.weight"))
        result = "logits" if name == "out" else f"{name}_sum"
        nodes.append(helper.make_node("Conv", [value, f"{name}.weight"], [result], name=name))
        value = f"{name}_relu"
        if name != "out":
            nodes.append(helper.make_node("Relu", [result], [value], name=f"relu_{name}"))
    shape = (1, CHANNELS, SIZE, SIZE)
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, (1, CLASSES, SIZE, SIZE))],
        constants,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    return onnx.shape_inference.infer_shapes(normalise(made))


def samples(count: int, seed: int = 0) -> list[Sample]:
    """Return images of uniform noise in [0, 1]."""
    rng = np.random.default_rng(seed)
    shape = (1, CHANNELS, SIZE, SIZE)
    return [
        Sample(f"{seed}-{index}", rng.uniform(0, 1, shape).astype(np.float32), "")
        for index in range(count)
    ]


def plan(model: ModelProto, images: Sequence[Sample], target: str = "cpu") -> Plan:
    """Quantize every layer but `out`, over the range of `images`."""
    nodes = [n for n in model.graph.node if n.name != "out"]
    sources = range_sources(model, nodes)
    probe = ModelProto()
    probe.CopyFrom(model)
    names = sorted(set(sources.values()) & float_tensors(model).keys() - {"input"})
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = open_session(probe.SerializeToString())
    values = [dict(zip(names, run(session, s.image), strict=True), input=s.image) for s in images]
    ranges: dict[str, Range] = {
        tensor: (
            min(float(seen[source].min()) for seen in values),
            max(float(seen[source].max()) for seen in values),
        )
        for tensor, source in sources.items()
    }
    return Plan(model, get_target(target), tuple(n.name for n in nodes), ranges, {})


def logits(model: ModelProto, images: Sequence[Sample]) -> np.ndarray:
    """Return the logits of all images."""
    session = open_session(model.SerializeToString())
    return np.concatenate([run(session, sample.image)[0] for sample in images])
