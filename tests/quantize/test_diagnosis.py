"""Plant a fault; the diagnosis has to name that layer and no other."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from export.artifact.artifact import Artifact, write_artifact
from export.artifact.sample import Sample
from export.common.errors import ComparisonError
from export.onnx_export import export_model
from export.ort.sessions import cpu_facts
from quantize.diagnosis.diagnosis import diagnose
from quantize.diagnosis.errors import TensorError, sqnr_db
from quantize.diagnosis.points import StoredGrid, groups, points
from quantize.host import default_target
from quantize.quantization import quantize
from quantize.settings import Settings
from tests.export import build
from tests.quantize.plants import Array, Change, activation_scale, edited, fold_twice, weight_names
from validate.data.datasets import open_dataset
from validate.samples.samples import Preparation, Samples

# Tiny's layers: the first, depthwise, before the Add, after it, and the last but the Resize
CONVOLUTIONS = ["node_Conv_27", "node_conv2d_1", "node_conv2d_2", "node_conv2d_3", "node_conv2d_4"]
QUANTIZED = ["input", *CONVOLUTIONS, "node_add", "node_mean", "node_cat"]


@pytest.fixture(scope="module")
def made(made_for: Callable[[str], Artifact]) -> Artifact:
    return made_for(default_target(cpu_facts()))


def test_a_file_of_a_newer_operator_set_than_its_fp32_is_compared(
    tiny: Artifact, made_for: Callable[[str], Artifact], samples: Samples, tmp_path: Path
) -> None:
    wide = made_for("qnn-a16w8")
    versions = [onnx.load(one.path).opset_import[0].version for one in (tiny, wide)]
    assert versions == [18, 21]
    found = diagnose(tiny, wide, samples)
    assert {*CONVOLUTIONS} <= {layer.layer for layer in found.layers}
    assert not found.suspect.stands_out
    scale = activation_scale(wide, "node_conv2d_2")
    broken = edited(wide, tmp_path, {scale: lambda value: value * 16})
    assert named(tiny, broken, samples) == "node_conv2d_2"


@pytest.fixture(scope="module")
def half(tiny: Artifact, samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return quantize(tiny, "fp16", tmp_path_factory.mktemp("fp16"), samples=samples)


def activations(path: Path, names: Sequence[str], image: Array) -> list[Array]:
    """What plain onnxruntime computes for tensors, without optimization."""
    model = onnx.load(path)
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(list(names), {session.get_inputs()[0].name: image}))


def named(fp32: Artifact, other: Artifact, samples: Sequence[Sample]) -> str:
    found = diagnose(fp32, other, samples)
    assert found.suspect.stands_out, found.suspect
    return found.suspected.layer


def test_a_sound_int8_file_has_no_layer_that_stands_out(
    tiny: Artifact, made: Artifact, samples: Samples
) -> None:
    found = diagnose(tiny, made, samples)
    assert not found.suspect.stands_out and "nothing stands out" in found.suspect.reason
    assert [layer.layer for layer in found.layers] == [
        "input", "node_Conv_27", "node_conv2d_1", "node_conv2d_2", "node_add", "node_mean",
        "node_conv2d_3", "node_upsample_bilinear2d", "node_cat", "node_conv2d_4",
        "node_upsample_bilinear2d_1",
    ]  # fmt: skip
    assert found.layers[-1].tensor == "logits" and found.layers[-1].scale is None
    assert found.images == tuple(sample.id for sample in samples)
    assert max(layer.jump_db for layer in found.layers) < found.threshold_db


def test_the_figures_of_a_tensor_by_hand(tiny: Artifact, made: Artifact, voc: Path) -> None:
    """On images that calibration has not seen, so that some values saturate."""
    dataset = open_dataset(f"{voc}:val", "val", masks=False)
    samples = Samples(dataset, Preparation.for_artifact(tiny.manifest, "squash"))
    signal = noise = 0.0
    outside = values = 0
    errors: dict[str, float] = {}
    constants = {t.name: numpy_helper.to_array(t) for t in onnx.load(made.path).graph.initializer}
    scale, zero = constants["mean_scale"], int(constants["mean_zero_point"])
    for sample in samples:
        (exact,) = activations(tiny.path, ["mean"], sample.image)
        (seen,) = activations(made.path, ["mean_DequantizeLinear_Output"], sample.image)
        signal += float((exact.astype(np.float64) ** 2).sum())
        noise += float(((seen.astype(np.float64) - exact) ** 2).sum())
        wanted = np.rint(exact / scale) + zero
        outside += int(((wanted < 0) | (wanted > 255)).sum())
        values += exact.size
        errors[sample.id] = float(np.abs(seen - exact).max())
    (layer,) = [x for x in diagnose(tiny, made, samples).layers if x.tensor == "mean"]
    assert layer.sqnr_db == pytest.approx(10 * np.log10(signal / noise), abs=1e-3)
    assert layer.max_error == pytest.approx(max(errors.values()), rel=1e-5)
    assert layer.max_error_image == max(errors, key=errors.__getitem__)
    assert outside > 0 and layer.saturated == outside / values
    assert (layer.scale, layer.zero_point) == (float(scale), zero)
    assert (layer.overflowed, layer.underflowed, layer.nonfinite) == (None, None, 0)


def test_a_layers_own_error_is_what_it_makes_of_exact_inputs(
    tiny: Artifact, made: Artifact, samples: Samples
) -> None:
    """The head, a 1x1 convolution, with numpy."""
    constants = {t.name: numpy_helper.to_array(t) for t in onnx.load(made.path).graph.initializer}
    floats = {t.name: numpy_helper.to_array(t) for t in onnx.load(tiny.path).graph.initializer}
    head = "network.network.head"
    scales = constants[f"{head}.weight_scale"][:, None, None, None]
    weight = (constants[f"{head}.weight_quantized"] * scales)[:, :, 0, 0]
    bias = constants[f"{head}.bias_quantized"] * constants[f"{head}.bias_quantized_scale"]
    step, zero = constants["conv2d_4_scale"], int(constants["conv2d_4_zero_point"])
    signal = noise = 0.0
    for sample in samples:
        features, exact = activations(tiny.path, ["cat", "conv2d_4"], sample.image)
        logits = np.einsum("oi,nihw->nohw", weight, features) + bias[:, None, None]
        rounded = (np.clip(np.rint(logits / step) + zero, 0, 255) - zero) * step
        signal += float((exact.astype(np.float64) ** 2).sum())
        noise += float(((rounded - exact) ** 2).sum())
    (layer,) = [x for x in diagnose(tiny, made, samples).layers if x.tensor == "conv2d_4"]
    assert layer.local_sqnr_db == pytest.approx(10 * np.log10(signal / noise), abs=0.05)
    assert layer.local_sqnr_db > layer.sqnr_db  # the inputs bring errors of their own
    rounding = ((weight - floats[f"{head}.weight"][:, :, 0, 0]) ** 2).sum()
    by_hand = 10 * np.log10((floats[f"{head}.weight"] ** 2).sum() / rounding)
    assert layer.weight_sqnr_db == pytest.approx(by_hand, abs=0.01)


@pytest.mark.parametrize(
    ("layer", "factor", "reason"),
    [(layer, 16, "times what values") for layer in QUANTIZED]
    + [(layer, 1 / 16, "outside what its scale") for layer in QUANTIZED[::4]],
)
def test_a_scale_that_is_16_times_too_large_or_too_small(
    tiny: Artifact, made: Artifact, samples: Samples, tmp_path: Path, layer: str, factor: float,
    reason: str,
) -> None:  # fmt: skip
    scale = activation_scale(made, layer)
    faulty = edited(made, tmp_path, {scale: lambda v: v * np.float32(factor)})
    found = diagnose(tiny, faulty, samples)
    assert found.suspect.stands_out and found.suspected.layer == layer
    assert reason in found.suspect.reason


@pytest.mark.parametrize("layer", CONVOLUTIONS)
def test_one_weight_that_is_nan(
    tiny: Artifact, made: Artifact, samples: Samples, tmp_path: Path, layer: str
) -> None:
    def broken(values: Array) -> Array:
        copy = values.copy()
        copy.flat[-1] = np.nan
        return copy

    in_float = edited(tiny, tmp_path / "fp32", {weight_names(tiny, layer)[0]: broken})
    assert named(tiny, in_float, samples) == layer
    in_int8 = edited(made, tmp_path / "int8", {weight_names(made, layer)[0]: broken})
    assert named(tiny, in_int8, samples) == layer
    assert "weights hold inf or NaN" in diagnose(tiny, in_int8, samples).suspect.reason


@pytest.mark.parametrize("layer", CONVOLUTIONS)
def test_a_batchnorm_folded_twice(
    tiny: Artifact, samples: Samples, tmp_path: Path, layer: str
) -> None:
    twice = fold_twice(tiny, layer, tmp_path)
    assert named(tiny, twice, samples) == layer
    others = [x for x in diagnose(tiny, twice, samples).layers if x.layer != layer]
    assert {x.local_sqnr_db for x in others} == {inf}  # they are the same, only misled
    int8 = quantize(twice, "int8", tmp_path, samples=samples)
    faulty = edited(int8, tmp_path, {}, parent_sha256=tiny.manifest.sha256)
    assert named(tiny, faulty, samples) == layer


def test_a_bias_alone_that_is_shifted(tiny: Artifact, samples: Samples, tmp_path: Path) -> None:
    bias = weight_names(tiny, "node_conv2d_2")[1]
    faulty = edited(tiny, tmp_path, {bias: lambda v: v + np.float32(0.1)})
    assert named(tiny, faulty, samples) == "node_conv2d_2"


def test_the_first_of_two_broken_layers_is_named(
    tiny: Artifact, samples: Samples, tmp_path: Path
) -> None:
    changes: dict[str, Change] = {
        weight_names(tiny, layer)[0]: lambda w: w * np.float32(np.nan)
        for layer in ("node_conv2d_3", "node_conv2d_1")
    }
    assert named(tiny, edited(tiny, tmp_path, changes), samples) == "node_conv2d_1"


@pytest.mark.slow
def test_a_float16_overflow_is_named_where_it_begins(voc: Path, tmp_path: Path) -> None:
    hot = export_model("tests.networks:overflowing", "default", tmp_path, size=(65, 65), name="hot")
    dataset = open_dataset(f"{voc}:train", "train", masks=False)
    samples = Samples(dataset, Preparation.for_artifact(hot.manifest, "squash"))
    naive = quantize(hot, "fp16", tmp_path, samples=samples, settings=Settings(guard=False))
    found = diagnose(hot, naive, samples)
    assert found.suspect.stands_out and "65504" in found.suspect.reason
    grow = next(n for n in onnx.load(hot.path).graph.node if n.op_type == "Conv")
    assert found.suspected.layer == grow.name
    exact = [activations(hot.path, [grow.output[0]], sample.image)[0] for sample in samples]
    beyond = sum(int((values > 65504).sum()) for values in exact)
    assert found.suspected.overflowed == beyond / sum(values.size for values in exact)
    assert found.suspected.nonfinite > 0 and found.suspected.sqnr_db == -inf
    guarded = quantize(hot, "fp16", tmp_path / "guarded", samples=samples)
    assert not diagnose(hot, guarded, samples).suspect.stands_out


def test_a_sound_fp16_file_and_an_equal_file_have_no_suspect(
    tiny: Artifact, half: Artifact, samples: Samples, tmp_path: Path
) -> None:
    found = diagnose(tiny, half, samples)
    assert not found.suspect.stands_out
    assert {layer.tensor for layer in found.layers} >= {"getitem", "add", "cat", "logits"}
    assert all(layer.sqnr_db > 60 for layer in found.layers)
    io16 = quantize(tiny, "fp16", tmp_path, samples=samples, settings=Settings(io="fp16"))
    assert not diagnose(tiny, io16, samples).suspect.stands_out
    same = diagnose(tiny, tiny, samples)
    assert same.suspect.reason == "no tensor differs from fp32"
    assert {layer.sqnr_db for layer in same.layers} == {inf}


def test_a_layer_kept_in_fp32_is_compared_although_its_tensor_was_renamed(
    tiny: Artifact, samples: Samples, tmp_path: Path
) -> None:
    settings = Settings(keep_float=("node_conv2d_2", "node_add"))
    mixed = quantize(tiny, "fp16", tmp_path, samples=samples, settings=settings)
    tensors = {layer.layer: layer.tensor for layer in diagnose(tiny, mixed, samples).layers}
    assert (tensors["node_conv2d_2"], tensors["node_add"]) == ("conv2d_2", "add")


def test_channels_that_a_rewrite_rescaled_are_compared_in_the_same_units(
    tiny: Artifact, samples: Samples, tmp_path: Path
) -> None:
    """Equalize the depthwise convolution with the next; its ReLU6 stays below 6."""
    factor = np.linspace(0.2, 4, 8).astype(np.float32)
    (first, bias), (second, _) = (weight_names(tiny, x) for x in CONVOLUTIONS[1:3])
    equalized = edited(
        tiny,
        tmp_path,
        {
            first: lambda w: w / factor.reshape(-1, 1, 1, 1),
            bias: lambda b: b / factor,
            second: lambda w: w * factor.reshape(1, -1, 1, 1),
        },
    )
    int8 = quantize(equalized, "int8", tmp_path, samples=samples)
    parent = {"parent_sha256": tiny.manifest.sha256}
    unaware = edited(int8, tmp_path / "unaware", {}, **parent)
    assert diagnose(tiny, unaware, samples).suspect.stands_out
    facts = int8.manifest.checks["int8"]
    recorded = {"hardtanh_1": {"factor": factor.tolist()}}
    aware = edited(
        int8, tmp_path / "aware", {}, checks={"int8": facts | {"rescaled": recorded}}, **parent
    )
    found = diagnose(tiny, aware, samples)
    assert not found.suspect.stands_out
    by_layer = {layer.layer: layer for layer in found.layers}
    assert by_layer["node_conv2d_1"].sqnr_db > 25
    assert by_layer["node_conv2d_1"].weight_sqnr_db is None
    assert by_layer["node_conv2d_2"].weight_sqnr_db is None
    assert by_layer["node_conv2d_3"].weight_sqnr_db is not None
    # and a fault in a rescaled layer is found all the same
    scale = activation_scale(aware, "node_conv2d_1")
    faulty = edited(aware, tmp_path / "faulty", {scale: lambda v: v * np.float32(16)})
    assert named(tiny, faulty, samples) == "node_conv2d_1"


def test_an_offset_that_a_rewrite_absorbed_is_added_back(
    tiny: Artifact, samples: Samples, tmp_path: Path
) -> None:
    """The pooled tensor moves by an offset that the next 1x1 convolution takes out again."""
    offset = np.linspace(-1, 1, 8).astype(np.float32)
    model = onnx.load(tiny.path)
    graph = model.graph
    place = next(i for i, n in enumerate(graph.node) if n.name == "node_mean")
    graph.node[place].output[0] = "pooled"
    graph.initializer.append(build.constant("offset", offset.reshape(1, -1, 1, 1)))
    graph.node.insert(place + 1, helper.make_node("Sub", ["pooled", "offset"], ["mean"], "shift"))
    weight, bias = weight_names(tiny, "node_conv2d_3")
    constants = {t.name: t for t in graph.initializer}
    moved = numpy_helper.to_array(constants[bias]) + np.einsum(
        "oi,i->o", numpy_helper.to_array(constants[weight])[:, :, 0, 0], offset
    )
    constants[bias].CopyFrom(numpy_helper.from_array(moved.astype(np.float32), bias))
    checks = {"int8": {"rescaled": {"mean": {"factor": [1.0] * 8, "offset": offset.tolist()}}}}
    update = {"checks": checks, "precision": "int8", "parent_sha256": tiny.manifest.sha256}
    other = write_artifact(
        model.SerializeToString(), tiny.manifest.model_copy(update=update), tmp_path
    )
    found = diagnose(tiny, other, samples)
    assert not found.suspect.stands_out
    assert all(layer.sqnr_db > 90 for layer in found.layers)
    wrong = edited(other, tmp_path / "wrong", {}, checks={})
    assert named(tiny, wrong, samples) == "shift"


def test_little_memory_gives_the_same_result(
    tiny: Artifact, made: Artifact, samples: Samples
) -> None:
    """Every tensor in a run of its own."""
    assert diagnose(tiny, made, samples, memory=1) == diagnose(tiny, made, samples)


def test_each_of_several_pairs_on_one_tensor_is_compared() -> None:
    """As quantizers write them that give every reader a pair of its own."""
    fp32 = build.model(
        [
            helper.make_node("Relu", ["x"], ["t"], "first"),
            helper.make_node("Add", ["t", "t"], ["y"], "second"),
        ],
        [build.value("x", (1, 2))],
        [build.value("y", (1, 2))],
    )
    pairs = [
        helper.make_node(kind, [source, f"s{i}", "z"], [f"{name}{i}"])
        for i in (1, 2)
        for kind, source, name in (
            ("QuantizeLinear", "t", "q"),
            ("DequantizeLinear", f"q{i}", "d"),
        )
    ]
    other = build.model(
        [
            helper.make_node("Relu", ["x"], ["t"], "first"),
            *pairs,
            helper.make_node("Add", ["d1", "d2"], ["y"], "second"),
        ],
        [build.value("x", (1, 2))],
        [build.value("y", (1, 2))],
        [
            build.constant("s1", np.float32(0.5)),
            build.constant("s2", np.float32(0.25)),
            build.constant("z", np.int8(0)),
        ],
    )
    found = points(groups(other, fp32))
    assert [(p.tensor, p.seen, p.layer) for p in found] == [
        ("x", "x", "x"), ("t", "d1", "first"), ("t", "d2", "first"), ("y", "y", "second"),
    ]  # fmt: skip
    assert [p.grid.scale for p in found if p.grid] == [0.5, 0.25]
    assert found[-1].sources == ("d1", "d2")


def test_weights_that_the_file_quantizes_itself_are_compared_as_such(
    tiny: Artifact, samples: Samples, tmp_path: Path
) -> None:
    """TensorRT's files keep float weights behind Q/DQ."""
    settings = Settings(target="tensorrt", skipped=("gptq",))
    file = quantize(tiny, "int8", tmp_path, samples=samples, settings=settings)
    found = diagnose(tiny, file, samples)
    assert not found.suspect.stands_out
    floats = {t.name: numpy_helper.to_array(t) for t in onnx.load(tiny.path).graph.initializer}
    for layer in CONVOLUTIONS:
        weight = floats[weight_names(tiny, layer)[0]]
        scale = np.abs(weight).max(axis=(1, 2, 3), keepdims=True) / 127
        noise = ((np.rint(weight / scale) * scale - weight) ** 2).sum()
        (entry,) = [x for x in found.layers if x.layer == layer]
        by_hand = 10 * np.log10((weight**2).sum() / noise)
        assert entry.weight_sqnr_db == pytest.approx(by_hand, abs=0.05)
    twice = edited(file, tmp_path / "x", {"network.network.head.weight": lambda w: 1.5 * w})
    assert named(tiny, twice, samples) == "node_conv2d_4"


