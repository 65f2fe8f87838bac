"""fp32 to fp16, with a guard against what float16 cannot hold."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import ModelProto
from onnxruntime.transformers.float16 import convert_float_to_float16

from export.artifact.facts import EmulationFacts, Fp16Facts, GuardedFacts
from export.artifact.sample import Sample
from export.onnx_graph.graph import float_tensors, normalise
from export.ort.fp16_emulation import emulate_fp16
from export.ort.parity import Outputs, measure_parity
from export.ort.sessions import named_outputs, open_session
from quantize.fp16.casts import branching_layers, tidy_casts, widen_captures
from quantize.fp16.observation import Observation
from quantize.rounding.half import round_to_half

_CHECK_IMAGES = 2
REWRITES = ("repair-dead-channels",)
"""float16 cannot hold such weights either; what int8 measures is then this network too."""


def convert(
    observation: Observation, samples: Sequence[Sample], *, io: str, guard: bool
) -> tuple[ModelProto, Fp16Facts]:
    """Return the float16 model and the facts its manifest records, but for its rewrites.

    `io` "fp32" keeps float32 inputs and outputs behind casts, "fp16" does not. With `guard`
    and samples, layers whose values come within a factor of 4 of 65504 stay in fp32. Samples
    also tell how to round weights (`quantize.rounding.half`); without, each is rounded to nearest.
    """
    model, gains = observation.model, dict[str, float]()
    kept: list[GuardedFacts] = list(observation.too_large) if guard else []
    if len(samples):
        kept += observation.out_of_range() if guard else []
        model, gains = _round_weights(observation, kept)
    layers = {entry["layer"] for entry in kept}
    blocked = sorted({*observation.by_request, *layers, *branching_layers(observation.model)})
    converted = convert_float_to_float16(
        model, keep_io_types=(io == "fp32"), node_block_list=blocked, disable_shape_infer=True
    )
    widen_captures(converted, set(float_tensors(observation.model)))
    tidy_casts(converted)
    half = normalise(converted)
    # what the check does not need, before it opens two sessions
    observation.moments.clear()
    del model, converted
    onnx.checker.check_model(half, full_check=True)
    return half, {
        "range_checked": bool(guard and len(samples)),
        "kept_float": blocked,
        "guarded": kept,
        "rounding_gain_db": {layer: round(gain, 2) for layer, gain in sorted(gains.items())},
        "emulated": _emulated_check(observation.model, half, samples) if len(samples) else None,
    }


def _round_weights(
    observation: Observation, kept: Sequence[GuardedFacts]
) -> tuple[ModelProto, dict[str, float]]:
    """Round the weights of the layers that become float16; see `round_to_half`."""
    stay = {entry["layer"] for entry in kept}
    moments = {layer: seen for layer, seen in observation.moments.items() if layer not in stay}
    return round_to_half(observation.model, moments)


def _emulated_check(
    model: ModelProto, half: ModelProto, samples: Sequence[Sample]
) -> EmulationFacts:
    """Compare fp32 with float16 rounding on the first calibration images."""
    reference = open_session(model.SerializeToString())
    emulated = open_session(emulate_fp16(half).SerializeToString())
    batch = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1
    dtype = np.float16 if "float16" in emulated.get_inputs()[0].type else np.float32
    pairs: list[tuple[Outputs, Outputs]] = []
    finite = True
    for index in range(min(_CHECK_IMAGES, len(samples))):
        image = np.repeat(samples[index].image, batch, axis=0)
        left = named_outputs(reference, image)
        right = named_outputs(emulated, image.astype(dtype))
        finite &= all(bool(np.isfinite(array).all()) for array in right.values())
        pairs.append((left, right))
    return {"finite": finite, "argmax_agreement": measure_parity(pairs).argmax_agreement}
