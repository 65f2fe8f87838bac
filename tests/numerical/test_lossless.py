"""Lossless rewrites on random int8 networks: the same numbers, to the last bit.

And what the files compute against ONNX's reference implementation and plain integers.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator

from export.artifact.sample import Sample
from quantize.graph.plan import Plan, build
from quantize.lossless import padding
from quantize.lossless.lossless import LOSSLESS, rewrite_losslessly
from quantize.targets import TARGETS
from tests.export.build import computed, constant, model, value
from tests.numerical.sizes import cases
from tests.quantize.rewrites.graphs import tensors

Floats = NDArray[np.float32]
TRIED = cases(60)


@pytest.fixture(autouse=True, scope="module")
def small_layers_too() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(padding, "MACS", 0)
        yield


def int8(seed: int) -> tuple[ModelProto, list[Floats]]:
    """One to three random convolutions in int8, some with a Relu or a sum, and their images."""
    rng = np.random.default_rng(seed)
    pick = lambda *choices: int(rng.choice(choices))  # noqa: E731
    size, channels = [pick(9, 12, 17, 20), pick(9, 13, 16, 21)], pick(1, 3, 3, 4, 8, 20)
    shape = (1, channels, *size)
    nodes: list[NodeProto] = []
    constants: list[TensorProto] = []
    tensor = "input"
    for layer in range(pick(1, 2, 3)):
        kernel = [pick(1, 2, 3, 3, 5), pick(1, 3, 3, 7)]
        dilation = pick(1, 1, 3, 6)
        stride = [1, 1] if dilation > 1 else [pick(1, 2, 3), pick(1, 2, 3)]
        group = pick(1, *[g for g in (2, 4, 5, 10) if channels % g == 0])
        rows = group * pick(1, 2, 4, 9)
        half = [dilation * (k - 1) // 2 for k in kernel]
        pads = half * 2 if dilation > 1 else [pick(*range(k)) for k in [*kernel, *kernel]]
        out = [
            (size[a] + pads[a] + pads[a + 2] - dilation * (kernel[a] - 1) - 1) // stride[a] + 1
            for a in (0, 1)
        ]
        if min(out) < 1:
            continue
        spread = 10.0 ** rng.uniform(-2, 1, (rows, 1, 1, 1))
        weights = rng.normal(size=(rows, channels // group, *kernel)) * spread
        constants.append(constant(f"w{layer}", weights.astype(np.float32)))
        inputs = [tensor, f"w{layer}"]
        if pick(0, 1, 1):
            constants.append(constant(f"b{layer}", rng.normal(size=rows).astype(np.float32)))
            inputs.append(f"b{layer}")
        tensor = f"t{layer}"
        nodes.append(
            helper.make_node(
                "Conv", inputs, [tensor], name=f"conv{layer}", strides=stride, group=group,
                dilations=[dilation] * 2, pads=pads,
            )
        )  # fmt: skip
        channels, size = rows, out
        if pick(0, 0, 1):
            nodes.append(helper.make_node("Relu", [tensor], [f"r{layer}"], name=f"relu{layer}"))
            tensor = f"r{layer}"
    if not nodes:
        return int8(seed + 100_000)
    nodes[-1].output[0] = "logits"
    made = model(nodes, [value("input", shape)], [value("logits", (None,) * 4)], constants)
    made = onnx.shape_inference.infer_shapes(made, strict_mode=True)
    images = [rng.normal(size=shape).astype(np.float32) for _ in range(2)]
    images.append(rng.choice(np.float32([-1e4, 0, 1e4]), shape))  # saturates
    names = [name for node in nodes for name in node.output]
    ranges = {"input": (-2.0, 2.5)}
    for name, values in tensors(made, names, images[:2]).items():
        low, high = float(values.min()), float(values.max())
        ranges[name] = 0.8 * min(low, 0.0), 0.9 * max(high, 1e-3)
    target = TARGETS["per-tensor" if seed % 3 == 0 else "cpu"]
    layers = tuple(node.name for node in nodes)
    return build(Plan(made, target, layers, ranges, {})), images


@pytest.mark.slow
def test_no_random_network_changes_an_integer() -> None:
    rewritten: Counter[str] = Counter()
    for seed in TRIED:
        made, images = int8(seed)
        changed, facts = rewrite_losslessly(made, list(LOSSLESS), [Sample("", images[0], "")])
        assert "left_out" not in facts, f"network {seed}: {facts}"
        for image in images:
            (before,), (after,) = (computed(one, input=image) for one in (made, changed))
            np.testing.assert_array_equal(after, before, err_msg=f"network {seed}")
        rewritten.update(facts.get("lossless", {}).keys())
    assert min(rewritten[name] for name in LOSSLESS) >= len(TRIED) / 20, rewritten


def test_rewritten_networks_are_the_reference_evaluators() -> None:
    """Where onnxruntime's integers and float32 products round a tie otherwise, by one step."""
    for seed in TRIED[:5]:
        made, images = int8(seed)
        changed, _ = rewrite_losslessly(made, list(LOSSLESS), [Sample("", images[0], "")])
        constants = {t.name: onnx.numpy_helper.to_array(t) for t in changed.graph.initializer}
        last = next(n for n in changed.graph.node if n.output[0] == "logits")
        step = float(constants[last.input[1]])
        newer = ModelProto()  # the reference knows no earlier Q and DQ
        newer.CopyFrom(changed)
        newer.opset_import[0].version = 21
        for image in images:
            with np.errstate(all="ignore"):
                (expected,) = ReferenceEvaluator(newer).run(None, {"input": image})
            (found,) = computed(changed, input=image)
            differ = np.abs(found - expected) / step
            layers = sum(n.op_type == "Conv" for n in made.graph.node)
            assert (differ > 0.5).mean() <= 0.02 * layers, f"network {seed}"


