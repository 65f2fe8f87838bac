"""Layers that add up products, written as products of two matrices."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from onnx import NodeProto
from torch import Tensor
from torch.nn import functional

from export.onnx_graph.graph import attributes

Dot = Callable[[Tensor, Tensor], Tensor]
"""Multiplies (M, K) by (K, P), float32 in and out."""


def compute(node: NodeProto, inputs: list[Tensor], dot: Dot) -> Tensor:
    """Return what a layer of `LAYERS` gives of float32 inputs, with `dot` for its products.

    A bias is added behind them and its sum rounded to float16.
    """
    return LAYERS[node.op_type](attributes(node), inputs, dot)


def _conv(given: Mapping[str, Any], inputs: list[Tensor], dot: Dot) -> Tensor:
    image, weight, *bias = inputs
    kernel = weight.shape[2:]
    strides, dilations = given.get("strides", [1, 1]), given.get("dilations", [1, 1])
    padded = functional.pad(image, _pads(given, image, kernel, strides, dilations))
    sides = [
        (size - dilation * (side - 1) - 1) // stride + 1
        for size, side, stride, dilation in zip(
            padded.shape[2:], kernel, strides, dilations, strict=True
        )
    ]
    groups = given.get("group", 1)
    unfolded = [
        functional.unfold(part, kernel, dilation=dilations, stride=strides)
        for part in padded.chunk(groups, 1)
    ]
    rows = weight.flatten(1).chunk(groups)
    images = [
        torch.cat([dot(row, columns[i]) for row, columns in zip(rows, unfolded, strict=True)])
        for i in range(len(image))
    ]
    result = torch.stack(images).reshape(len(image), -1, *sides)
    return _rounded(result + bias[0].reshape(1, -1, 1, 1)) if bias else result


def _pads(
    given: Mapping[str, Any],
    image: Tensor,
    kernel: torch.Size,
    strides: list[int],
    dilations: list[int],
) -> list[int]:
    """Return left, right, top, bottom, also where the runtime has to work them out."""
    automatic = given.get("auto_pad", b"NOTSET")
    if not automatic.startswith(b"SAME"):
        top, left, bottom, right = given.get("pads", [0, 0, 0, 0])
        return [left, right, top, bottom]
    pads: list[int] = []
    for size, side, stride, dilation in zip(
        image.shape[2:], kernel, strides, dilations, strict=True
    ):
        missing = max((-(-size // stride) - 1) * stride + dilation * (side - 1) + 1 - size, 0)
        less, more = missing // 2, missing - missing // 2
        pads = [*((less, more) if automatic == b"SAME_UPPER" else (more, less)), *pads]
    return pads


def _gemm(given: Mapping[str, Any], inputs: list[Tensor], dot: Dot) -> Tensor:
    left, right, *bias = inputs
    rows = left.T if given.get("transA") else left
    columns = right.T if given.get("transB") else right
    result = _rounded(dot(rows, columns) * given.get("alpha", 1.0))
    return _rounded(result + given.get("beta", 1.0) * bias[0]) if bias else result


def _matmul(given: Mapping[str, Any], inputs: list[Tensor], dot: Dot) -> Tensor:
    left, right = inputs
    batch = torch.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    rows = left.expand(*batch, *left.shape[-2:]).reshape(-1, *left.shape[-2:])
    columns = right.expand(*batch, *right.shape[-2:]).reshape(-1, *right.shape[-2:])
    products = [dot(one, other) for one, other in zip(rows, columns, strict=True)]
    return torch.stack(products).reshape(*batch, left.shape[-2], right.shape[-1])


def _rounded(values: Tensor) -> Tensor:
    return values.half().float()


LAYERS: dict[str, Callable[[Mapping[str, Any], list[Tensor], Dot], Tensor]] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
}
