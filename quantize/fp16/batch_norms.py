"""Batch normalization with constants that float16 holds well."""

import numpy as np
from onnx import ModelProto, numpy_helper

from export.onnx_graph.batch_norm import Floats, epsilon_of, factor_and_summand
from export.onnx_graph.graph import attributes, consumers, initializers

_LARGEST = float(np.finfo(np.float16).max)


def fold_statistics(model: ModelProto) -> ModelProto:
    """Return a copy whose BatchNormalization nodes keep their effect in float16 constants.

    y = (x - mean) / sqrt(variance + epsilon) * scale + bias is as well a factor and a summand.
    Rounding four constants shifts a channel everywhere, and small variances vanish. Here scale
    and variance, between 1 and 2, are chosen together so that the factor is hit to about 2^-18,
    and the mean takes what rounding leaves of the summand. Nodes whose constants are computed,
    read by other nodes too, or beyond float16, stay.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    constants, readers = initializers(copy.graph), consumers(copy.graph)
    for node in copy.graph.node:
        names = list(node.input[1:5])
        own = all(name in constants and len(readers[name]) == 1 for name in names)
        if node.op_type != "BatchNormalization" or not own or len(set(names)) < len(names):
            continue
        scale, bias, mean, variance = (
            numpy_helper.to_array(constants[name]).astype(np.float64) for name in names
        )
        epsilon = epsilon_of(attributes(node))
        factor, summand = factor_and_summand(scale, bias, mean, variance, epsilon)
        if max(np.abs(2 * factor).max(), np.abs(summand).max()) > _LARGEST:
            continue
        folded = _folded(factor, summand, epsilon)
        for name, value in zip(names, folded, strict=True):
            constants[name].CopyFrom(numpy_helper.from_array(value.astype(np.float32), name))
    return copy


def _folded(factor: Floats, summand: Floats, epsilon: float) -> tuple[Floats, ...]:
    """Return scale, bias, mean and variance that float16 holds."""
    variances = np.linspace(1, 2, 1025)  # the float16 numbers from 1 to 2
    roots = np.sqrt(variances + epsilon)
    scales = _half(factor[:, None] * roots)
    best = np.abs(scales / roots - factor[:, None]).argmin(1)
    reached = scales[np.arange(len(factor)), best] / roots[best]
    bias = _half(summand)
    mean = np.divide(bias - summand, reached, out=np.zeros_like(bias), where=reached != 0)
    return reached * roots[best], bias, _half(mean), variances[best]


def _half(values: Floats) -> Floats:
    return values.astype(np.float16).astype(np.float64)
