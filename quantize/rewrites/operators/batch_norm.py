"""Rewrite: batch normalization that no convolution could take in, as a convolution of its own.

Behind a Concat or an Add of several readers it stays in the graph, 20 times in ESPNetv2, and
hardware without a float unit has no operator for it. A factor and a summand per channel are what a
convolution of one pixel and one channel computes.
"""

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from export.onnx_graph.graph import attributes, float_tensors, initializers
from quantize.rewrites.change import Rewritten, Seen

_DEFAULT_EPSILON = 1e-5


def convolve_batch_norm(model: ModelProto, seen: Seen) -> Rewritten:
    """Apply the rewrite to each BatchNormalization of an image by constants; `seen` is not used."""
    changed = ModelProto()
    changed.CopyFrom(model)
    graph, shapes, constants = changed.graph, float_tensors(changed), initializers(changed.graph)
    done = 0
    for node in graph.node:
        if node.op_type != "BatchNormalization" or len(shapes.get(node.input[0], ())) != 4:
            continue
        if not set(node.input[1:]) <= constants.keys():
            continue
        factor, summand = _factor_and_summand(node, constants)
        names = [f"{node.name}/factor", f"{node.name}/summand"]
        values = [factor.reshape(-1, 1, 1, 1), summand]
        for name, value in zip(names, values, strict=True):
            graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
        conv = helper.make_node(
            "Conv",
            [node.input[0], *names],
            [node.output[0]],
            name=node.name,
            group=len(factor),
            kernel_shape=[1, 1],
        )
        node.CopyFrom(conv)
        done += 1
    return Rewritten(changed, f"{done} BatchNormalization")


def _factor_and_summand(
    node: NodeProto, constants: dict[str, TensorProto]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what y = factor x + summand takes, (channels,) each."""
    scale, bias, mean, variance = (
        numpy_helper.to_array(constants[name]).astype(np.float64) for name in node.input[1:5]
    )
    epsilon = attributes(node).get("epsilon", _DEFAULT_EPSILON)
    factor = scale / np.sqrt(variance + epsilon)
    return factor, bias - mean * factor
