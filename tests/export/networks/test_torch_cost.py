import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.torch_cost import torch_cost

SIZE = (10, 14)  # 140 pixels


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(7))

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2)
        return tokens @ tokens.transpose(1, 2)


class _PerPixel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 5, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x.permute(0, 2, 3, 1))
        return out


@pytest.mark.parametrize(
    ("module", "params", "macs"),
    [
        # 140 positions x 8 kernels of 3x3x3
        (nn.Conv2d(3, 8, 3, padding=1), 8 * 27 + 8, 140 * 8 * 27),
        # a single result per position
        (nn.Conv2d(3, 1, 1), 4, 140 * 3),
        # 5 x 7 positions
        (nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), 8 * 27, 35 * 8 * 27),
        # each of 6 outputs reads one of the 3 inputs
        (nn.Conv2d(3, 6, 3, padding=1, groups=3), 6 * 9 + 6, 140 * 6 * 9),
        # every input pixel goes to 2x2 outputs of 4 channels
        (nn.ConvTranspose2d(3, 4, 2, stride=2), 3 * 4 * 4 + 4, 140 * 3 * 4 * 4),
        (nn.ConvTranspose2d(3, 6, 2, stride=2, groups=3), 3 * 2 * 4 + 6, 140 * 3 * 2 * 4),
        (nn.Sequential(nn.Flatten(), nn.Linear(420, 5)), 420 * 5 + 5, 420 * 5),
        (_PerPixel(), 15, 140 * 3 * 5),
        # (3 x 140) times (140 x 3)
        (_Attention(), 7, 3 * 140 * 3),
    ],
)
def test_macs_by_hand(module: nn.Module, params: int, macs: int) -> None:
    cost = torch_cost(module, SIZE)

    assert (cost.params, cost.macs, cost.thop) == (params, macs, macs)
    assert cost.uncounted == {}


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        (nn.BatchNorm2d(3), 4 * 3 * 140),
        # 3 output values, each the mean of a window of 140
        (nn.AdaptiveAvgPool2d(1), 3 * (140 + 1)),
    ],
)
def test_what_only_thop_counts(module: nn.Module, extra: int) -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), module)
    macs = 140 * 9

    cost = torch_cost(network, SIZE)

    assert cost.macs == macs
    assert cost.thop == macs + extra
    assert cost.flops_published == pytest.approx((macs + extra) / 4.5e8)


def test_operators_without_a_rule_are_reported_with_their_number_of_calls() -> None:
    class Several(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = F.adaptive_avg_pool2d(torch.relu(torch.relu(self.conv(x))), 2)
            return F.interpolate(x, size=(8, 8), mode="bilinear", align_corners=False)

    cost = torch_cost(Several(), SIZE)

    assert cost.macs == 140 * 9
    assert cost.uncounted == {"relu": 2, "_adaptive_avg_pool2d": 1, "upsample_bilinear2d": 1}


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_every_batch_norm_counts_for_thop(device: str) -> None:
    with torch.device(device):
        network = nn.Sequential(nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5), nn.BatchNorm2d(5))
    cost = torch_cost(network, SIZE)
    assert (cost.macs, cost.thop) == (140 * 15, 140 * 15 + 2 * 4 * 5 * 140)
    assert cost.uncounted == {}


def test_operators_get_all_that_the_network_gives_them() -> None:
    class Named(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            total = x.sum(1, dtype=torch.float64)
            assert total.dtype == torch.float64
            return total.float().relu_()

    assert torch_cost(Named(), SIZE).uncounted == {"sum": 1, "relu": 1}


def test_counting_leaves_the_network_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Dropout(0.5)).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}

    torch_cost(network, SIZE)

    assert network.training
    assert all(module.training for module in network)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_meta_and_real_networks_cost_the_same() -> None:
    with torch.device("meta"):
        meta = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1))
    real = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1))

    assert torch_cost(meta, SIZE) == torch_cost(real, SIZE)


def test_a_network_without_parameters_costs_nothing() -> None:
    assert torch_cost(nn.Identity(), SIZE).macs == 0