def test_sums_over_images_by_hand() -> None:
    error = TensorError()
    exact = np.array([3.0, -4.0], np.float32)
    error.update("a", exact, exact + np.float32(1), exact)
    error.update("b", exact, exact - np.array([0, 2], np.float32), exact + np.float32(3))
    assert (error.signal, error.noise, error.local_noise) == (50.0, 6.0, 18.0)
    assert (error.low, error.high, error.max_error, error.worst_image) == (-4.0, 3.0, 2.0, "b")
    assert sqnr_db(100.0, 1.0) == 20.0 and sqnr_db(1.0, 0.0) == inf and sqnr_db(0.0, 1.0) == -inf
    error.update("c", exact, np.array([np.nan, np.inf], np.float32), exact)
    assert (error.nonfinite, error.max_error, error.worst_image) == (2, inf, "c")


def test_rounding_to_the_last_value_of_the_grid_is_no_saturation() -> None:
    error = TensorError()
    grid = StoredGrid(scale=0.1, zero_point=0, steps=255, low=0.0, high=25.5)
    error.count_saturated(np.array([-0.06, -0.04, 25.54, 25.56, 3], np.float32), grid)
    assert error.saturated == 2


def test_values_that_float16_loses_are_counted() -> None:
    error = TensorError()
    exact = np.array([7e4, -7e4, 65504, 1e-9, 0, 1], np.float32)
    error.count_float16_losses(exact, np.array([np.inf, -np.inf, 65504, 0, 0, 1], np.float32))
    assert (error.overflowed, error.underflowed) == (2, 1)


