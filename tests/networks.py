"""Small networks for tests, used as `tests.networks:<name>`."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = 21


class Tiny(nn.Module):
    """A miniature DeepLab: residual, depthwise, image pooling, concat, bilinear resizes."""

    def __init__(self, stride: int = 2) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=stride, padding=1), nn.BatchNorm2d(8), nn.ReLU6()
        )
        self.block = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU6(), nn.Conv2d(8, 8, 1)
        )
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.ReLU())
        self.head = nn.Conv2d(16, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.stem(x)
        features = features + self.block(features)
        pooled = F.interpolate(
            self.pool(features), size=features.shape[-2:], mode="bilinear", align_corners=False
        )
        logits = self.head(torch.cat([features, pooled], 1))
        return F.interpolate(logits, size=x.shape[-2:], mode="bilinear", align_corners=False)


def tiny(stride: int = 2) -> nn.Module:
    """A Tiny whose weights are seeded and whose class decisions are clear-cut."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Tiny(stride)
        with torch.no_grad():
            network.head.weight.mul_(8)
    return network.eval()


def coarse() -> nn.Module:
    """A `tiny` whose logits are four times smaller than the image."""
    return tiny(stride=4)


class Overflowing(nn.Module):
    """An intermediate reaches 9e4, beyond float16; the result itself is of order 1."""

    def __init__(self) -> None:
        super().__init__()
        self.grow = nn.Conv2d(3, 4, 1, bias=False)
        self.shrink = nn.Conv2d(4, CLASSES, 1, bias=False)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            self.grow.weight.uniform_(1.2e4, 1.3e4)
            self.shrink.weight.uniform_(-1e-4, 1e-4)

    def forward(self, x: Tensor) -> Tensor:
        # inputs are clamped to [1, 2.3], so the intermediate lies between 3.6e4 and 9e4
        return self.shrink(torch.relu(self.grow(x.clamp(1.0, 2.3))))


def overflowing() -> nn.Module:
    """See `Overflowing`."""
    return Overflowing().eval()
