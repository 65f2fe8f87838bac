"""The torch network an artifact came from, in float32."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.artifact.artifact import Artifact
from export.artifact.manifest import Manifest
from export.common.errors import ArtifactError, CheckpointError, RuntimeUnavailableError, UsageError
from export.common.files import sha256_of
from export.ort.sessions import threads
from validate.runtime.engine import Outputs, Runtime

DEVICES = {"torch": "cpu", "torch-cuda": "cuda"}
"""Runtime name to torch's device."""


class TorchEngine:
    """A network rebuilt from a manifest; without TF32, so that float32 is that."""

    def __init__(self, manifest: Manifest, weights: str | None, device: str) -> None:
        import torch  # only this runtime needs it

        from export.networks.answer import Answer
        from export.networks.network import load_network

        source = manifest.weights
        if source.how == "import":
            raise UsageError(
                f"torch: {manifest.name} was imported, there is no torch network; give its fp32 "
                "artifact as --reference, or use --runtime ort-cpu"
            )
        if source.how == "module":
            raise UsageError(
                f"torch: {manifest.name} was exported from a module in memory, which no file can "
                "rebuild; compare with its fp32 artifact"
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
            weights_key=source.key,
            answer=Answer(**manifest.answer) if manifest.answer else None,
        )
        torch.set_num_threads(threads())
        self._torch: Any = torch
        self._device = device
        self._module = network.module.to(device)

    def outputs(self, image: NDArray[np.float32]) -> Outputs:
        """Run one image."""
        float32 = self._torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=False, allow_tf32=False
        )
        with self._torch.inference_mode(), float32:
            tensor = self._torch.from_numpy(image).to(self._device)
            return {"logits": self._module(tensor).cpu().numpy()}


def open_torch(manifest: Manifest, weights: str | None, name: str = "torch") -> Runtime:
    """Rebuild the torch network `manifest` describes; its checkpoint's sha256 must match.

    `name` is one of DEVICES. Raises RuntimeUnavailableError where torch has no such device.
    """
    device = DEVICES[name]
    if device == "cpu":
        return Runtime(name, device, TorchEngine(manifest, weights, device))
    import torch

    if not torch.cuda.is_available():
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
        raise RuntimeUnavailableError(
            f"torch {torch.__version__} (built {built}) finds no CUDA device here"
        )
    gpu = torch.cuda.get_device_name()
    engine = TorchEngine(manifest, weights, device)
    return Runtime(name, device, engine, execution={"device": gpu, "tf32": False})


def artifact_on(name: str, artifact: Artifact, weights: str | None) -> Runtime:
    """Open the network an fp32 artifact came from as a runtime of that artifact."""
    if artifact.manifest.precision != "fp32":
        raise UsageError(
            f"{name} runs float32 networks; {artifact.path.name} is {artifact.manifest.precision}, "
            "use --runtime ort-cpu"
        )
    return open_torch(artifact.manifest, weights, name)


def _check_checkpoint(manifest: Manifest, weights: str | None) -> None:
    source = manifest.weights
    if weights is None:
        raise UsageError(
            f"torch: {manifest.name} was exported from {source.file}; name that file with --weights"
        )
    file = Path(weights)
    if not file.is_file():
        raise CheckpointError(f"checkpoint {file}: no such file")
    if sha256_of(file) != source.sha256:
        raise ArtifactError(
            f"{file}: its sha256 is not that of the checkpoint {manifest.name} was exported from"
        )
