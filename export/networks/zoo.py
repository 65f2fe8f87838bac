"""The networks Segport can build by name, and the user's own."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from export.artifact.artifact import NOMINAL_SIZE
from export.common.errors import UsageError, unknown
from export.networks.deeplab import deeplab
from export.networks.libraries import LIBRARIES, library_network, library_of
from export.networks.torch_cost import Cost, torch_cost

if TYPE_CHECKING:  # to import it takes as long as torch, and half of the networks need it not
    from torchvision.models._api import WeightsEnum

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
OUTPUT_STRIDES = (16, 8)

VAINF = "VainF/DeepLabV3Plus-Pytorch"
TORCHVISION = "torchvision"


@dataclass(frozen=True)
class Published:
    """Figures as the source prints them.

    `params_m` is in millions. `flops` follows the source's own rule, `flops_rule`, for an image
    of `size` (height, width). `vacc_fp16` and `vacc_int8` are mIoU on the VACC accelerator
    (squash protocol; VainF's `miou` is of center-crop).
    """

    params_m: float
    miou: float | None
    miou_on: str
    flops: float | None
    flops_rule: str
    size: tuple[int, int]
    vacc_fp16: float | None = None
    vacc_int8: float | None = None


@dataclass(frozen=True)
class ZooEntry:
    """A network. `build(classes, output_stride)` gives it with fresh weights.

    `build_published` gives the network that the published parameters and FLOPs are of.
    `output_strides` lists what the definition offers, the default first. `figures` gives what
    is `published`, `weights` the `default_weights`. All of them take RGB normalised with
    ImageNet's mean and standard deviation.
    """

    source: str
    build: Callable[[int, int], nn.Module]
    build_published: Callable[[int, int], nn.Module]
    output_strides: tuple[int, ...]
    figures: Callable[[], Published]
    weights: "Callable[[], WeightsEnum] | None" = None

    @property
    def published(self) -> Published:
        """The source's figures."""
        return self.figures()

    @property
    def default_weights(self) -> "WeightsEnum | None":
        """torchvision's weight enum, or None where only checkpoints exist."""
        return self.weights() if self.weights else None


def _vainf(
    head: str,
    backbone: str,
    params_m: float,
    flops: float,
    miou: float,
    vacc_fp16: float,
    vacc_int8: float,
) -> ZooEntry:
    build = partial(deeplab, head, backbone)
    published = Published(
        params_m=params_m,
        miou=miou,
        miou_on="VOC 2012 val",
        flops=flops,
        flops_rule="THOP MACs / 4.5e8 at 513x513",
        size=NOMINAL_SIZE,
        vacc_fp16=vacc_fp16,
        vacc_int8=vacc_int8,
    )
    return ZooEntry(
        source=VAINF,
        build=build,
        build_published=build,
        output_strides=OUTPUT_STRIDES,
        figures=lambda: published,
    )


def _torchvision(name: str, stride: int) -> ZooEntry:
    def weights() -> "WeightsEnum":
        from torchvision import models

        enum: type[WeightsEnum] = models.get_model_weights(name)
        return enum["DEFAULT"]

    def figures() -> Published:
        meta = weights().meta
        return Published(
            params_m=meta["num_params"] / 1e6,
            miou=meta["_metrics"]["COCO-val2017-VOC-labels"]["miou"],
            miou_on="COCO val2017, VOC classes",
            flops=meta["_ops"],
            flops_rule="GMACs at 520x520",
            size=(520, 520),
        )

    def build(auxiliary: bool, classes: int, output_stride: int) -> nn.Module:
        from torchvision import models

        aux = {} if name.startswith("lraspp") else {"aux_loss": auxiliary}
        made: nn.Module = models.get_model(
            name, weights=None, weights_backbone=None, num_classes=classes, **aux
        )
        return made

    return ZooEntry(
        source=TORCHVISION,
        build=partial(build, False),
        # the auxiliary classifier serves training only: in the figures, not in the exported file
        build_published=partial(build, True),
        output_strides=(stride,),
        figures=figures,
        weights=weights,
    )


ZOO: dict[str, ZooEntry] = {
    # published: parameters (M), FLOPs, mIoU, mIoU on the accelerator in fp16 and in int8
    "deeplabv3_mobilenet": _vainf("deeplabv3", "mobilenet", 5.114, 13.372, 70.1, 67.816, 64.441),
    "deeplabv3_resnet50": _vainf("deeplabv3", "resnet50", 39.639, 114.137, 76.9, 72.671, 72.330),
    "deeplabv3_resnet101": _vainf("deeplabv3", "resnet101", 58.631, 160.224, 77.3, 75.289, 74.492),
    # the accelerator's 3.589 and 3.570 are what the source prints: this network collapsed there
    "deeplabv3plus_mobilenet": _vainf(
        "deeplabv3plus", "mobilenet", 5.226, 37.799, 71.1, 3.589, 3.570
    ),
    "deeplabv3plus_resnet50": _vainf(
        "deeplabv3plus", "resnet50", 39.76, 139.293, 77.2, 72.723, 72.032
    ),
    "deeplabv3plus_resnet101": _vainf(
        "deeplabv3plus", "resnet101", 58.754, 185.381, 78.3, 75.751, 75.143
    ),
    "torchvision/deeplabv3_resnet50": _torchvision("deeplabv3_resnet50", 8),
    "torchvision/deeplabv3_resnet101": _torchvision("deeplabv3_resnet101", 8),
    "torchvision/fcn_resnet50": _torchvision("fcn_resnet50", 8),
    "torchvision/fcn_resnet101": _torchvision("fcn_resnet101", 8),
    "torchvision/deeplabv3_mobilenet_v3_large": _torchvision("deeplabv3_mobilenet_v3_large", 16),
    "torchvision/lraspp_mobilenet_v3_large": _torchvision("lraspp_mobilenet_v3_large", 16),
}


def zoo_entry(name: str) -> ZooEntry | None:
    """Return the zoo's entry, or None for a library's name or `package.module:callable`.

    Raises UsageError, with the nearest name, for anything else.
    """
    if name in ZOO:
        return ZOO[name]
    if ":" in name:
        return None
    others = ", ".join(f"{prefix}:..." for prefix in LIBRARIES)
    raise UsageError(unknown("model", name, ZOO) + f", {others} or package.module:callable")


def build_network(name: str, classes: int, output_stride: int | None) -> nn.Module:
    """Build a network with fresh weights, in train mode.

    `output_stride` None takes the definition's default. A user's callable is called without
    arguments and must return a module that maps (N, 3, H, W) to logits or to a dict with
    'out'. A library's names are those of `export.networks.libraries`. Raises UsageError for an
    unknown name, an output stride the definition does not offer, or a callable that cannot be
    imported or fails.
    """
    entry = zoo_entry(name)
    if entry is None:
        if output_stride is not None:
            raise UsageError(f"--output-stride does not apply to {name}: its code decides")
        return library_network(name, classes) if library_of(name) else _users_network(name)
    stride = entry.output_strides[0] if output_stride is None else output_stride
    if stride not in entry.output_strides:
        offered = " or ".join(map(str, entry.output_strides))
        raise UsageError(f"output stride {stride}: {name} has {offered}")
    return entry.build(classes, stride)


def _users_network(name: str) -> nn.Module:
    module_name, _, attribute = name.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        network = getattr(importlib.import_module(module_name), attribute)()
    except Exception as error:  # the user's code may raise anything
        raise UsageError(f"model {name}: {type(error).__name__}: {error}") from error
    if not isinstance(network, nn.Module):
        raise UsageError(f"model {name}: returned {type(network).__name__}, not a torch module")
    return network


def meta_network(name: str, classes: int, output_stride: int | None = None) -> nn.Module:
    """Build a network on torch's meta device: shapes and structure, no memory, no weights."""
    with torch.device("meta"):
        return build_network(name, classes, output_stride)


def zoo_costs(classes: int = 21) -> dict[str, Cost]:
    """Count every network of the zoo at 3x513x513, default output stride."""
    return {name: torch_cost(meta_network(name, classes), NOMINAL_SIZE) for name in ZOO}


def zoo_table() -> list[dict[str, Any]]:
    """Return one row per network: source, cost (per image, 3x513x513) and published figures."""
    return [
        {
            "model": name,
            "source": ZOO[name].source,
            "params": cost.params,
            "macs": cost.macs,
            "flops_published_rule": round(cost.flops_published, 3),
            "published_params_m": ZOO[name].published.params_m,
            "published_flops": ZOO[name].published.flops,
            "published_flops_rule": ZOO[name].published.flops_rule,
            "published_miou": ZOO[name].published.miou,
            "published_miou_on": ZOO[name].published.miou_on,
            "published_vacc_fp16": ZOO[name].published.vacc_fp16,
            "published_vacc_int8": ZOO[name].published.vacc_int8,
            "uncounted": cost.uncounted,
        }
        for name, cost in zoo_costs().items()
    ]


def zoo_comparison() -> list[dict[str, Any]]:
    """Return `zoo_table` with what a fair comparison with the published figures needs.

    `macs_at_published_size` is of the network as exported, `whole_params` and `whole_macs` are
    of the network that the source counted, both for an image of the source's size.
    """
    return [row | _at_published_size(row["model"]) for row in zoo_table()]


def _at_published_size(name: str, classes: int = 21) -> dict[str, int]:
    entry = ZOO[name]
    with torch.device("meta"):
        whole_network = entry.build_published(classes, entry.output_strides[0])
    whole = torch_cost(whole_network, entry.published.size)
    exported = torch_cost(meta_network(name, classes), entry.published.size)
    return {
        "macs_at_published_size": exported.macs,
        "whole_params": whole.params,
        "whole_macs": whole.macs,
    }