def test_files_of_two_sizes_are_refused(tiny: Artifact, samples: Samples) -> None:
    """What else does not belong together: tests/segport/test_diagnose.py."""
    spec = tiny.manifest.input.model_copy(update={"shape": (1, 3, 65, 97)})
    larger = replace(tiny, manifest=tiny.manifest.model_copy(update={"input": spec}))
    with pytest.raises(ComparisonError, match="one input shape"):
        diagnose(tiny, larger, samples)


def test_a_network_that_is_broken_in_fp32_is_refused(
    tiny: Artifact, samples: Samples, tmp_path: Path
) -> None:
    weight = weight_names(tiny, "node_conv2d_2")[0]
    broken = edited(tiny, tmp_path, {weight: lambda w: w * np.float32(np.nan)})
    with pytest.raises(ComparisonError, match=f"image {samples[0].id}: tensor conv2d_2 is not"):
        diagnose(broken, tiny, samples)


@pytest.fixture(scope="module")
def real(
    shared: Path, trained: Artifact, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Artifact, Artifact, Samples]:
    """A trained network in fp32 and int8, and four images."""
    dataset = open_dataset(f"{shared}/voc/VOCdevkit:train", "train", masks=False).sample(4, 0)
    samples = Samples(dataset, Preparation.for_artifact(trained.manifest, "squash"))
    folder = tmp_path_factory.mktemp("real")
    return trained, quantize(trained, "int8", folder, samples=samples), samples


@pytest.mark.shared
@pytest.mark.slow
def test_faults_in_a_real_network(real: tuple[Artifact, Artifact, Samples], tmp_path: Path) -> None:
    """In layers whose error drowns in what has come together before: one early, one late."""
    fp32, int8, samples = real
    assert not diagnose(fp32, int8, samples).suspect.stands_out
    convolutions = [n.name for n in onnx.load(int8.path).graph.node if n.op_type == "Conv"]
    for layer in (convolutions[3], convolutions[-1]):
        coarse = {activation_scale(int8, layer): lambda v: v * np.float32(16)}
        assert named(fp32, edited(int8, tmp_path, coarse), samples[:2]) == layer
        nan = {weight_names(int8, layer)[0]: lambda v: v * np.float32(np.nan)}
        assert named(fp32, edited(int8, tmp_path, nan), samples[:2]) == layer
        assert named(fp32, fold_twice(fp32, layer, tmp_path), samples[:2]) == layer
