"""Empirical bias correction on networks whose rounding plants a known shift."""

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, helper, numpy_helper

from export.artifact.sample import Sample
from quantize.graph.biases import summed
from quantize.graph.plan import Plan, build
from quantize.int8 import bias_correction
from quantize.int8.bias_correction import correct_biases
from quantize.targets import TARGETS
from tests.export.build import computed, constant, model, value

CHANNELS, SIZE = 4, 8
LAYERS = ("a", "b", "c", "d")


def network(batch: int | str | None = 1, mask: bool = False) -> ModelProto:
    """Conv a, then b and c side by side, their sum into d, which has no bias; then the head.

    All weights but the largest of a row are 0 to 5 steps of 1/127 of it, plus 0.4 of a step: they
    are rounded down, and inputs are positive, so the mean of each output channel falls.
    """
    rng = np.random.default_rng(0)
    nodes, constants = [], []
    for name, source in zip(LAYERS, ("input", "a_relu", "a_relu", "sum"), strict=True):
        integers = rng.integers(0, 6, (CHANNELS, CHANNELS, 3, 3)) + 0.4
        integers[:, 0, 0, 0] = 127
        nodes.append(
            helper.make_node(
                "Conv", [source, f"{name}.w", *([] if name == "d" else [f"{name}.b"])], [name],
                name=name, pads=[1] * 4,
            )
        )  # fmt: skip
        constants.append(constant(f"{name}.w", (integers / 127 / 10).astype(np.float32)))
        if name != "d":
            bias = rng.normal(0, 0.05, CHANNELS).astype(np.float32)
            constants.append(constant(f"{name}.b", bias))
        if name == "a":
            nodes.append(helper.make_node("Relu", ["a"], ["a_relu"], name="relu"))
        if name == "c":
            nodes.append(helper.make_node("Add", ["b", "c"], ["sum"], name="add"))
    nodes.append(helper.make_node("Conv", ["d", "head.w"], ["logits"], name="head"))
    head = rng.normal(size=(3, CHANNELS, 1, 1)).astype(np.float32)
    output = value("logits", (batch, 3, SIZE, SIZE))
    if mask:
        nodes.append(helper.make_node("ArgMax", ["logits"], ["mask"], axis=1, keepdims=0))
        output = value("mask", (batch, SIZE, SIZE), onnx.TensorProto.INT64)
    made = model(
        nodes,
        [value("input", (batch, CHANNELS, SIZE, SIZE))],
        [output],
        [*constants, constant("head.w", head)],
    )
    return onnx.shape_inference.infer_shapes(made)


def samples(count: int = 6) -> list[Sample]:
    rng = np.random.default_rng(1)
    shape = (1, CHANNELS, SIZE, SIZE)
    return [Sample(str(i), rng.uniform(0, 1, shape).astype(np.float32), "") for i in range(count)]


def means(
    made: ModelProto, names: Sequence[str], used: Sequence[Sample], batch: int = 1
) -> dict[str, NDArray[np.float64]]:
    """Channel means of the outputs of layers, whatever these tensors are called now."""
    copy = ModelProto()
    copy.CopyFrom(made)
    tensors = {n.name: n.output[0] for n in copy.graph.node}
    del copy.graph.output[:]
    copy.graph.output.extend(onnx.ValueInfoProto(name=tensors[name]) for name in names)
    runs = [computed(copy, input=np.repeat(s.image, batch, axis=0)) for s in used]
    return {
        name: np.mean([run[i].mean((0, 2, 3), dtype=np.float64) for run in runs], axis=0)
        for i, name in enumerate(names)
    }


def plan(made: ModelProto, target: str = "cpu") -> Plan:
    copy = ModelProto()
    copy.CopyFrom(made)
    names = ["a", "a_relu", "b", "c", "sum", "d"]
    del copy.graph.output[:]
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    batch = made.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1
    runs = [computed(copy, input=np.repeat(s.image, batch, axis=0)) for s in samples()]
    ranges = {
        name: (float(np.min([r[i] for r in runs])), float(np.max([r[i] for r in runs])))
        for i, name in enumerate(names)
    } | {"input": (0.0, 1.0)}
    ranges["a"] = ranges["a_relu"]
    return Plan(made, TARGETS[target], (*LAYERS, "relu", "add"), ranges, {})


def correct(planned: Plan, used: Sequence[Sample]) -> dict[str, NDArray[np.float64]]:
    return dict(correct_biases(planned, used, lambda done, total: None))


