import numpy as np
import pytest
from onnx import ModelProto, helper, numpy_helper

from quantize.fp16.batch_norms import fold_statistics
from tests.export.build import computed, constant, image, model, value


def _network(epsilon: float | None = None, shared: bool = False) -> ModelProto:
    rng = np.random.default_rng(0)
    given = {} if epsilon is None else {"epsilon": epsilon}
    names = ["x", "scale", "bias", "mean", "scale" if shared else "variance"]
    return model(
        [helper.make_node("BatchNormalization", names, ["y"], name="norm", **given)],
        [value("x", (1, 4, 5, 5))],
        [value("y", (1, 4, 5, 5))],
        [
            constant("scale", rng.uniform(0.5, 2, 4).astype(np.float32)),
            constant("bias", rng.normal(size=4).astype(np.float32)),
            constant("mean", 3 * rng.normal(size=4).astype(np.float32)),
            constant("variance", np.array([1e-6, 0.3, 2, 900], np.float32)),
        ],
    )


def _constants(network: ModelProto) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in network.graph.initializer}


def _effect(constants: dict[str, np.ndarray], epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """The factor and the summand that a channel's values see."""
    scale, bias, mean, variance = (
        constants[name].astype(np.float64) for name in ("scale", "bias", "mean", "variance")
    )
    factor = scale / np.sqrt(variance + epsilon)
    return factor, bias - mean * factor


@pytest.mark.parametrize("epsilon", [None, 1e-3])
def test_float16_holds_the_new_constants_and_their_effect_stays(epsilon: float | None) -> None:
    network, x = _network(epsilon), image(1, 4, 5, 5)
    folded = fold_statistics(network)
    constants = _constants(folded)
    for array in constants.values():
        np.testing.assert_array_equal(array.astype(np.float16).astype(np.float32), array)
    before = _effect(_constants(network), epsilon or 1e-5)
    for found, expected in zip(_effect(constants, epsilon or 1e-5), before, strict=True):
        # to nearest, float16 is off by up to 2^-12 of each of four constants
        np.testing.assert_allclose(found, expected, rtol=2**-16)
    (expected,), (found,) = computed(network, x=x), computed(folded, x=x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_variance_that_float16_flushes_to_zero_does_no_harm() -> None:
    network = _network(1e-9)
    variance = next(t for t in network.graph.initializer if t.name == "variance")
    variance.CopyFrom(constant("variance", np.full(4, 1e-9, np.float32)))
    assert np.float16(1e-9) == 0  # with epsilon 1e-9 the factor would be off by sqrt(2)
    found, _ = _effect(_constants(fold_statistics(network)), 1e-9)
    expected, _ = _effect(_constants(network), 1e-9)
    np.testing.assert_allclose(found, expected, rtol=2**-16)


def test_constants_beyond_float16_stay() -> None:
    network = _network()
    scale = next(t for t in network.graph.initializer if t.name == "scale")
    scale.CopyFrom(constant("scale", np.full(4, 1e5, np.float32)))
    assert fold_statistics(network) == network


def test_shared_constants_stay() -> None:
    network = _network(shared=True)
    assert fold_statistics(network) == network
