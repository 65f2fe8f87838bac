"""Round convolution weights to float16 so that the layer's output is kept.

Rounding each weight to the nearest float16 is off by up to 2^-12 of it. That is little, but with
inputs of the same sign the errors of a channel add up, in early layers above all, and every layer
behind them sees a shifted input. Calibration images tell the shift, which goes into the bias, and
the covariance by which the errors can compensate one another.
"""

from collections.abc import Mapping

import numpy as np
from onnx import ModelProto, numpy_helper

from export.onnx_graph.graph import initializers
from quantize.graph.biases import with_shifted_biases
from quantize.rounding.gptq import compensated
from quantize.rounding.moments import InputMoments
from quantize.rounding.settling import Floats, settle


def round_to_half(
    model: ModelProto, moments: Mapping[str, InputMoments]
) -> tuple[ModelProto, dict[str, float]]:
    """Return a float32 model whose convolutions in `moments` have weights that float16 holds.

    And, by layer, the gain in dB over rounding to nearest. The caller sees to it that no weight
    is beyond 65504.
    """
    rounded = ModelProto()
    rounded.CopyFrom(model)
    constants = initializers(rounded.graph)
    shifts, gains = {}, {}
    for node in rounded.graph.node:
        if node.name in moments:
            tensor = constants[node.input[1]]
            settled = settle(numpy_helper.to_array(tensor), moments[node.name], _choose)
            values = settled.values.astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
            shifts[node.name], gains[node.name] = settled.shift, settled.gain
    return with_shifted_biases(rounded, shifts), gains


def _choose(weight: Floats, covariance: Floats, part: slice) -> tuple[Floats, Floats]:
    return compensated(weight, covariance, _nearest), _nearest(weight)


def _nearest(values: Floats) -> Floats:
    return values.astype(np.float16).astype(np.float64)
