"""MACs against PyTorch's own counter of floating point operations, and against loops."""

from math import prod

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from export.networks.torch_cost import torch_cost
from export.onnx_graph.onnx_cost import graph_cost
from tests.export.build import model, value, weight
from tests.numerical.sizes import cases

SIZE = (9, 12)


class Attention(nn.Module):
    """Tokens of pixels; `how` is what computes the attention."""

    def __init__(self, how: str, width: int, heads: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(3, 3 * width)
        self.how, self.heads = how, heads
        self.module = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x.flatten(2).transpose(1, 2)).chunk(3, -1)
        if self.how == "module":
            found: Tensor = self.module(q, k[:, ::3], v[:, ::3], need_weights=False)[0]
            return found
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        k, v = k[:, :, ::2], v[:, :, ::2]
        if self.how == "scaled":
            return F.scaled_dot_product_attention(q, k, v)
        if self.how == "matmul":
            return (q @ k.transpose(-1, -2)).softmax(-1) @ v
        q, k, v = (t.flatten(0, 1) for t in (q, k, v))
        bias = q.new_zeros(1, 1, 1).expand(len(q), q.shape[1], k.shape[1])
        return torch.baddbmm(bias, q, k.transpose(1, 2)).softmax(-1) @ v


def published(network: nn.Module) -> int:
    """PyTorch's count; it takes a multiplication and an addition for two operations."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.eval()(torch.zeros(1, 3, *SIZE))
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("how", ["scaled", "matmul", "baddbmm", "module"])
@pytest.mark.parametrize(("width", "heads"), [(8, 1), (12, 3)])
def test_attention_costs_what_torch_counts(how: str, width: int, heads: int) -> None:
    network = Attention(how, width, heads)
    cost = torch_cost(network, SIZE)
    assert cost.macs == published(network)
    assert not any("attention" in name or "bmm" in name for name in cost.uncounted)


def test_attention_by_hand() -> None:
    cost = torch_cost(Attention("scaled", 8, 2), SIZE)
    # 108 pixels to 3 x 8 values; 108 queries meet 54 keys in 8 values, and these 54 x 8 values
    assert cost.macs == 108 * 3 * 24 + 2 * 108 * 54 * 8


def test_attention_costs_the_same_on_the_meta_device() -> None:
    with torch.device("meta"):
        network = Attention("scaled", 8, 2)
    assert torch_cost(network, SIZE).macs == torch_cost(Attention("scaled", 8, 2), SIZE).macs


def convolution(seed: int) -> tuple[nn.Module, str]:
    """A random convolution of three channels or a multiple, and its ONNX operator."""
    rng = np.random.default_rng(seed)

    def pick(*choices: int) -> int:
        return int(rng.choice(choices))

    groups, kernel, stride = pick(1, 3), (pick(1, 2, 3, 5), pick(1, 3)), (pick(1, 2, 3), pick(1, 2))
    kind = nn.ConvTranspose2d if seed % 2 else nn.Conv2d
    made = kind(
        3, groups * pick(1, 2, 5), kernel, stride=stride, groups=groups,
        padding=(pick(0, 1) if kernel[0] > 2 else 0, 0), dilation=pick(1, 2), bias=seed % 3 > 0,
    )  # fmt: skip
    return made, "ConvTranspose" if seed % 2 else "Conv"


@pytest.mark.parametrize("seed", cases(24))
def test_convolutions_cost_what_torch_counts_in_both_formats(seed: int) -> None:
    layer, operator = convolution(seed)
    expected = published(layer)
    assert torch_cost(layer, SIZE).macs == expected
    node = helper.make_node(
        operator, ["x", "w", "b"], ["y"], name="c", strides=layer.stride, dilations=layer.dilation,
        pads=[*layer.padding] * 2, group=layer.groups,
    )  # fmt: skip
    shape = tuple(layer.weight.shape)
    graph = model([node], [value("x", (1, 3, *SIZE))], [],
                  [weight("w", *shape), weight("b", layer.out_channels)])  # fmt: skip
    graph.graph.output.append(value("y", layer(torch.zeros(1, 3, *SIZE)).shape))
    onnx.checker.check_model(graph, full_check=True)
    assert graph_cost(graph).macs == expected


@pytest.mark.parametrize("seed", cases(20))
def test_products_cost_what_multiplying_takes(seed: int) -> None:
    """MatMul as numpy broadcasts it: one multiplication per result and inner index."""
    rng = np.random.default_rng(seed)
    n, inner, m = (int(d) for d in rng.integers(1, 6, 3))
    batch = [int(d) for d in rng.integers(1, 4, rng.integers(0, 3))]
    left = [*batch, n, inner][-1 if seed % 5 == 0 else None :]
    right = [inner, m] if seed % 3 else [inner]
    out = (np.zeros(left) @ np.zeros(right)).shape
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="m")
    graph = model([node], [value("x", left)], [value("y", out)], [weight("w", *right)])
    assert graph_cost(graph).macs == prod(out) * inner
