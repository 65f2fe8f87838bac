"""What the own networks are built of."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = 21
Layer = Callable[[], nn.Module]
PerChannel = Callable[[int], nn.Module]
Between = Callable[[int, int], nn.Module]
"""Builds a layer from its input and output channels."""


def conv(
    inputs: int,
    outputs: int,
    kernel: int = 3,
    *,
    stride: int = 1,
    groups: int = 1,
    dilation: int = 1,
    norm: PerChannel = nn.BatchNorm2d,
    act: Layer = nn.ReLU,
) -> nn.Sequential:
    """Convolution, normalisation, activation."""
    padding = dilation * (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False),
        norm(outputs),
        act(),
    )


def resized(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear, to the height and width of `like`."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


class Residual(nn.Module):
    """The input plus what a branch makes of it."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)
