"""A layer that stays in float between int8 ones computes what is written, in onnxruntime."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from export.artifact.artifact import Artifact
from export.ort.sessions import open_session
from quantize.agreement import agreements
from quantize.graph.kept_float import keep_weights_float
from quantize.quantization import quantize
from quantize.settings import Settings
from validate.data.datasets import open_dataset
from validate.samples.samples import Preparation, Samples

# weights of which a few dwarf the others, as in depthwise convolutions after BatchNorm was folded
SPREAD = np.array([100.0, 1.0, 0.01, 1.0])


def between(operator: str, shape: tuple[int, ...], *, clip: bool, **given: int) -> ModelProto:
    """A float layer of 4 inputs and 4 outputs between a DQ and a Q, a Clip before the Q or not."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=shape) * SPREAD.reshape(-1, *[1] * (len(shape) - 1))
    image = (64, 4) if operator == "Gemm" else (1, 4, 6, 6)
    values = {
        "weight": weight.astype(np.float32),
        "scale": np.float32(0.05),
        "zero": np.uint8(9),
        "low": np.float32(-0.4),
        "high": np.float32(8),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["integers", "scale", "zero"], ["read"]),
        helper.make_node(operator, ["read", "weight"], ["given"], name="layer", **given),
    ]
    if clip:
        nodes.append(helper.make_node("Clip", ["given", "low", "high"], ["cut"]))
    last = "cut" if clip else "given"
    nodes.append(helper.make_node("QuantizeLinear", [last, "scale", "zero"], ["output"]))
    graph = helper.make_graph(
        nodes,
        "between",
        [helper.make_tensor_value_info("integers", TensorProto.UINT8, image)],
        [helper.make_tensor_value_info("output", TensorProto.UINT8, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def computed(model: ModelProto, *, optimized: bool) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = open_session(model.SerializeToString(), options=options)
    taken = session.get_inputs()[0]
    image = np.random.default_rng(1).integers(0, 60, taken.shape).astype(np.uint8)
    return np.asarray(session.run(None, {taken.name: image})[0])


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize(
    ("operator", "shape", "given"),
    [
        ("Conv", (4, 4, 3, 3), {}),
        ("Conv", (4, 1, 3, 3), {"group": 4}),
        ("ConvTranspose", (4, 4, 3, 3), {}),
        ("Gemm", (4, 4), {}),
        ("Gemm", (4, 4), {"transB": 1}),
    ],
)
def test_onnxruntime_leaves_the_weights_alone(
    operator: str, shape: tuple[int, ...], given: dict[str, int], clip: bool
) -> None:
    model = between(operator, shape, clip=clip, **given)
    keep_weights_float(model)
    model.graph.node.sort(key=lambda node: node.op_type != "DequantizeLinear")
    written = computed(model, optimized=False)
    np.testing.assert_array_equal(computed(model, optimized=True), written)
    assert len(np.unique(written)) >= 5


def test_onnxruntime_still_has_to_be_kept_from_it() -> None:
    model = between("Conv", (4, 1, 3, 3), clip=True, group=4)
    assert (computed(model, optimized=True) != computed(model, optimized=False)).mean() > 0.1


@pytest.mark.slow
@pytest.mark.shared
def test_a_real_network_survives_its_first_depthwise_convolution_in_float(
    trained: Artifact, shared: Path, tmp_path: Path
) -> None:
    drawn = open_dataset(f"{shared}/voc/VOCdevkit:train", "train", masks=False).sample(16, 0)
    samples = Samples(drawn, Preparation.for_artifact(trained.manifest, "squash"))
    settings = Settings(target="cpu", keep_float=("node_Conv_1014",), added=("read-pixels",))
    made = quantize(trained, "int8", tmp_path, samples=samples, settings=settings)
    # one int8 scale for its 32 channels leaves 87 % at 513x513
    assert min(agreements(trained, made, list(samples[:4])).values()) > 98
