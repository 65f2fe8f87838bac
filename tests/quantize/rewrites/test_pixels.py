"""The first convolution reads pixels: the same function, and pictures that need no rounding."""

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from export.artifact.manifest import InputSpec
from export.onnx_graph.graph import infer_shapes
from export.ort.sessions import open_session
from quantize.graph.plan import Plan, build
from quantize.ranges.ranges import Range
from quantize.rewrites.pixels import read_pixels
from quantize.targets import get_target

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SPEC = InputSpec(shape=(1, 3, 13, 17), mean=MEAN, std=STD)


def _network(*, pads: tuple[int, ...] = (1, 1, 1, 1), bias: bool = True, group: int = 1,
             readers: int = 1) -> ModelProto:  # fmt: skip
    rng = np.random.default_rng(5)
    nodes, constants = [], []
    for index in range(readers):
        names = [f"w{index}", f"b{index}"][: 1 + bias]
        shapes = [(6, 3 // group, 3, 3), (6,)]
        constants += [
            numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)
            for name, shape in zip(names, shapes, strict=False)
        ]
        nodes.append(
            helper.make_node(
                "Conv",
                ["input", *names],
                [f"c{index}"],
                name=f"conv{index}",
                pads=pads,
                strides=[2, 2],
                group=group,
            )
        )
        nodes.append(helper.make_node("Relu", [f"c{index}"], [f"r{index}"], name=f"relu{index}"))
    nodes.append(helper.make_node("Sum", [f"r{i}" for i in range(readers)], ["out"], name="sum"))
    graph = helper.make_graph(
        nodes,
        "first",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, SPEC.shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        constants,
    )
    opset = [helper.make_opsetid("", 17)]
    return infer_shapes(helper.make_model(graph, opset_imports=opset, ir_version=9))


def _picture(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Pixels (1, 3, 13, 17), and what torchvision's ToTensor and Normalize make of them."""
    pixels = np.random.default_rng(seed).integers(0, 256, SPEC.shape, np.uint8)
    by_channel = (np.reshape(v, (1, 3, 1, 1)).astype(np.float32) for v in (MEAN, STD))
    mean, std = by_channel
    return pixels, (pixels.astype(np.float32) / 255 - mean) / std


def _run(model: ModelProto, image: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = open_session(model.SerializeToString()).run(
        None, {"input": image}
    )[0]
    return found


@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 2, 0)])
@pytest.mark.parametrize("bias", [True, False])
def test_the_function_stays(pads: tuple[int, ...], bias: bool) -> None:
    model = _network(pads=pads, bias=bias)
    change = read_pixels(model, SPEC)
    onnx.checker.check_model(change.model)
    image = np.random.default_rng(0).normal(size=SPEC.shape).astype(np.float32)
    np.testing.assert_allclose(_run(change.model, image), _run(model, image), atol=2e-4)
    assert change.reweighted == {"conv0"}
    assert [n.name for n in change.model.graph.node if n.op_type == "Conv"] == ["conv0"]


def test_several_readers_are_rewritten_each() -> None:
    model = _network(readers=3)
    change = read_pixels(model, SPEC)
    _, image = _picture(1)
    np.testing.assert_allclose(_run(change.model, image), _run(model, image), atol=2e-4)
    assert change.reweighted == {"conv0", "conv1", "conv2"} and len(change.ranges) == 3


def test_what_int8_reads_are_the_pixels_themselves() -> None:
    model = read_pixels(_network(pads=(0, 0, 0, 0)), SPEC).model
    (tensor, bounds), *_ = read_pixels(_network(pads=(0, 0, 0, 0)), SPEC).ranges.items()
    ranges: dict[str, Range] = {tensor: bounds, "c0": (0.0, 30.0), "r0": (0.0, 30.0)}
    quantized = build(Plan(model, get_target("cpu"), ("conv0", "relu0"), ranges, {}))
    quantizer = next(n for n in quantized.graph.node if tensor in n.input)
    assert quantizer.op_type == "QuantizeLinear"
    integers = quantizer.output[0]
    quantized.graph.output.append(helper.make_tensor_value_info(integers, TensorProto.UINT8, None))
    for seed in range(3):
        pixels, image = _picture(seed)
        session = open_session(quantized.SerializeToString())
        np.testing.assert_array_equal(session.run([integers], {"input": image})[0], pixels)


@pytest.mark.parametrize("change", ["group", "other channels", "shared weights", "auto_pad"])
def test_what_does_not_suit_is_left(change: str) -> None:
    model = _network(group=3 if change == "group" else 1, readers=2)
    spec = SPEC
    if change == "other channels":
        spec = InputSpec(shape=(1, 1, 13, 17), mean=(0.5,), std=(0.5,), colour_order="L")
    for node in model.graph.node:
        if node.op_type == "Conv" and change == "shared weights":
            node.input[1] = "w0"
        if node.op_type == "Conv" and change == "auto_pad":
            kept = [a for a in node.attribute if a.name != "pads"]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute("auto_pad", "SAME_UPPER")])
    found = read_pixels(model, spec)
    assert found.model == model and not found.reweighted and not found.ranges
