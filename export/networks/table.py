"""The tables of networks: those built by name, and the libraries whose networks have a prefix.

`export.networks.zoo` builds the former, `export.networks.libraries` the latter.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from export.artifact.size import NOMINAL_SIZE
from export.common.errors import UsageError, unknown
from export.common.tables import Lazy

if TYPE_CHECKING:
    from torch import nn
    from torchvision.models._api import WeightsEnum


OUTPUT_STRIDES = (16, 8)

VAINF = "VainF/DeepLabV3Plus-Pytorch"
TORCHVISION = "torchvision"


@dataclass(frozen=True)
class Published:
    """Figures as the source prints them, None where it prints none.

    `params_m` is in millions. `flops` follows the source's own rule, `flops_rule`, for an image
    of `size` (height, width). `vacc_fp16` and `vacc_int8` are mIoU on the VACC accelerator
    (squash protocol; VainF's `miou` is of center-crop).
    """

    params_m: float | None = None
    miou: float | None = None
    miou_on: str = ""
    flops: float | None = None
    flops_rule: str = ""
    size: tuple[int, int] = NOMINAL_SIZE
    vacc_fp16: float | None = None
    vacc_int8: float | None = None


@dataclass(frozen=True)
class ZooEntry:
    """A network. `build(classes, output_stride)` gives it with fresh weights.

    `output_strides` lists what the definition offers, the default first. `figures` gives what
    is `published`, `build_published` the network that these parameters and FLOPs are of, where it
    is another one, `weights` the `default_weights`. All of them take RGB normalised with ImageNet's
    mean and standard deviation.
    """

    source: str
    build: "Callable[[int, int], nn.Module]"
    output_strides: tuple[int, ...]
    figures: Callable[[], Published] = Published
    build_published: "Callable[[int, int], nn.Module] | None" = None
    weights: "Callable[[], WeightsEnum] | None" = None

    @property
    def help(self) -> str:
        """Where the network is from."""
        return self.source

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
    build = partial(Lazy("export.networks.deeplab:deeplab"), head, backbone)
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

    def build(auxiliary: bool, classes: int, output_stride: int) -> "nn.Module":
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


@dataclass(frozen=True)
class Preset:
    """What a folder says of the images its network takes, and of its classes; None: nothing."""

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Library:
    """`help` shows a name, `package` is what `extra` of Segport installs.

    `build(package, source, classes)` makes the network with fresh weights, `load(package, source)`
    with those that "default" means, and gives their file. `preset(source)` is what else comes with
    it.
    """

    help: str
    package: str
    extra: str
    build: "Callable[[ModuleType, str, int], nn.Module]"
    load: "Callable[[ModuleType, str], tuple[nn.Module, Path]]"
    preset: Callable[[str], Preset] = lambda source: Preset()


LIBRARIES: dict[str, Library] = {
    "smp": Library(
        "smp:NAME?ARGUMENT=...",
        "segmentation_models_pytorch",
        "smp",
        Lazy("export.networks.libraries:smp"),
        Lazy("export.networks.libraries:smp_weights"),
    ),
    "hf": Library(
        "hf:FOLDER",
        "transformers",
        "hf",
        Lazy("export.networks.libraries:hugging_face"),
        Lazy("export.networks.libraries:hugging_face_weights"),
        Lazy("export.networks.libraries:hugging_face_preset"),
    ),
}
"""By prefix."""


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
