"""The one table of network families: name to what builds it, and the size it is exported at."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.networks.settled import settled
from export.artifact.artifact import Artifact, load_artifact
from export.onnx_export import export_model

OWN = "benchmarks.networks.own"
TOKENS = "benchmarks.networks.tokens"
LIBRARIES = "benchmarks.networks.libraries"


@dataclass(frozen=True)
class Family:
    """`model` as `segport export` takes it; `size` is (height, width).

    `needs` names the library that builds it, beside torch and torchvision.
    """

    model: str
    size: tuple[int, int] = (257, 257)
    needs: str | None = None


def _own(name: str, module: str = OWN) -> Family:
    return Family(f"{module}:{name}", (256, 320))


def _smp(name: str) -> Family:
    return Family(f"{LIBRARIES}:smp_{name}", (256, 256), "segmentation_models_pytorch")


def _transformers(name: str) -> Family:
    return Family(f"{LIBRARIES}:hf_{name}", (256, 256), "transformers")


FAMILIES: Mapping[str, Family] = {
    "unet_transposed_k2": _own("unet_transposed_k2"),
    "unet_transposed_k3": _own("unet_transposed_k3"),
    "unet_transposed_k4": _own("unet_transposed_k4"),
    "unet_pixel_shuffle": _own("unet_pixel_shuffle"),
    "unet_prelu": _own("unet_prelu"),
    "unet_leaky_instance_norm": _own("unet_leaky_instance_norm"),
    "unet_group_norm": _own("unet_group_norm"),
    "mobile_hard_swish": _own("mobile_hard_swish"),
    "mobile_silu": _own("mobile_silu"),
    "next_gelu_layer_norm": _own("next_gelu_layer_norm", TOKENS),
    "transformer_attention": _own("transformer_attention", TOKENS),
    "pyramid_prelu": _own("pyramid_prelu"),
    "separable_atrous": _own("separable_atrous"),
    "torchvision_deeplabv3_mobilenet": Family("torchvision/deeplabv3_mobilenet_v3_large"),
    "torchvision_lraspp_mobilenet": Family("torchvision/lraspp_mobilenet_v3_large"),
    "torchvision_fcn_resnet50": Family("torchvision/fcn_resnet50", (129, 129)),
    "smp_unet": _smp("unet"),
    "smp_unet_efficientnet": _smp("unet_efficientnet"),
    "smp_unetplusplus": _smp("unetplusplus"),
    "smp_fpn": _smp("fpn"),
    "smp_pspnet": _smp("pspnet"),
    "smp_linknet": _smp("linknet"),
    "smp_pan": _smp("pan"),
    "smp_manet": _smp("manet"),
    "smp_deeplabv3plus": _smp("deeplabv3plus"),
    "smp_upernet": _smp("upernet"),
    "smp_segformer": _smp("segformer"),
    "hf_segformer": _transformers("segformer"),
    "hf_mobilevit": _transformers("mobilevit"),
    "hf_upernet_convnext": _transformers("upernet_convnext"),
}
TORCH_ONLY = tuple(name for name, family in FAMILIES.items() if family.needs is None)


def exported(name: str, folder: Path, voc: Path, size: tuple[int, int] | None = None) -> Artifact:
    """Return the fp32 artifact of a family with settled weights; made in `folder` unless there.

    `voc` is the VOCdevkit whose photos settle them; `size` is the family's own by default.
    """
    path = folder / f"{name}-fp32.onnx"
    if path.exists():
        return load_artifact(path)
    family = FAMILIES[name]
    size = size or family.size
    weights = folder / f"{name}.pth"
    if not weights.exists():
        folder.mkdir(parents=True, exist_ok=True)
        settled(family.model, size, voc, weights)
    return export_model(family.model, str(weights), folder, size=size, name=name)