def pair(scale: float, zero: int, kind: Any, size: int) -> ModelProto:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="q"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], name="dq"),
    ]
    grid = [constant("s", np.float32(scale)), constant("z", kind(zero))]
    return model(nodes, [value("x", (size,))], [value("y", (size,))], grid, opset=21)


@pytest.mark.parametrize("kind", [np.int8, np.uint8])
@pytest.mark.parametrize("seed", cases(12))
def test_quantizing_is_rounding_half_to_even_and_saturating(seed: int, kind: Any) -> None:
    """On ties, values beyond the ends, subnormals and infinity; three implementations agree."""
    rng = np.random.default_rng(seed)
    ends = np.iinfo(kind)
    scale = np.float32(2.0 ** rng.integers(-20, 10) if seed % 2 else rng.uniform(1e-4, 10))
    zero = int(rng.integers(ends.min, ends.max + 1))
    steps = rng.integers(-300, 301, 500)
    values = np.concatenate(
        [steps * scale, (steps + 0.5) * scale, rng.normal(size=500) * 60 * scale,
         [1e-45, -1e-45, 3e38, -3e38, 0.0, -0.0]]
    ).astype(np.float32)  # fmt: skip
    with np.errstate(over="ignore"):
        places = np.rint(values / scale)  # half to even, in float32 as ONNX has it
    integers = np.clip(places.astype(np.float64) + zero, ends.min, ends.max)
    expected = ((integers - zero) * np.float64(scale)).astype(np.float32)
    made = pair(float(scale), zero, kind, len(values))
    np.testing.assert_array_equal(computed(made, x=values)[0], expected)
    finite = np.abs(values) < 1e6 * scale  # the reference converts what is larger to int32
    with np.errstate(all="ignore"):
        (reference,) = ReferenceEvaluator(made).run(None, {"x": values})
    np.testing.assert_array_equal(reference[finite], expected[finite])
