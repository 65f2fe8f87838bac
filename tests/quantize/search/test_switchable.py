from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto, TensorProto, helper

from quantize.plan import RoundedWeight, build
from quantize.search.evaluator import Effect, Evaluator
from quantize.search.ranker import rank
from quantize.search.switchable import switchable
from tests.quantize.search.chains import CHANNELS, chain, logits, plan, samples

IMAGES = samples(3)


def _exact(model: ModelProto) -> np.ndarray:
    """Run a QDQ model as it is written, without int8 kernels."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    return np.concatenate([session.run(None, {"input": s.image})[0] for s in IMAGES])


def _effect(float_: np.ndarray, found: np.ndarray) -> Effect:
    changed = 100 * (float_.argmax(1) != found.argmax(1)).mean()
    noise = ((float_ - found).astype(float) ** 2).sum()
    return Effect(changed, 10 * np.log10((float_.astype(float) ** 2).sum() / noise))


@pytest.mark.parametrize("target", ["cpu", "npu", "per-tensor"])
def test_all_on_is_the_int8_network_and_all_off_the_float_one(target: str) -> None:
    made = plan(chain("ABC", "B"), IMAGES, target)
    model, units = switchable(made)
    evaluator = Evaluator(model, len(units), IMAGES)
    assert evaluator.measure(()) == Effect(0.0, float("inf"))
    found = evaluator.measure(range(len(units)))
    expected = _effect(logits(made.model, IMAGES), _exact(build(made)))
    assert expected.disagreement > 5
    assert found.disagreement == pytest.approx(expected.disagreement)
    assert found.sqnr == pytest.approx(expected.sqnr, abs=1e-4)


def test_units_know_the_layers_that_quantize_them() -> None:
    _, units = switchable(plan(chain("AB"), IMAGES))
    assert {unit.name: unit.layers for unit in units} == {
        "input": ("A",),
        "weights of A": ("A",),
        # the Relu is merged into A, whose output would get a Q even if the Relu were float
        "A_relu": ("A", "relu_A", "B"),
        "weights of B": ("B",),
        "B_relu": ("B", "relu_B"),
    }


@pytest.mark.parametrize("target", ["cpu", "npu"])
def test_a_unit_loses_its_q_when_its_layers_are_float_and_no_sooner(target: str) -> None:
    made = plan(chain("ABC"), IMAGES, target)
    _, units = switchable(made)
    merged = {"B_sum": "B_relu", "A_sum": "A_relu"}  # a Q before the Relu has its range
    for unit in (u for u in units if u.name in ("A_relu", "B_relu")):

        def quantized(kept: tuple[str, ...]) -> set[str]:
            nodes = build(made, kept).graph.node
            names = {n.input[0] for n in nodes if n.op_type == "QuantizeLinear"}
            return {merged.get(name, name) for name in names}

        assert unit.name not in quantized(unit.layers)
        for layer in unit.layers:
            if not layer.startswith("relu"):  # a merged Relu has no Q of its own
                rest = tuple(other for other in unit.layers if other != layer)
                assert unit.name in quantized(rest)


def test_one_switch_quantizes_one_tensor_only() -> None:
    made = plan(chain("AB"), IMAGES)
    model, units = switchable(made)
    position = [unit.name for unit in units].index("A_relu")
    found = Evaluator(model, len(units), IMAGES).measure([position])

    # independently: quantize the tensor in numpy, and go on from there by hand
    weights = {
        t.name: onnx.numpy_helper.to_array(t)[:, :, 0, 0] for t in made.model.graph.initializer
    }
    images = np.concatenate([s.image for s in IMAGES])
    hidden = np.maximum(np.einsum("oi,nihw->nohw", weights["A.weight"], images), 0)
    scale = hidden.max() / 255
    rounded = np.clip(np.rint(hidden / scale), 0, 255) * scale

    def rest(values: np.ndarray) -> np.ndarray:
        inner = np.maximum(np.einsum("oi,nihw->nohw", weights["B.weight"], values), 0)
        return np.einsum("oi,nihw->nohw", weights["out.weight"], inner)

    expected = _effect(rest(hidden), rest(rounded))
    assert found.disagreement == pytest.approx(expected.disagreement, abs=0.2)
    assert found.sqnr == pytest.approx(expected.sqnr, abs=0.1)


def test_a_weight_rounded_badly_ranks_first_and_needs_its_layer_only() -> None:
    made = plan(chain("ABC"), IMAGES)
    lost = RoundedWeight(
        np.zeros((CHANNELS, CHANNELS, 1, 1), np.int8), np.full(CHANNELS, 0.01, np.float32)
    )
    model, units = switchable(replace(made, weights={"B.weight": lost}))
    worst = rank(units, Evaluator(model, len(units), IMAGES).measure)[0]
    assert (worst.name, worst.layers) == ("weights of B", {"B"})


def test_a_network_that_gives_a_mask_is_measured_on_its_logits() -> None:
    made = plan(chain("AB", "A"), IMAGES)
    masked = ModelProto()
    masked.CopyFrom(made.model)
    graph = masked.graph
    graph.node.append(helper.make_node("ArgMax", ["logits"], ["best"], axis=1, keepdims=0))
    graph.node.append(helper.make_node("Cast", ["best"], ["mask"], to=TensorProto.UINT8))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("mask", TensorProto.UINT8, (1, 24, 24)))
    effects = []
    for each in (made, replace(made, model=masked)):
        model, units = switchable(each)
        evaluator = Evaluator(model, len(units), IMAGES)
        effects.append(evaluator.measure(range(len(units))))
    assert effects[0] == effects[1]
