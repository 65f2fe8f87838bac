"""Where the models lie in a package, and what other servers need beside them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from export.common.tables import Lazy

if TYPE_CHECKING:
    from segport.packaging.material import Material
    from segport.packaging.variants import Variant

Contents = Mapping[str, bytes | Path]
"""Files of a package by their paths in it: bytes, or a file to copy."""


def hub(variant: "Variant") -> PurePosixPath:
    """Place a model where the Hugging Face Hub and transformers.js look for it."""
    return PurePosixPath("onnx", variant.hub_file)


def repository(variant: "Variant") -> PurePosixPath:
    """Place a model as model servers want it: a folder per model, one per version in it."""
    return PurePosixPath("models", server_name(variant), "1", "model.onnx")


def server_name(variant: "Variant") -> str:
    """Return what a server calls a variant."""
    return f"{variant.manifest.name}-{variant.slug}"


@dataclass(frozen=True)
class Layout:
    """`place` says where a variant's model lies, `extra` what else there is; `form` packs it."""

    help: str
    place: "Callable[[Variant], PurePosixPath]" = hub
    extra: "Callable[[Material], Contents]" = lambda material: {}
    form: str = "folder"


LAYOUTS: dict[str, Layout] = {
    "hub": Layout("onnx/model.onnx, model_fp16.onnx ..., as the Hub and transformers.js expect"),
    "triton": Layout(
        "models/ is a model repository of Triton, with a config.pbtxt per model",
        repository,
        Lazy("segport.packaging.servers:triton_files"),
    ),
    "ovms": Layout(
        "models/ is a model repository of OpenVINO Model Server, with its config.json",
        repository,
        Lazy("segport.packaging.servers:ovms_files"),
    ),
    "oci": Layout("as hub, in an OCI image layout for a container registry", form="oci"),
}
DEFAULT_LAYOUT = "hub"
