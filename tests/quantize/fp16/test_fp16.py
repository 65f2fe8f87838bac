from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.artifact.artifact import Artifact
from export.onnx_export import export_model
from export.ort.fp16_emulation import emulate_fp16
from export.ort.sessions import open_session, run
from quantize.fp16.casts import tidy_casts
from quantize.fp16.observation import weights_out_of_range
from quantize.quantization import quantize
from quantize.settings import Settings
from segport.artifact_lines import artifact_lines
from validate.data.datasets import open_dataset
from validate.samples.samples import Preparation, Samples


@pytest.fixture(scope="module")
def overflowing(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("overflowing")
    return export_model("tests.networks:overflowing", "default", folder, size=(65, 65), name="hot")


def _half_tensors(path: Path) -> set[str]:
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    values = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    return {v.name for v in values if v.type.tensor_type.elem_type == TensorProto.FLOAT16}


def test_tiny_becomes_half_throughout_behind_float_io(
    tiny: Artifact, samples: Samples, tmp_path: Path
) -> None:
    made = quantize(tiny, "fp16", tmp_path, samples=samples)
    facts = made.manifest.checks["fp16"]
    assert facts["range_checked"] and facts["guarded"] == []
    assert facts["emulated"]["finite"] and facts["emulated"]["argmax_agreement"] > 99
    graph = onnx.load(made.path).graph
    weights = [t for t in graph.initializer if len(t.dims) == 4]
    assert weights and {t.data_type for t in weights} == {TensorProto.FLOAT16}
    assert (made.manifest.input.dtype, made.manifest.outputs[0].dtype) == ("float32", "float32")
    assert [n.op_type for n in graph.node].count("Cast") == 2  # one per side, none inside
    assert made.path.stat().st_size < 0.75 * tiny.path.stat().st_size


def test_half_io_has_no_casts_at_all(tiny: Artifact, samples: Samples, tmp_path: Path) -> None:
    made = quantize(tiny, "fp16", tmp_path, samples=samples, settings=Settings(io="fp16"))
    assert (made.manifest.input.dtype, made.manifest.outputs[0].dtype) == ("float16", "float16")
    assert "Cast" not in [n.op_type for n in onnx.load(made.path).graph.node]
    image = samples[0].image.astype(np.float16)
    found = run(open_session(made.path), image)[0]
    expected = run(open_session(tiny.path), samples[0].image)[0]
    assert found.dtype == np.float16
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()


def test_without_images_the_range_is_recorded_as_unchecked(tiny: Artifact, tmp_path: Path) -> None:
    made = quantize(tiny, "fp16", tmp_path)
    assert made.manifest.checks["fp16"]["range_checked"] is False
    assert made.manifest.images == ()


def test_the_guard_keeps_what_reaches_9e4_in_fp32(
    overflowing: Artifact, voc: Path, tmp_path: Path
) -> None:
    dataset = open_dataset(f"{voc}:train", "train", masks=False)
    images = Samples(dataset, Preparation.for_artifact(overflowing.manifest, "squash"))
    reference = run(open_session(overflowing.path), images[0].image)[0]

    guarded = quantize(overflowing, "fp16", tmp_path / "guarded", samples=images)
    facts = guarded.manifest.checks["fp16"]
    convolutions = [n.name for n in onnx.load(overflowing.path).graph.node if n.op_type == "Conv"]
    kept = {entry["layer"] for entry in facts["guarded"]}
    assert set(convolutions) <= kept  # the one that makes 9e4 and the one that reads it
    # largest: 3 channels x 1.3e4 x 2.3 = 8.97e4
    assert 6.5e4 < max(entry["value"] for entry in facts["guarded"]) < 9e4
    assert facts["emulated"]["finite"]
    assert all(f"kept in fp32: {layer} (" in artifact_lines(guarded) for layer in kept)
    emulated = emulate_fp16(onnx.load(guarded.path)).SerializeToString()
    found = run(open_session(emulated), images[0].image)[0]
    assert np.abs(found - reference).max() < 0.01 * np.abs(reference).max()

    naive = quantize(
        overflowing, "fp16", tmp_path / "naive", samples=images, settings=Settings(guard=False)
    )
    facts = naive.manifest.checks["fp16"]
    assert facts["guarded"] == [] and not facts["emulated"]["finite"]
    assert "broken: with float16 rounding the outputs hold inf or NaN" in artifact_lines(naive)
    emulated = emulate_fp16(onnx.load(naive.path)).SerializeToString()
    assert not np.isfinite(run(open_session(emulated), images[0].image)[0]).all()


def test_no_cast_to_half_lies_between_two_layers_kept_in_fp32(
    overflowing: Artifact, voc: Path, tmp_path: Path
) -> None:
    dataset = open_dataset(f"{voc}:train", "train", masks=False)
    images = Samples(dataset, Preparation.for_artifact(overflowing.manifest, "squash"))
    guarded = quantize(overflowing, "fp16", tmp_path, samples=images)
    convolutions = [n for n in onnx.load(guarded.path).graph.node if n.op_type == "Conv"]
    half = _half_tensors(guarded.path)
    assert convolutions[0].output[0] not in half
    assert convolutions[1].input[0] not in half


def test_weights_beyond_half_are_found_before_the_converter_clips_them() -> None:
    weight = numpy_helper.from_array(np.array([[[[7e4]]]], np.float32), "w")
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="conv")
    shape = (1, 1, 4, 4)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [weight],
    )
    found = weights_out_of_range(helper.make_model(graph))
    assert [(k["layer"], k["value"]) for k in found] == [("conv", pytest.approx(7e4))]


def test_tidy_casts_removes_round_trips_and_duplicates() -> None:
    half, full = TensorProto.FLOAT16, TensorProto.FLOAT
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="first"),
        helper.make_node("Cast", ["a"], ["a_half"], to=half, name="down"),
        helper.make_node("Cast", ["a_half"], ["a_full"], to=full, name="up"),
        helper.make_node("Cast", ["a_half"], ["a_full"], to=full, name="up"),  # written twice
        helper.make_node("Neg", ["a_full"], ["b"], name="second"),
        helper.make_node("Abs", ["a_full"], ["c"], name="third"),
        helper.make_node("Add", ["b", "c"], ["y"], name="sum"),
    ]
    shape = (1, 4)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", full, shape)],
        [helper.make_tensor_value_info("y", full, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    tidy_casts(model)
    assert [n.op_type for n in model.graph.node] == ["Relu", "Neg", "Abs", "Add"]
    model.ir_version = 10
    # 1e5 would be inf after a float16 round trip; here -1e5 + 1e5 = 0 must come out
    found = run(open_session(model.SerializeToString()), np.full(shape, 1e5, np.float32))[0]
    np.testing.assert_array_equal(found, np.zeros(shape, np.float32))


def test_tidy_casts_keeps_the_name_of_a_graph_output() -> None:
    half, full = TensorProto.FLOAT16, TensorProto.FLOAT
    nodes = [
        helper.make_node("Relu", ["x"], ["y_raw"], name="last"),
        helper.make_node("Cast", ["y_raw"], ["y_half"], to=half, name="down"),
        helper.make_node("Cast", ["y_half"], ["y"], to=full, name="up"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", full, (1, 2))],
        [helper.make_tensor_value_info("y", full, (1, 2))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    tidy_casts(model)
    assert [(n.op_type, list(n.output)) for n in model.graph.node] == [("Relu", ["y"])]
