"""Rewrite: batch normalization that no convolution could take in, as a convolution of its own.

Behind a Concat or an Add of several readers it stays in the graph, 20 times in ESPNetv2, and
hardware without a float unit has no operator for it. A factor and a summand per channel are what a
convolution of one pixel and one channel computes.
"""

import numpy as np
from onnx import ModelProto, helper, numpy_helper

from export.onnx_graph.batch_norm import epsilon_of, factor_and_summand
from export.onnx_graph.graph import attributes, float_tensors, initializers
from quantize.rewrites.change import Rewritten, Seen


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
        values = (numpy_helper.to_array(constants[name]) for name in node.input[1:5])
        scale, bias, mean, variance = (value.astype(np.float64) for value in values)
        epsilon = epsilon_of(attributes(node))
        factor, summand = factor_and_summand(scale, bias, mean, variance, epsilon)
        names = [f"{node.name}/factor", f"{node.name}/summand"]
        for name, value in zip(names, (factor.reshape(-1, 1, 1, 1), summand), strict=True):
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
