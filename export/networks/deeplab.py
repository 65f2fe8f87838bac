"""DeepLabV3 and DeepLabV3+ as published by VainF/DeepLabV3Plus-Pytorch.

State-dict keys, their order and the arithmetic are those of that repository, so its
checkpoints load unchanged. Papers: Chen et al., "Rethinking Atrous Convolution for
Semantic Image Segmentation" (arXiv 1706.05587) and "Encoder-Decoder with Atrous Separable
Convolution" (arXiv 1802.02611).
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.mobilenet import dilated_mobilenet_v2

ASPP_RATES = {16: (6, 12, 18), 8: (12, 24, 36)}
ASPP_CHANNELS = 256
LOW_LEVEL_CHANNELS = 48


def _conv_bn_relu(inputs: int, outputs: int, kernel: int, dilation: int = 1) -> list[nn.Module]:
    padding = dilation * (kernel // 2)
    return [
        nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


def _resize(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


class ASPPPooling(nn.Sequential):
    """Image-level features: global average, 1x1 convolution, spread over the map again."""

    def __init__(self, inputs: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), *_conv_bn_relu(inputs, ASPP_CHANNELS, 1))

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return _resize(pooled, like=x)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: (N, inputs, h, w) to (N, 256, h, w)."""

    def __init__(self, inputs: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        atrous = [nn.Sequential(*_conv_bn_relu(inputs, ASPP_CHANNELS, 3, rate)) for rate in rates]
        point = nn.Sequential(*_conv_bn_relu(inputs, ASPP_CHANNELS, 1))
        self.convs = nn.ModuleList([point, *atrous, ASPPPooling(inputs)])
        joined = len(self.convs) * ASPP_CHANNELS
        self.project = nn.Sequential(*_conv_bn_relu(joined, ASPP_CHANNELS, 1), nn.Dropout(0.1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(torch.cat([branch(x) for branch in self.convs], dim=1))
        return out


class HeadV3(nn.Module):
    """DeepLabV3 head on the last feature map."""

    def __init__(self, high: int, low: int, classes: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.classifier = nn.Sequential(
            ASPP(high, rates),
            *_conv_bn_relu(ASPP_CHANNELS, 256, 3),
            nn.Conv2d(256, classes, 1),
        )

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        out: Tensor = self.classifier(high)
        return out


class HeadV3Plus(nn.Module):
    """DeepLabV3+ decoder: ASPP output joined with low-level features at stride 4."""

    def __init__(self, high: int, low: int, classes: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.project = nn.Sequential(*_conv_bn_relu(low, LOW_LEVEL_CHANNELS, 1))
        self.aspp = ASPP(high, rates)
        self.classifier = nn.Sequential(
            *_conv_bn_relu(LOW_LEVEL_CHANNELS + ASPP_CHANNELS, 256, 3),
            nn.Conv2d(256, classes, 1),
        )

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        detail = self.project(low)
        context = _resize(self.aspp(high), like=detail)
        out: Tensor = self.classifier(torch.cat([detail, context], dim=1))
        return out


class ResNetFeatures(nn.ModuleDict):
    """A torchvision ResNet, `name`, without its classifier; gives layer1 and layer4."""

    def __init__(self, name: str, output_stride: int) -> None:
        from torchvision import models  # which takes as long as torch itself to import

        dilate = [False, output_stride == 8, True]
        resnet = models.get_model(name, weights=None, replace_stride_with_dilation=dilate)
        kept = [(name, m) for name, m in resnet.named_children() if name not in ("avgpool", "fc")]
        super().__init__(OrderedDict(kept))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        low = x
        for name, module in self.items():
            x = module(x)
            if name == "layer1":
                low = x
        return low, x


class MobileNetFeatures(nn.Module):
    """VainF's MobileNetV2; gives the 24-channel map at stride 4 and the 320-channel one."""

    def __init__(self, output_stride: int) -> None:
        super().__init__()
        features = dilated_mobilenet_v2(output_stride)
        self.low_level_features = nn.Sequential(*features[:4])
        # Indices go on from 4, as in the checkpoints.
        self.high_level_features = nn.Sequential(
            OrderedDict((str(i), block) for i, block in enumerate(features[4:], start=4))
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        low = self.low_level_features(x)
        return low, self.high_level_features(low)


class DeepLab(nn.Module):
    """Backbone and head; (N, 3, H, W) float32 to logits (N, classes, H, W) float32."""

    def __init__(self, backbone: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        low, high = self.backbone(x)
        return _resize(self.classifier(low, high), like=x)


_BACKBONES: dict[str, tuple[Callable[[int], nn.Module], int, int]] = {
    "mobilenet": (MobileNetFeatures, 320, 24),
    "resnet50": (partial(ResNetFeatures, "resnet50"), 2048, 256),
    "resnet101": (partial(ResNetFeatures, "resnet101"), 2048, 256),
}
_HEADS: dict[str, type[HeadV3] | type[HeadV3Plus]] = {
    "deeplabv3": HeadV3,
    "deeplabv3plus": HeadV3Plus,
}


def deeplab(head: str, backbone: str, classes: int, output_stride: int) -> DeepLab:
    """Build one network.

    `head` is "deeplabv3" or "deeplabv3plus"; `backbone` "mobilenet", "resnet50" or
    "resnet101"; `output_stride` 16 or 8. Weights are torch's default initialisation.
    """
    build, high, low = _BACKBONES[backbone]
    return DeepLab(
        build(output_stride), _HEADS[head](high, low, classes, ASPP_RATES[output_stride])
    )
