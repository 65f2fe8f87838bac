"""Put Q/DQ pairs into a float graph, through onnxruntime's quantizer."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import ModelProto, numpy_helper
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from export.graph import initializers
from quantize.ranges import Range
from quantize.targets import Target

if TYPE_CHECKING:
    from quantize.plan import RoundedWeight


def insert_qdq(
    model: ModelProto,
    layers: Sequence[str],
    target: Target,
    ranges: Mapping[str, Range],
    weights: Mapping[str, "RoundedWeight"],
) -> ModelProto:
    """Return a copy of `model` with Q/DQ pairs around `layers` as `target` wants them.

    Weights in `weights` are quantized to exactly their integers, others to the nearest.
    """
    data: dict[str, TensorData | tuple[Any, ...]] = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high))
        for name, (low, high) in ranges.items()
    }
    copy = ModelProto()
    copy.CopyFrom(model)
    constants = initializers(copy.graph)
    for name, rounded in weights.items():
        scale = rounded.scale.reshape(-1, *[1] * (rounded.integers.ndim - 1))
        on_grid = (rounded.integers * scale).astype(np.float32)
        constants[name].CopyFrom(numpy_helper.from_array(on_grid, name))
    quantizer = QDQQuantizer(
        copy,
        target.per_channel,
        False,
        target.weight,
        target.activation,
        TensorsData(CalibrationMethod.MinMax, data),
        list(layers),
        [],
        list(target.operators),
        dict(target.options) | {"TensorQuantOverrides": _overrides(weights, target)},
    )
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        quantizer.quantize_model()
    finally:
        logging.disable(disabled)
    return quantizer.model.model


def _overrides(
    weights: Mapping[str, "RoundedWeight"], target: Target
) -> dict[str, list[dict[str, Any]]]:
    """Fix the scales of `weights`, so that onnxruntime finds exactly their integers again."""
    zero = np.int8(0)
    overrides = {}
    for name, rounded in weights.items():
        entries: list[dict[str, Any]] = [
            {"quant_type": target.weight, "scale": np.float32(scale), "zero_point": zero}
            for scale in rounded.scale
        ]
        if target.per_channel:
            entries[0]["axis"] = 0
        overrides[name] = entries
    return overrides
