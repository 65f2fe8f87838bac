"""Clean files give no finding; each planted fault is named by its rule at its place, and no other.

Faults in the structure are planted for targets that no host's onnxruntime stands for, so that
the file's fusion is not judged as well.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, helper, numpy_helper

from export.artifact.artifact import Artifact, write_artifact
from export.common.errors import ArtifactError
from export.ort.sessions import cpu_facts
from quantize.graph.plan import build
from quantize.host import default_target
from quantize.lint.lint import RULES, Finding, exit_code, lint
from quantize.quantization import quantize
from quantize.settings import Settings
from quantize.targets import TARGETS
from tests.quantize.graph.test_qdq import IMAGE, _plan, residual
from validate.samples.samples import Samples

HOST = default_target(cpu_facts())
HEAD = "network.network.head.weight"
Edit = Callable[[ModelProto], None]


@pytest.fixture(scope="module")
def made(
    tiny: Artifact,
    samples: Samples,
    made_for: Callable[[str], Artifact],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Artifact]:
    """Tiny in every precision and for every target, by target or precision."""
    half = quantize(tiny, "fp16", tmp_path_factory.mktemp("half"), samples=samples)
    return {"fp32": tiny, "fp16": half, **{name: made_for(name) for name in TARGETS}}


def _edited(artifact: Artifact, edit: Edit, folder: Path, **manifest: Any) -> Artifact:
    graph = onnx.load(artifact.path)
    edit(graph)
    changed = artifact.manifest.model_copy(update=manifest)
    return write_artifact(graph.SerializeToString(), changed, folder)


@pytest.mark.parametrize("name", ["fp32", "fp16", *TARGETS])
def test_what_segport_makes_is_clean(name: str, made: dict[str, Artifact]) -> None:
    assert lint(made[name]) == []


@pytest.mark.parametrize("name", TARGETS)
def test_a_block_with_two_convolutions_and_a_constant_factor_is_clean(
    name: str, made: dict[str, Artifact], tmp_path: Path
) -> None:
    quantized = build(_plan(residual(), name, IMAGE)).SerializeToString()
    source = made[name].manifest
    shape = source.input.model_copy(update={"shape": (1, 3, 8, 8)})
    manifest = source.model_copy(update={"input": shape, "macs_shape": (3, 8, 8)})
    assert lint(write_artifact(quantized, manifest, tmp_path)) == []


def test_layers_declared_as_float_are_no_islands(
    tiny: Artifact, samples: Samples, tmp_path: Path
) -> None:
    for target in ("npu", HOST):
        settings = Settings(target=target, keep_float=("node_conv2d_1",))
        kept = quantize(tiny, "int8", tmp_path / target, samples=samples, settings=settings)
        assert lint(kept) == []
        checks = {"int8": kept.manifest.checks["int8"] | {"kept_float": []}}
        undeclared = lint(_edited(kept, lambda graph: None, tmp_path / f"{target}2", checks=checks))
        assert {f.where for f in undeclared if f.rule == "island"} >= {"node_conv2d_1"}


def _values(graph: ModelProto, name: str, change: Callable[[Any], Any]) -> None:
    tensor = next(t for t in graph.graph.initializer if t.name == name)
    values = numpy_helper.to_array(tensor)
    changed = np.array(change(values.copy()))
    tensor.CopyFrom(numpy_helper.from_array(changed, name))


def _set(name: str, change: Callable[[Any], Any]) -> Edit:
    return lambda graph: _values(graph, name, change)


def _first(number: float) -> Callable[[Any], Any]:
    """Put `number` in the place of the first value."""

    def change(values: Any) -> Any:
        values.reshape(-1)[0] = number
        return values

    return change


def _node(graph: ModelProto, name: str) -> NodeProto:
    return next(node for node in graph.graph.node if node.name == name)


def _insert(graph: ModelProto, before: str, *nodes: NodeProto) -> None:
    index = list(graph.graph.node).index(_node(graph, before))
    for node in reversed(nodes):
        graph.graph.node.insert(index, node)


def _unloadable(graph: ModelProto) -> None:
    _node(graph, "node_upsample_bilinear2d_1").op_type = "NoSuchOperator"


def _newer_ir(graph: ModelProto) -> None:
    graph.ir_version = 11


def _older_opset(graph: ModelProto) -> None:
    graph.opset_import[0].version = 16
    for node in graph.graph.node:  # Resize has these since opset 18
        newer = [a for a in node.attribute if a.name in ("antialias", "keep_aspect_ratio_policy")]
        for attribute in newer:
            node.attribute.remove(attribute)


def _abs_before_quantize(graph: ModelProto) -> None:
    """An operator between convolution and Q: valid, but nothing to fuse."""
    conv = _node(graph, "node_conv2d_4")
    output = conv.output[0]
    conv.output[0] = "raw"
    _insert(
        graph, f"{output}_QuantizeLinear", helper.make_node("Abs", ["raw"], [output], name="abs")
    )


def _concat_reads_float(graph: ModelProto) -> None:
    _node(graph, "node_cat").input[0] = "add"


def _other_scale_behind(graph: ModelProto) -> None:
    dequantize = _node(graph, "mean_DequantizeLinear")
    graph.graph.initializer.append(numpy_helper.from_array(np.float32(0.5), "other"))
    dequantize.input[1] = "other"


def _lonely_quantize(graph: ModelProto) -> None:
    inputs = ["add", *_node(graph, "add_QuantizeLinear").input[1:]]
    graph.graph.node.append(helper.make_node("QuantizeLinear", inputs, ["unread"], name="lonely"))


def _orphaned_dequantize(graph: ModelProto) -> None:
    dequantize = _node(graph, "mean_DequantizeLinear")
    inputs = ["ten", *dequantize.input[1:]]
    graph.graph.initializer.append(numpy_helper.from_array(np.array([[[[1.0]]]], np.float32), "t"))
    _insert(
        graph,
        "mean_DequantizeLinear",
        helper.make_node("Cast", ["t"], ["ten"], name="cast", to=onnx.TensorProto.INT8),
        helper.make_node("DequantizeLinear", inputs, ["unread"], name="orphan"),
    )


def _one_scale(graph: ModelProto) -> None:
    for name, kind in ((f"{HEAD}_scale", np.float32), (f"{HEAD}_zero_point", np.int8)):
        _values(graph, name, lambda values, kind=kind: values.max().astype(kind))
    del _node(graph, f"{HEAD}_DequantizeLinear").attribute[:]


def _float_bias(graph: ModelProto) -> None:
    graph.graph.initializer.append(numpy_helper.from_array(np.zeros(21, np.float32), "float"))
    _node(graph, "node_conv2d_4").input[2] = "float"


def _int8_bias(graph: ModelProto) -> None:
    graph.graph.initializer.append(numpy_helper.from_array(np.zeros(21, np.int32), "ints"))
    scale = numpy_helper.to_array(
        next(t for t in graph.graph.initializer if t.name == f"{HEAD}_scale")
    )
    source = next(t for t in graph.graph.initializer if t.name == "cat_scale")
    product = scale * numpy_helper.to_array(source)
    graph.graph.initializer.append(numpy_helper.from_array(product, "product"))
    node = helper.make_node("DequantizeLinear", ["ints", "product"], ["bias"], name="dq", axis=0)
    _insert(graph, "node_conv2d_4", node)
    _node(graph, "node_conv2d_4").input[2] = "bias"


def _both_inputs_of_add(graph: ModelProto) -> None:
    grid = _node(graph, "add_QuantizeLinear").input[1:]
    _insert(
        graph,
        "node_add",
        helper.make_node("QuantizeLinear", ["conv2d_2", *grid], ["q"], name="q"),
        helper.make_node("DequantizeLinear", ["q", *grid], ["dq"], name="dq"),
    )
    add = _node(graph, "node_add")
    add.input[:] = ["dq" if name == "conv2d_2" else name for name in add.input]


def _pooled_to_another_scale(graph: ModelProto) -> None:
    mean = _node(graph, "node_mean")
    grid = _node(graph, "mean_QuantizeLinear").input[1:]
    _insert(
        graph,
        "node_mean",
        helper.make_node("MaxPool", [mean.input[0]], ["most"], name="pool", kernel_shape=[1, 1]),
        helper.make_node("QuantizeLinear", ["most", *grid], ["q"], name="q"),
        helper.make_node("DequantizeLinear", ["q", *grid], ["dq"], name="dq"),
    )
    mean.input[0] = "dq"


def _sigmoid_for_pooling(graph: ModelProto) -> None:
    next(n for n in graph.graph.node if n.name == "node_mean").op_type = "Sigmoid"


BIAS = "network.network.head.bias_quantized"
FAULTS: list[tuple[str, str, Edit, str, str]] = [
    ("loads", "openvino", _unloadable, "file", "NoSuchOperator"),
    ("ir-version", "fp32", _newer_ir, "file", "11"),
    ("finite-weights", "tensorrt", _set(HEAD, _first(np.nan)), HEAD, "1 of 336"),
    ("finite-weights", "fp16", _set(HEAD, _first(np.inf)), HEAD, "1 of 336"),
    ("dead-channels", "fp32", _set(HEAD, lambda w: w * (np.arange(21) != 3).reshape(-1, 1, 1, 1)
     .astype(np.float32)), "node_conv2d_4", "1 of 21 channels have no weight: 3"),
    ("half-range", "fp16", _set(HEAD, _first(65504)), HEAD, "1 of 336"),
    ("half-subnormal", "fp16", _set(HEAD, lambda w: w * np.float16(1e-6)), HEAD, "6.1e-05"),
    ("opset", "openvino", _older_opset, "file", "opset 16"),
    ("fusion", HOST, _abs_before_quantize, "node_conv2d_4", "not QLinearConv"),
    ("island", "npu", _concat_reads_float, "node_cat", "add in float"),
    ("island", "tensorrt", _concat_reads_float, "", ""),  # it quantizes no Concat
    ("partner", "tensorrt", _other_scale_behind, "mean", "0.5"),
    ("partner", "npu", _lonely_quantize, "add", "lonely"),
    ("partner", "npu", _orphaned_dequantize, "ten", "orphan"),
    ("types", "npu", _set("mean_zero_point", lambda z: z.astype(np.uint8)), "mean", "uint8"),
    ("zero-point", "npu", _set("mean_zero_point", _first(3)), "mean", "zero point 3"),
    ("zero-point", "openvino", _set(f"{HEAD}_zero_point", _first(1)), f"{HEAD}_quantized", "1"),
    ("zero-point", "openvino", _set("mean_zero_point", _first(9)), "", ""),  # asymmetric
    ("granularity", "openvino", _one_scale, f"{HEAD}_quantized", "1 scales instead of 21"),
    ("weight-range", "cpu-avx2", _set(f"{HEAD}_quantized", _first(-64)), f"{HEAD}_quantized",
     "64, 63 is the most"),
    ("weight-range", "tensorrt", _set(HEAD, _first(1e4)), HEAD, "127 is the most"),
    ("scale", "openvino", _set("mean_scale", _first(np.nan)), "mean", "nan"),
    ("scale", "openvino", _set("mean_scale", _first(-2)), "mean", "-2"),
    ("scale", "npu", _set("add_scale", _first(0)), "add", "0"),
    ("near-zero-scale", "openvino", _set(f"{HEAD}_scale", _first(5e-10)), f"{HEAD}_quantized",
     "1 of 21 scales, down to 5e-10"),
    ("power-of-two", "npu-pow2", _set("add_scale", lambda s: s * np.float32(1.5)), "add", "1"),
    ("fixed-scale", "qnn-a16w8", _sigmoid_for_pooling, "mean", "not 1.52588e-05 and 0"),
    ("one-grid", "litert", _pooled_to_another_scale, "pool", "MaxPool reads scale"),
    ("one-grid", "qnn", _pooled_to_another_scale, "pool", "MaxPool reads scale"),
    ("bias-type", "npu", _float_bias, "node_conv2d_4", "float32"),
    ("bias-type", "openvino", _int8_bias, "node_conv2d_4", "quantized"),
    ("bias-range", "npu", _set(BIAS, _first(-(2**31))), "node_conv2d_4", "1 of 21"),
    ("bias-scale", "npu", _set(f"{BIAS}_scale", lambda s: s * np.float32(2)), "node_conv2d_4",
     "2 times"),
    ("residual-add", "tensorrt", _both_inputs_of_add, "node_add", "conv2d_2 of node_conv2d_2"),
    ("residual-add", "openvino", lambda graph: None, "", ""),  # quantizes both on purpose
]  # fmt: skip


@pytest.mark.parametrize(("rule", "name", "edit", "where", "says"), FAULTS)
def test_a_fault_is_named_by_its_rule_at_its_place(
    rule: str,
    name: str,
    edit: Edit,
    where: str,
    says: str,
    made: dict[str, Artifact],
    tmp_path: Path,
) -> None:
    findings = lint(_edited(made[name], edit, tmp_path))
    if not where:
        assert findings == []
        return
    (found,) = {(f.rule, f.where): f for f in findings}.values()
    assert (found.rule, found.where, found.reason) == (rule, where, RULES[rule].reason)
    assert says in found.message and "\n" not in found.message
    assert found.severity == RULES[rule].severity


def test_every_rule_has_a_fault_planted() -> None:
    assert {rule for rule, _, _, where, _ in FAULTS if where} == set(RULES)


def test_the_power_of_two_rule_holds_for_weights_and_constants_too(
    made: dict[str, Artifact], tmp_path: Path
) -> None:
    as_shifts = _edited(made["npu"], lambda graph: None, tmp_path, target="npu-pow2")
    graph = onnx.load(made["npu"].path).graph
    scaled = sum(n.op_type == "DequantizeLinear" for n in graph.node)
    shared = 1  # Resize keeps the scale of its input
    assert [f.rule for f in lint(as_shifts)] == ["power-of-two"] * (scaled - shared)


def test_warnings_are_no_errors(made: dict[str, Artifact], tmp_path: Path) -> None:
    warned = lint(_edited(made["openvino"], _set(f"{HEAD}_scale", _first(5e-10)), tmp_path))
    assert [f.severity for f in warned] == ["warning"] and exit_code(warned) == 0
    error = replace(warned[0], severity="error")
    assert exit_code([*warned, error]) == 1 and exit_code([]) == 0
    assert isinstance(error, Finding)


def test_an_int8_file_without_target_and_a_computed_scale_are_refused(
    made: dict[str, Artifact], tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError, match="manifest has no target"):
        lint(_edited(made["npu"], lambda graph: None, tmp_path / "a", target=None))

    def computed(graph: ModelProto) -> None:
        quantize = _node(graph, "add_QuantizeLinear")
        node = helper.make_node("Neg", [quantize.input[1]], ["negative"], name="neg")
        graph.graph.node.insert(0, node)
        quantize.input[1] = "negative"

    with pytest.raises(ArtifactError, match="add_QuantizeLinear: negative is not a constant"):
        lint(_edited(made["npu"], computed, tmp_path / "b"))