@pytest.mark.parametrize("target", ["cpu", "npu", "openvino"])
def test_means_become_those_of_the_float_network(target: str) -> None:
    planned, used = plan(network(), target), samples()
    shifts = correct(planned, used)
    assert shifts.keys() == set(LAYERS)
    wanted = means(planned.model, LAYERS, used)
    before = means(build(planned), LAYERS, used)
    corrected = Plan(**vars(planned) | {"shifts": summed(planned.shifts, shifts)})
    after = means(build(corrected), LAYERS, used)
    for name in LAYERS:
        planted = np.abs(before[name] - wanted[name])
        assert planted.min() > 0.01 * np.abs(wanted[name]).max()  # there was something to do
        # 1 % of it is left: activations are rounded anew, and biases to int32
        assert np.abs(after[name] - wanted[name]).max() < 0.01 * np.abs(wanted[name]).max()
        assert np.abs(after[name] - wanted[name]).max() < 0.1 * planted.max()


def test_the_first_shift_is_what_rounding_planted() -> None:
    """Weights lose 0.4 steps each, so the mean falls by 0.4 steps times the sum of the inputs."""
    planned, used = plan(network()), samples()
    shift = correct(planned, used)["a"]
    padded = [np.pad(s.image, ((0, 0), (0, 0), (1, 1), (1, 1))) for s in used]
    windows = np.lib.stride_tricks.sliding_window_view(np.concatenate(padded), (3, 3), (2, 3))
    total = windows.mean((0, 2, 3)).sum()  # mean input, summed over channels and the kernel
    first = windows.mean((0, 2, 3))[0, 0, 0]  # is on the grid
    np.testing.assert_allclose(shift, 0.4 / 1270 * (total - first), rtol=0.02)


def test_shifts_go_on_top_of_those_of_the_plan() -> None:
    planned, used = plan(network()), samples()
    alone = correct(planned, used)
    half = {"a": alone["a"] / 2, "d": np.ones(CHANNELS)}
    rest = correct(Plan(**vars(planned) | {"shifts": half}), used)
    np.testing.assert_allclose(rest["a"], alone["a"] / 2, atol=1e-4)
    np.testing.assert_allclose(rest["d"] + 1, alone["d"], atol=2e-2)


def test_layers_side_by_side_are_corrected_in_one_go() -> None:
    steps: list[tuple[int, int]] = []
    correct_biases(plan(network()), samples(), lambda done, total: steps.append((done, total)))
    assert steps == [(1, 3), (2, 3), (3, 3)]  # a; b and c; d


def test_layers_in_float_are_left_alone() -> None:
    planned = plan(network())
    some = Plan(**vars(planned) | {"layers": ("b", "relu", "a")})
    assert correct(some, samples()).keys() == {"a", "b"}


@pytest.mark.parametrize("batch", ["N", 3])
def test_batches_give_the_same(batch: int | str) -> None:
    single = correct(plan(network()), samples())
    batched = correct(plan(network(batch)), samples())
    for name in LAYERS:
        np.testing.assert_allclose(batched[name], single[name], atol=1e-4)


def test_networks_that_give_masks_are_corrected_too() -> None:
    logits, masks = (correct(plan(network(mask=mask)), samples()) for mask in (False, True))
    for name in LAYERS:
        np.testing.assert_allclose(masks[name], logits[name], atol=1e-6)


def test_two_runs_give_the_same() -> None:
    first, second = (correct(plan(network()), samples()) for _ in range(2))
    for name in LAYERS:
        np.testing.assert_array_equal(first[name], second[name])


def test_few_images_spread_over_all_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []

    class Watched(list[Sample]):
        def __getitem__(self, index: object) -> object:  # type: ignore[override]
            used.append(super().__getitem__(index).id)  # type: ignore[index]
            return super().__getitem__(index)  # type: ignore[index]

    monkeypatch.setattr(bias_correction, "IMAGES", 3)
    correct(plan(network()), Watched(samples(6)))  # type: ignore[arg-type]
    assert used == ["0", "2", "4"]


def test_the_corrected_bias_is_in_the_file() -> None:
    planned, used = plan(network(), "openvino"), samples()
    shifts = correct(planned, used)
    graph = build(Plan(**vars(planned) | {"shifts": shifts})).graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    biases = {n.name: constants[n.input[2]] for n in graph.node if n.name in LAYERS}
    originals = {t.name: numpy_helper.to_array(t) for t in planned.model.graph.initializer}
    for name in LAYERS:  # float32 there; d had none
        original = originals.get(f"{name}.b", np.zeros(CHANNELS))
        np.testing.assert_allclose(biases[name], original + shifts[name], rtol=1e-5, atol=1e-6)
