"""Corrections of biases."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from export.graph import initializers

Shifts = Mapping[str, NDArray[np.float64]]
"""What to add to the bias of a convolution, (output channels,), by layer name."""


def with_shifted_biases(model: ModelProto, shifts: Shifts) -> ModelProto:
    """Return a copy with `shifts` added to biases; a convolution without one gets one.

    A bias that is computed stays as it is.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    constants = initializers(copy.graph)
    for node in copy.graph.node:
        if node.name not in shifts:
            continue
        total = shifts[node.name].astype(np.float32)
        if len(node.input) > 2 and node.input[2]:
            if node.input[2] not in constants:
                continue
            total = numpy_helper.to_array(constants[node.input[2]]) + total
        # another layer may read the same bias, so the sum gets a name of its own
        name = f"{node.name}::bias"
        copy.graph.initializer.append(numpy_helper.from_array(total, name))
        node.input[:] = [*node.input[:2], name]
    return copy


def summed(*parts: Shifts) -> dict[str, NDArray[np.float64]]:
    """Add up corrections of the same layers."""
    total: dict[str, NDArray[np.float64]] = {}
    for part in parts:
        for layer, shift in part.items():
            total[layer] = total[layer] + shift if layer in total else shift
    return total
