"""Own convolutional networks, each around a construct that quantizers stumble over; torch alone.

Every function builds one with fresh weights, 21 classes, for sides that are multiples of 32.
"""

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.networks.layers import (
    CLASSES,
    Between,
    Layer,
    PerChannel,
    Residual,
    conv,
    resized,
)


def _bilinear(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(inputs, outputs, 3, padding=1)
    )


class UNet(nn.Module):
    """Encoder and decoder with skips; how it goes up, normalises and activates varies."""

    def __init__(
        self,
        up: Between = _bilinear,
        norm: PerChannel = nn.BatchNorm2d,
        act: Layer = nn.ReLU,
        widths: tuple[int, ...] = (16, 32, 64, 96),
    ) -> None:
        super().__init__()

        def stage(inputs: int, outputs: int) -> nn.Module:
            first = conv(inputs, outputs, norm=norm, act=act)
            return nn.Sequential(first, conv(outputs, outputs, norm=norm, act=act))

        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(stage(*pair) for pair in [(3, widths[0]), *pairs])
        self.up = nn.ModuleList(up(wide, narrow) for narrow, wide in reversed(pairs))
        self.join = nn.ModuleList(stage(2 * narrow, narrow) for narrow, _ in reversed(pairs))
        self.head = nn.Conv2d(widths[0], CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for stage in self.down:
            x = stage(F.max_pool2d(x, 2) if skips else x)
            skips.append(x)
        skips.pop()
        for up, join in zip(self.up, self.join, strict=True):
            x = join(torch.cat([up(x), skips.pop()], 1))
        return self.head(x)


def unet_transposed_k2() -> nn.Module:
    """ConvTranspose whose kernels do not overlap."""
    return UNet(lambda i, o: nn.ConvTranspose2d(i, o, 2, stride=2))


def unet_transposed_k4() -> nn.Module:
    """ConvTranspose as in LinkNet and GANs: kernel 4, stride 2, padding 1."""
    return UNet(lambda i, o: nn.ConvTranspose2d(i, o, 4, stride=2, padding=1))


def unet_transposed_k3() -> nn.Module:
    """ConvTranspose as in ENet and ERFNet: kernel 3, stride 2, padding 1, output padding 1."""
    return UNet(lambda i, o: nn.ConvTranspose2d(i, o, 3, stride=2, padding=1, output_padding=1))


def unet_pixel_shuffle() -> nn.Module:
    """A convolution to four times the channels, which become pixels."""
    return UNet(lambda i, o: nn.Sequential(nn.Conv2d(i, 4 * o, 3, padding=1), nn.PixelShuffle(2)))


def unet_prelu() -> nn.Module:
    """A slope of each layer's own below 0."""
    return UNet(act=nn.PReLU)


def unet_leaky_instance_norm() -> nn.Module:
    """InstanceNorm and LeakyReLU, as nnU-Net."""
    return UNet(norm=partial(nn.InstanceNorm2d, affine=True), act=nn.LeakyReLU)


def unet_group_norm() -> nn.Module:
    """GroupNorm, for training with small batches."""
    return UNet(norm=partial(nn.GroupNorm, 8))


class Gated(nn.Module):
    """Squeeze and excitation: every channel times what the mean of all says."""

    def __init__(self, channels: int, gate: Layer) -> None:
        super().__init__()
        narrow = channels // 4
        self.weights = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, narrow, 1),
            nn.ReLU(),
            nn.Conv2d(narrow, channels, 1),
            gate(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weights(x)


def _inverted(
    inputs: int, outputs: int, kernel: int, stride: int, act: Layer, gate: Layer
) -> nn.Module:
    wide = 4 * inputs
    branch = nn.Sequential(
        conv(inputs, wide, 1, act=act),
        conv(wide, wide, kernel, stride=stride, groups=wide, act=act),
        Gated(wide, gate),
        conv(wide, outputs, 1, act=nn.Identity),
    )
    return Residual(branch) if (inputs, stride) == (outputs, 1) else branch


class Mobile(nn.Module):
    """Inverted residuals with squeeze and excitation; the head joins strides 8 and 16."""

    def __init__(self, act: Layer, gate: Layer) -> None:
        super().__init__()
        self.low = nn.Sequential(
            conv(3, 16, stride=2, act=act),
            _inverted(16, 24, 3, 2, act, gate),
            _inverted(24, 40, 5, 2, act, gate),
            _inverted(40, 40, 5, 1, act, gate),
        )
        self.high = nn.Sequential(
            _inverted(40, 80, 3, 2, act, gate),
            _inverted(80, 80, 3, 1, act, gate),
            conv(80, 128, 1, act=act),
        )
        self.join = conv(168, 96, act=act)
        self.head = nn.Conv2d(96, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        low = self.low(x)
        both = torch.cat([low, resized(self.high(low), low)], 1)
        return resized(self.head(self.join(both)), x)


def mobile_hard_swish() -> nn.Module:
    """HardSwish and HardSigmoid, as MobileNetV3."""
    return Mobile(nn.Hardswish, nn.Hardsigmoid)


def mobile_silu() -> nn.Module:
    """SiLU and sigmoid, as EfficientNet."""
    return Mobile(nn.SiLU, nn.Sigmoid)


class Pyramid(nn.Module):
    """ESPNetv2's unit: grouped 1x1, depthwise with dilations 1 to 4, added up and joined."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, groups: int = 4) -> None:
        super().__init__()
        narrow = outputs // groups
        self.reduce = conv(inputs, narrow, 1, groups=groups, act=partial(nn.PReLU, narrow))
        self.levels = nn.ModuleList(
            nn.Conv2d(narrow, narrow, 3, stride, rate, rate, narrow, bias=False)
            for rate in range(1, groups + 1)
        )
        self.between = nn.Sequential(nn.BatchNorm2d(outputs), nn.PReLU(outputs))
        self.expand = conv(outputs, outputs, 1, groups=groups, act=nn.Identity)
        self.act = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.reduce(x)
        maps = [level(reduced) for level in self.levels]
        for index in range(1, len(maps)):
            maps[index] = maps[index] + maps[index - 1]
        found = self.expand(self.between(torch.cat(maps, 1)))
        return self.act(found + x if found.shape == x.shape else found)


class PyramidNet(nn.Module):
    """Pyramids down to stride 16, and up again by resizing and adding."""

    def __init__(self) -> None:
        super().__init__()
        self.low = nn.Sequential(
            conv(3, 32, stride=2, act=partial(nn.PReLU, 32)), Pyramid(32, 64, 2), Pyramid(64, 64)
        )
        self.middle = nn.Sequential(Pyramid(64, 128, 2), Pyramid(128, 128), Pyramid(128, 128))
        self.high = nn.Sequential(Pyramid(128, 256, 2), Pyramid(256, 256), conv(256, 128, 1))
        self.join = conv(128, 64, 1, act=partial(nn.PReLU, 64))
        self.head = nn.Conv2d(64, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        low = self.low(x)
        middle = self.middle(low)
        middle = middle + resized(self.high(middle), middle)
        return resized(self.head(low + resized(self.join(middle), low)), x)


def pyramid_prelu() -> nn.Module:
    """Grouped and dilated pyramids with PReLU, as ESPNetv2."""
    return PyramidNet()


class Separable(nn.Module):
    """Depthwise separable convolutions and atrous ones side by side, as DeepLab's."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(3, 32, stride=2, act=nn.ReLU6),
            self._separable(32, 64, 2),
            self._separable(64, 128, 2),
            self._separable(128, 128),
            self._separable(128, 192, 2),
        )
        self.atrous = nn.ModuleList(self._separable(192, 64, dilation=rate) for rate in (1, 3, 6))
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv(192, 64, 1))
        self.head = nn.Sequential(conv(256, 96, 1), nn.Conv2d(96, CLASSES, 1))

    @staticmethod
    def _separable(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Module:
        return nn.Sequential(
            conv(
                inputs, inputs, stride=stride, groups=inputs, dilation=dilation, act=nn.ReLU6
            ),
            conv(inputs, outputs, 1, act=nn.ReLU6),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        features = self.body(x)
        maps = [branch(features) for branch in self.atrous]
        maps.append(resized(self.pool(features), features))
        return resized(self.head(torch.cat(maps, 1)), x)


def separable_atrous() -> nn.Module:
    """Depthwise separable convolutions and ReLU6, as MobileNetV1 under DeepLab."""
    return Separable()
