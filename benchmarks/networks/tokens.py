"""Own networks whose layers see the channels last: ConvNeXt's and a transformer's; torch alone."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from benchmarks.networks.layers import CLASSES, Residual, conv, resized


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of every pixel, as ConvNeXt's."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Perceptron(nn.Module):
    """Two fully connected layers over the last axis with a GELU between them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class NextBlock(nn.Module):
    """ConvNeXt's: 7x7 depthwise, LayerNorm, perceptron, scaled by channel, residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.perceptron = Perceptron(channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.3))

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + (self.scale * self.perceptron(mixed)).permute(0, 3, 1, 2)


class Next(nn.Module):
    """ConvNeXt with three stages whose maps are added up at stride 4."""

    def __init__(self, widths: tuple[int, ...] = (48, 96, 160)) -> None:
        super().__init__()
        pairs = pairwise(widths)
        shrink = [nn.Sequential(nn.Conv2d(3, widths[0], 4, 4), ChannelNorm(widths[0]))]
        shrink += [nn.Sequential(ChannelNorm(i), nn.Conv2d(i, o, 2, 2)) for i, o in pairs]
        self.stages = nn.ModuleList(
            nn.Sequential(down, NextBlock(width), NextBlock(width))
            for down, width in zip(shrink, widths, strict=True)
        )
        self.sides = nn.ModuleList(nn.Conv2d(width, 64, 1) for width in widths)
        self.head = nn.Sequential(ChannelNorm(64), nn.Conv2d(64, CLASSES, 1))

    def forward(self, x: Tensor) -> Tensor:
        maps, found = [], x
        for stage, side in zip(self.stages, self.sides, strict=True):
            found = stage(found)
            maps.append(side(found))
        return resized(self.head(sum((resized(m, maps[0]) for m in maps[1:]), maps[0])), x)


def next_gelu_layer_norm() -> nn.Module:
    """GELU and LayerNorm, as ConvNeXt."""
    return Next()


class Attention(nn.Module):
    """Softmax attention of every token to all, in four heads, written out."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.asked = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, channels = x.shape
        parts = self.asked(x).reshape(batch, tokens, 3, self.heads, channels // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        scores = query @ key.transpose(-2, -1) * (channels // self.heads) ** -0.5
        mixed = scores.softmax(-1) @ value
        return self.out(mixed.transpose(1, 2).reshape(batch, tokens, channels))


class Transformer(nn.Module):
    """A convolutional stem to stride 8, transformer blocks on its pixels, a head per pixel."""

    def __init__(self, channels: int = 96, blocks: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv(3, 32, stride=2), conv(32, 64, stride=2), nn.Conv2d(64, channels, 3, 2, 1)
        )
        self.blocks = nn.Sequential(
            *(
                Residual(nn.Sequential(nn.LayerNorm(channels), layer(channels)))
                for _ in range(blocks)
                for layer in (Attention, Perceptron)
            )
        )
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Conv2d(channels, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen = self.stem(x)
        tokens = self.norm(self.blocks(seen.flatten(2).transpose(1, 2)))
        return resized(self.head(tokens.transpose(1, 2).reshape(seen.shape)), x)


def transformer_attention() -> nn.Module:
    """Softmax attention, GELU and LayerNorm on tokens, as ViT and SegFormer."""
    return Transformer()
