"""The engines that turn an image tensor into predictions."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from export.artifact import Artifact, Manifest
from export.class_map import class_map
from export.errors import (
    ArtifactError,
    CheckpointError,
    RuntimeUnavailableError,
    UsageError,
    unknown,
)
from export.files import sha256_of
from export.fp16_emulation import emulate_fp16
from export.sessions import CPU, CUDA, has_cuda, open_session, run, threads

TORCH_ID = "torch-fp32"


class Engine(Protocol):
    """`outputs(image)` maps float32 (1, 3, H, W) to arrays by kind: logits and/or mask."""

    def outputs(self, image: NDArray[np.float32]) -> dict[str, NDArray[Any]]: ...


@dataclass(frozen=True)
class Runtime:
    """An opened engine; `provider` is what really executes.

    `times_artifact` is False where the engine's own speed is not that of the artifact
    (emulation), so latency has to be measured on another runtime.
    """

    name: str
    provider: str
    engine: Engine
    times_artifact: bool = True

    def mask(self, outputs: dict[str, NDArray[Any]]) -> NDArray[np.uint8]:
        """Return the class of every pixel, uint8 (1, H, W)."""
        found = outputs.get("mask")
        return class_map(outputs["logits"]) if found is None else found


class OrtEngine:
    """An artifact in an onnxruntime session."""

    def __init__(self, model: Path | bytes, manifest: Manifest, provider: str) -> None:
        self._session = open_session(model, provider)
        self._batch = manifest.input.shape[0] or 1
        self._dtype = np.dtype(manifest.input.dtype)
        self._kinds = {spec.name: spec.kind for spec in manifest.outputs}

    def outputs(self, image: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Run one image; a fixed batch is filled with copies of it."""
        fed = np.repeat(image, self._batch, axis=0).astype(self._dtype, copy=False)
        found = run(self._session, fed, list(self._kinds))
        arrays = dict(zip(self._kinds.values(), (array[:1] for array in found), strict=True))
        if arrays.get("logits", fed).dtype == np.float16:
            arrays["logits"] = arrays["logits"].astype(np.float32)
        return arrays


class TorchEngine:
    """The torch network an artifact came from, in float32 on the CPU."""

    def __init__(self, manifest: Manifest, weights: str | None) -> None:
        import torch  # only this runtime needs it

        from export.network import load_network

        source = manifest.weights
        if source.how == "import":
            raise UsageError(
                f"--reference torch: {manifest.name} was imported, there is no torch network; give "
                "its fp32 artifact as --reference"
            )
        if source.how == "file":
            _check_checkpoint(manifest, weights)
        elif weights not in (None, source.how):
            raise UsageError(
                f"--weights {weights}: {manifest.name} was exported with {source.how} weights"
            )
        network = load_network(
            manifest.model,
            weights or source.how,
            classes=len(manifest.classes),
            output_stride=manifest.output_stride,
            seed=source.seed or 0,
        )
        torch.set_num_threads(threads())
        self._torch = torch
        self._module = network.module

    def outputs(self, image: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Run one image."""
        with self._torch.inference_mode():
            return {"logits": self._module(self._torch.from_numpy(image)).numpy()}


def _check_checkpoint(manifest: Manifest, weights: str | None) -> None:
    source = manifest.weights
    if weights is None:
        raise UsageError(
            f"--reference torch: {manifest.name} was exported from {source.file}; name that file "
            "with --weights"
        )
    file = Path(weights)
    if not file.is_file():
        raise CheckpointError(f"checkpoint {file}: no such file")
    if sha256_of(file) != source.sha256:
        raise ArtifactError(
            f"{file}: its sha256 is not that of the checkpoint {manifest.name} was exported from"
        )


def _ort_cpu(artifact: Artifact) -> Runtime:
    engine = OrtEngine(artifact.path, artifact.manifest, CPU)
    return Runtime("ort-cpu", CPU, engine)


def _ort_cuda(artifact: Artifact) -> Runtime:
    engine = OrtEngine(artifact.path, artifact.manifest, CUDA)
    return Runtime("ort-cuda", CUDA, engine)


def _ort_fp16(artifact: Artifact) -> Runtime:
    if artifact.manifest.precision != "fp16":
        raise RuntimeUnavailableError(
            f"ort-fp16 emulates float16 files; {artifact.path.name} is "
            f"{artifact.manifest.precision}, use --runtime ort-cpu"
        )
    emulated = emulate_fp16(onnx.load(artifact.path))
    engine = OrtEngine(emulated.SerializeToString(), artifact.manifest, CPU)
    return Runtime("ort-fp16", CPU, engine, times_artifact=False)


RUNTIMES: dict[str, Callable[[Artifact], Runtime]] = {
    "ort-cpu": _ort_cpu,
    "ort-cuda": _ort_cuda,
    "ort-fp16": _ort_fp16,
}


def default_runtime(manifest: Manifest) -> str:
    """float16 files run on CUDA where there is one and are emulated elsewhere."""
    if manifest.precision != "fp16":
        return "ort-cpu"
    return "ort-cuda" if has_cuda() else "ort-fp16"


def open_runtime(artifact: Artifact, name: str | None = None) -> Runtime:
    """Open `artifact` on the named runtime, or on the default one for its precision."""
    chosen = name or default_runtime(artifact.manifest)
    if chosen not in RUNTIMES:
        raise UsageError(unknown("runtime", chosen, RUNTIMES))
    return RUNTIMES[chosen](artifact)


def open_torch(manifest: Manifest, weights: str | None) -> Runtime:
    """Rebuild the torch network `manifest` describes; its checkpoint's sha256 must match."""
    return Runtime("torch", "cpu", TorchEngine(manifest, weights))
