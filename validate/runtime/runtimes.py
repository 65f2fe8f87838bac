"""Open an artifact on a runtime: an engine that turns image tensors into predictions."""

from dataclasses import replace

from export.artifact.artifact import Artifact
from export.artifact.manifest import Manifest
from export.common.errors import RuntimeUnavailableError
from export.common.tables import known
from export.ort.providers import has_cuda
from validate.runtime.engine import Runtime
from validate.runtime.table import RUNTIMES

TORCH_ID = "torch-fp32"


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
    entry = known("runtime", chosen, RUNTIMES)
    try:
        opened = entry.open(artifact, weights)
        if opened.elsewhere is not None and not allow_fallback:
            raise RuntimeUnavailableError(opened.elsewhere)
    except RuntimeUnavailableError as error:
        if not entry.gpu:
            raise
        manifest = artifact.manifest
        if not allow_fallback:
            raise RuntimeUnavailableError(
                f"{chosen}: {error}; or use --runtime {_without_gpu(chosen, manifest)}, or "
                "--allow-fallback to take what is there"
            ) from error
        other = entry.then or _without_gpu(chosen, manifest)
        substitute = open_runtime(artifact, other, weights=weights, allow_fallback=True)
        warning = f"{chosen} was asked for, {substitute.name} ran ({error})"
        return replace(substitute, warnings=(warning, *substitute.warnings))
    return opened


def _without_gpu(name: str, manifest: Manifest) -> str:
    if name.startswith("torch"):
        return "torch"
    return "ort-fp16" if manifest.precision == "fp16" else "ort-cpu"
