"""Corrections of biases."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from export.onnx_graph.graph import consumers, initializers

Shifts = Mapping[str, NDArray[np.float64]]
"""What to add to the bias of a convolution, (output channels,), by layer name."""


def with_shifted_biases(model: ModelProto, shifts: Shifts) -> ModelProto:
    """Return a copy with `shifts` added to biases; a convolution without one gets one.

    A bias that is computed stays as it is, and so does one that other layers read too: there
    the sum gets a name of its own.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    constants = initializers(copy.graph)
    readers = consumers(copy.graph)
    for node in copy.graph.node:
        if node.name not in shifts:
            continue
        total = shifts[node.name].astype(np.float32)
        name = f"{node.name}::bias"
        if len(node.input) > 2 and node.input[2]:
            bias = constants.get(node.input[2])
            if bias is None:
                continue
            total = numpy_helper.to_array(bias) + total
            if len(readers[bias.name]) == 1:
                bias.CopyFrom(numpy_helper.from_array(total, bias.name))
                continue
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
