"""Artifacts in onnxruntime sessions: CPU, CUDA, TensorRT, and float16 emulated on the CPU."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from export.artifact.artifact import Artifact
from export.artifact.manifest import Manifest
from export.common.errors import RuntimeUnavailableError, first_line
from export.onnx_graph.onnx_cost import MAC_RULES
from export.ort.fp16_emulation import emulate_fp16
from export.ort.providers import CPU, TENSORRT, Placement, cuda_device, placement
from export.ort.sessions import open_session, run
from validate.runtime.engine import Outputs, Runtime, collected, fed

FLOAT32_WARNING = (
    "this CPU runtime computes float16 files in float32: neither their rounding nor their overflow "
    "is seen; ort-fp16 emulates both"
)

_TENSORRT_SETTINGS = {"fp16": {"trt_fp16_enable": "1"}, "int8": {"trt_int8_enable": "1"}}
"""By precision: TensorRT leaves these types out of its engines unless they are enabled."""


class OrtEngine:
    """An artifact in an onnxruntime session on one provider."""

    def __init__(
        self,
        model: Path | bytes,
        manifest: Manifest,
        provider: str = CPU,
        options: onnxruntime.SessionOptions | None = None,
    ) -> None:
        settings = _TENSORRT_SETTINGS.get(manifest.precision) if provider == TENSORRT else None
        self._manifest = manifest
        self._provider = provider
        self._names = [spec.name for spec in manifest.outputs]
        self.session: onnxruntime.InferenceSession = open_session(
            model, provider, options=options, settings=settings
        )

    def outputs(self, image: NDArray[np.float32]) -> Outputs:
        """Run one image; a provider that fails is an error, never a reason to take another."""
        try:
            results = run(self.session, fed(image, self._manifest), self._names)
        except Exception as error:  # onnxruntime raises classes of its C++ side
            raise RuntimeUnavailableError(
                f"{self._manifest.name} on {self._provider}: {first_line(error)}"
            ) from error
        return collected(self._manifest, results)


def on_cpu(
    artifact: Artifact,
    weights: str | None,
    options: onnxruntime.SessionOptions | None = None,
) -> Runtime:
    """Open the file as it is on the CPU."""
    half = artifact.manifest.precision == "fp16"
    engine = OrtEngine(artifact.path, artifact.manifest, options=options)
    return Runtime("ort-cpu", CPU, engine, warnings=(FLOAT32_WARNING,) if half else ())


def emulated_fp16(
    artifact: Artifact,
    weights: str | None,
    options: onnxruntime.SessionOptions | None = None,
) -> Runtime:
    """Open a float16 file on the CPU with every float16 tensor really rounded."""
    if artifact.manifest.precision != "fp16":
        raise RuntimeUnavailableError(
            f"ort-fp16 emulates float16 files; {artifact.path.name} is "
            f"{artifact.manifest.precision}, use --runtime ort-cpu"
        )
    emulated = emulate_fp16(onnx.load(artifact.path))
    engine = OrtEngine(emulated.SerializeToString(), artifact.manifest, options=options)
    return Runtime("ort-fp16", CPU, engine, times_artifact=False)


def on_gpu(name: str, provider: str, artifact: Artifact, weights: str | None) -> Runtime:
    """Open the file on a GPU provider and look where its nodes really went."""
    engine = OrtEngine(artifact.path, artifact.manifest, provider)
    placed = placement(engine.session)
    nodes = {key: sum(operators.values()) for key, operators in placed.items()}
    others = _others(placed, provider)
    return Runtime(
        name,
        max(placed, key=lambda key: (_products(placed[key]), nodes[key]), default=provider),
        engine,
        execution={"device": cuda_device(), "nodes": nodes, "tf32": False},
        warnings=(f"{_share(others, nodes)} not on {provider}: {_listed(others)}",)
        if others
        else (),
        elsewhere=f"{_share(others, nodes)} with {_listed(others)} run on "
        f"{', '.join(key for key in placed if key != provider)}"
        if _products(others)
        else None,
    )


def _products(operators: Mapping[str, int]) -> int:
    """Return how many of these nodes multiply: convolutions and matrix products."""
    return sum(count for name, count in operators.items() if name in MAC_RULES)


def _others(placed: Placement, provider: str) -> Counter[str]:
    """Return the operators that another provider than `provider` runs."""
    rest = (operators for key, operators in placed.items() if key != provider)
    return sum(rest, Counter[str]())


def _share(others: Counter[str], nodes: dict[str, int]) -> str:
    return f"{others.total()} of {sum(nodes.values())} nodes"


def _listed(operators: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in operators.most_common())
