"""The table of runtimes; `validate.runtime.runtimes` opens them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from export.common.tables import Lazy

if TYPE_CHECKING:
    from validate.runtime.engine import Runtime


@dataclass(frozen=True)
class RuntimeEntry:
    """`open(artifact, weights)` opens an artifact, or the network rebuilt from a checkpoint.

    Those that `rebuilds` need no file and can be a reference by themselves. Those on a `gpu` may
    not be there; `then` is what else to try on one. `options` marks those whose `open` also takes
    onnxruntime's session options.
    """

    help: str
    open: "Callable[..., Runtime]"
    rebuilds: bool = False
    gpu: bool = False
    then: str | None = None
    options: bool = False


_ORT_GPU = Lazy("validate.runtime.ort:on_gpu")
_TORCH = Lazy("validate.runtime.torch_network:artifact_on")

RUNTIMES: dict[str, RuntimeEntry] = {
    "ort-cpu": RuntimeEntry(
        "onnxruntime on the CPU", Lazy("validate.runtime.ort:on_cpu"), options=True
    ),
    "ort-cuda": RuntimeEntry(
        "onnxruntime on an NVIDIA GPU",
        partial(_ORT_GPU, "ort-cuda", "CUDAExecutionProvider"),
        gpu=True,
    ),
    "ort-tensorrt": RuntimeEntry(
        "TensorRT through onnxruntime",
        partial(_ORT_GPU, "ort-tensorrt", "TensorrtExecutionProvider"),
        gpu=True,
        then="ort-cuda",
    ),
    "ort-fp16": RuntimeEntry(
        "float16 files emulated on the CPU, every value rounded",
        Lazy("validate.runtime.ort:emulated_fp16"),
        options=True,
    ),
    "openvino": RuntimeEntry(
        "OpenVINO on the CPU", Lazy("validate.runtime.openvino_cpu:open_openvino")
    ),
    "torch": RuntimeEntry(
        "the torch network on the CPU, from its checkpoint", partial(_TORCH, "torch"), rebuilds=True
    ),
    "torch-cuda": RuntimeEntry(
        "the torch network on a GPU, without TF32",
        partial(_TORCH, "torch-cuda"),
        rebuilds=True,
        gpu=True,
    ),
}


def rebuilds(name: str | None) -> bool:
    """Whether `name` is a runtime that rebuilds the torch network: it may be a reference."""
    return name in RUNTIMES and RUNTIMES[name].rebuilds
