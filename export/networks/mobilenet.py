"""MobileNetV2 with dilation, as VainF/DeepLabV3Plus-Pytorch defines it.

Four things differ from torchvision's: the stem is not padded, zero padding is added *before*
a block's 1x1 expansion (so the depthwise convolution sees relu6(bias) at the border, not
zero), strides beyond the output stride turn into dilation, and the last 1280-channel layer
is left out.
Paper: Sandler et al., arXiv 1801.04381.
"""

from torch import Tensor, nn
from torch.nn import functional as F

# expansion, output channels, blocks, stride of the first block (table 2 of the paper)
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_STEM_CHANNELS = 32


def _conv_bn_relu6(
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, 0, dilation, groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """Expand, filter depthwise, project; residual where shapes allow."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, dilation: int, expansion: int
    ) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        self.padding = (dilation,) * 4
        expand = [_conv_bn_relu6(inputs, hidden, 1)] if expansion != 1 else []
        self.conv = nn.Sequential(
            *expand,
            _conv_bn_relu6(hidden, hidden, 3, stride=stride, dilation=dilation, groups=hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.pad(x, self.padding))
        return x + out if self.residual else out


def dilated_mobilenet_v2(output_stride: int) -> list[nn.Module]:
    """Return the stem and the 17 inverted residuals in order; the last gives 320 channels."""
    blocks: list[nn.Module] = [_conv_bn_relu6(3, _STEM_CHANNELS, 3, stride=2)]
    channels, reached, dilation = _STEM_CHANNELS, 2, 1
    for expansion, outputs, count, stage_stride in _STAGES:
        first_dilation = dilation
        if reached == output_stride:
            stride, dilation = 1, dilation * stage_stride
        else:
            stride, reached = stage_stride, reached * stage_stride
        for index in range(count):
            first = index == 0
            blocks.append(
                InvertedResidual(
                    channels,
                    outputs,
                    stride if first else 1,
                    first_dilation if first else dilation,
                    expansion,
                )
            )
            channels = outputs
    return blocks
