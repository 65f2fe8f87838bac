"""Networks of segmentation_models_pytorch and transformers, with fresh weights and 21 classes.

torchvision's are in Segport's zoo.
"""

from functools import partial
from typing import Any

from torch import nn

from benchmarks.networks.layers import CLASSES


def _smp(name: str, encoder: str = "resnet18", **options: Any) -> nn.Module:
    import segmentation_models_pytorch as smp

    network: nn.Module = getattr(smp, name)(
        encoder, encoder_weights=None, classes=CLASSES, **options
    )
    return network


smp_unet = partial(_smp, "Unet")
smp_unet_efficientnet = partial(_smp, "Unet", "efficientnet-b0")
smp_unetplusplus = partial(_smp, "UnetPlusPlus", decoder_channels=(128, 64, 32, 24, 16))
smp_fpn = partial(_smp, "FPN")
smp_pspnet = partial(_smp, "PSPNet")
smp_linknet = partial(_smp, "Linknet")
smp_pan = partial(_smp, "PAN")
smp_manet = partial(_smp, "MAnet")
smp_deeplabv3plus = partial(_smp, "DeepLabV3Plus", "mobilenet_v2")
smp_upernet = partial(_smp, "UPerNet", decoder_channels=128)
smp_segformer = partial(_smp, "Segformer", "mit_b0")


def hf_segformer() -> nn.Module:
    """SegFormer-B0."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    return SegformerForSemanticSegmentation(SegformerConfig(num_labels=CLASSES))


def hf_mobilevit() -> nn.Module:
    """MobileViT-XXS under DeepLabV3."""
    from transformers import MobileViTConfig, MobileViTForSemanticSegmentation

    config = MobileViTConfig(
        num_labels=CLASSES,
        hidden_sizes=[64, 80, 96],
        neck_hidden_sizes=[16, 16, 24, 48, 64, 80, 320],
        expand_ratio=2.0,
    )
    return MobileViTForSemanticSegmentation(config)


def hf_upernet_convnext() -> nn.Module:
    """UPerNet on a small ConvNeXt."""
    from transformers import ConvNextConfig, UperNetConfig, UperNetForSemanticSegmentation

    backbone = ConvNextConfig(
        hidden_sizes=[32, 64, 128, 192],
        depths=[2, 2, 2, 2],
        layer_scale_init_value=0.3,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = UperNetConfig(
        backbone_config=backbone, hidden_size=96, use_auxiliary_head=False, num_labels=CLASSES
    )
    return UperNetForSemanticSegmentation(config)
