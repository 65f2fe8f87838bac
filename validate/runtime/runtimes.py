"""The engines that turn an image tensor into predictions, by name."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from export.artifact.artifact import Artifact, Manifest
from export.common.errors import RuntimeUnavailableError, UsageError, unknown
from export.ort.providers import CUDA, TENSORRT, has_cuda
from validate.runtime.engine import Engine, Runtime
from validate.runtime.openvino_cpu import open_openvino
from validate.runtime.ort import OrtEngine, emulated_fp16, on_cpu, on_gpu
from validate.runtime.torch_network import artifact_on, open_torch

__all__ = [
    "REFERENCES", "RUNTIMES", "TORCH_ID", "Engine", "OrtEngine", "Runtime", "default_runtime",
    "get_opener", "open_runtime", "open_torch",
]  # fmt: skip

TORCH_ID = "torch-fp32"
REFERENCES = ("torch", "torch-cuda")
"""Runtimes that can be a reference by themselves: they need no file."""

Opener = Callable[[Artifact, str | None], Runtime]
"""Opens an artifact; the second argument is the checkpoint, for runtimes that rebuild from it."""

RUNTIMES: dict[str, Opener] = {
    "ort-cpu": on_cpu,
    "ort-cuda": partial(on_gpu, "ort-cuda", CUDA),
    "ort-tensorrt": partial(on_gpu, "ort-tensorrt", TENSORRT),
    "ort-fp16": emulated_fp16,
    "openvino": open_openvino,
    "torch": partial(artifact_on, "torch"),
    "torch-cuda": partial(artifact_on, "torch-cuda"),
}

_NEXT = {"ort-tensorrt": "ort-cuda", "ort-cuda": None, "torch-cuda": None}
"""Runtimes that need a GPU, and what else there is to try on one."""


def get_opener(name: str) -> Opener:
    """Return a runtime's opener; raise UsageError, with the nearest name, when there is none."""
    if name not in RUNTIMES:
        raise UsageError(unknown("runtime", name, RUNTIMES))
    return RUNTIMES[name]


def default_runtime(manifest: Manifest) -> str:
    """float16 files run on CUDA where there is one and are emulated elsewhere."""
    if manifest.precision != "fp16":
        return "ort-cpu"
    return "ort-cuda" if has_cuda() else "ort-fp16"


def open_runtime(
    artifact: Artifact,
    name: str | None = None,
    *,
    weights: str | None = None,
    allow_fallback: bool = False,
) -> Runtime:
    """Open `artifact` on the named runtime, or on the default one for its precision.

    `weights` is the checkpoint that the torch runtimes rebuild the network from. A GPU that is
    not there, and one that leaves part of the work to the CPU, raise RuntimeUnavailableError.
    With `allow_fallback` what is there runs; the Runtime is then named after what really runs
    and carries a warning.
    """
    chosen = name or default_runtime(artifact.manifest)
    opener = get_opener(chosen)
    try:
        opened = opener(artifact, weights)
        if opened.elsewhere is not None and not allow_fallback:
            raise RuntimeUnavailableError(opened.elsewhere)
    except RuntimeUnavailableError as error:
        if chosen not in _NEXT:
            raise
        manifest = artifact.manifest
        if not allow_fallback:
            raise RuntimeUnavailableError(
                f"{chosen}: {error}; or use --runtime {_without_gpu(chosen, manifest)}, or "
                "--allow-fallback to take what is there"
            ) from error
        other = _NEXT[chosen] or _without_gpu(chosen, manifest)
        found = open_runtime(artifact, other, weights=weights, allow_fallback=True)
        warning = f"{chosen} was asked for, {found.name} ran ({error})"
        return replace(found, warnings=(warning, *found.warnings))
    return opened


def _without_gpu(name: str, manifest: Manifest) -> str:
    if name.startswith("torch"):
        return "torch"
    return "ort-fp16" if manifest.precision == "fp16" else "ort-cpu"
