"""Artifacts in OpenVINO itself, on the CPU."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from export.artifact.artifact import Artifact
from export.artifact.manifest import Manifest
from export.common.errors import ArtifactError, RuntimeUnavailableError, first_line
from export.ort.sessions import threads
from validate.runtime.engine import Outputs, Runtime, collected, fed
from validate.runtime.ort import FLOAT32_WARNING

if TYPE_CHECKING:
    from openvino import CompiledModel

DEVICE = "CPU"
_MULTIPLYING = ("Convolution", "Deconvolution", "FullyConnected", "MatMul")
"""Layer types of OpenVINO's execution graph that have MACs."""


class OpenVinoEngine:
    """A compiled model; one request at a time, as onnxruntime's sessions are used."""

    def __init__(self, compiled: "CompiledModel", manifest: Manifest) -> None:
        self._manifest = manifest
        self._request = compiled.create_infer_request()
        self._outputs = [compiled.output(spec.name) for spec in manifest.outputs]

    def outputs(self, image: NDArray[np.float32]) -> Outputs:
        """Run one image."""
        try:
            results = self._request.infer([fed(image, self._manifest)])
        except RuntimeError as error:
            raise RuntimeUnavailableError(
                f"{self._manifest.name} on OpenVINO: {first_line(error)}"
            ) from error
        return collected(self._manifest, [results[output] for output in self._outputs])


def open_openvino(artifact: Artifact, weights: str | None) -> Runtime:
    """Compile the file for the CPU, float layers in what the manifest says, else in float32.

    OpenVINO's default is bfloat16 where the CPU has it, which changes about 0.3 % of a
    DeepLab's pixels and would be taken for what export or quantization lost. float16 files run
    in float16 where this CPU has it.
    """
    try:
        from openvino import Core
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"openvino: not usable here ({first_line(error)}); pip install 'segport[openvino]', "
            "or use --runtime ort-cpu"
        ) from error
    core = Core()
    half = artifact.manifest.precision == "fp16"
    has_half = "FP16" in core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
    int8 = artifact.manifest.int8
    recorded = int8.get("inference_precision", "f32") if int8 else "f32"
    settings = {
        "INFERENCE_PRECISION_HINT": "f16" if half and has_half else recorded,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": str(threads()),
    }
    try:
        compiled = core.compile_model(core.read_model(artifact.path), DEVICE, settings)
    except RuntimeError as error:
        raise ArtifactError(
            f"{artifact.path}: OpenVINO cannot load it ({_reason(error)})"
        ) from error
    devices = list(compiled.get_property("EXECUTION_DEVICES"))
    return Runtime(
        "openvino",
        f"OpenVINO {'+'.join(devices)}",
        OpenVinoEngine(compiled, artifact.manifest),
        execution={
            "device": core.get_property(DEVICE, "FULL_DEVICE_NAME"),
            "execution_devices": devices,
            "inference_precision": compiled.get_property("INFERENCE_PRECISION_HINT").to_string(),
            "threads": compiled.get_property("INFERENCE_NUM_THREADS"),
            "streams": compiled.get_property("NUM_STREAMS"),
        },
        warnings=(FLOAT32_WARNING,) if half and not has_half else (),
        int8_layers=int8_layers(compiled),
        elsewhere=None if devices == [DEVICE] else f"OpenVINO chose {', '.join(devices)}",
    )


def int8_layers(compiled: "CompiledModel") -> frozenset[str]:
    """Return the ONNX layers whose products OpenVINO computes in int8.

    From its execution graph: the kernel's name ends with its precision, and a node lists the
    layers of the file that were fused into it.
    """
    names: set[str] = set()
    for node in compiled.get_runtime_model().get_ops():
        facts = node.get_rt_info()
        if _fact(facts, "layerType") not in _MULTIPLYING:
            continue
        if _fact(facts, "primitiveType").upper().endswith(("_I8", "_U8")):
            layers = _fact(facts, "originalLayersNames").split(",")
            names.update(name.removesuffix("/WithoutBiases") for name in layers)
    return frozenset(names)


def _fact(facts: Any, name: str) -> str:
    return str(facts[name].astype(str)) if name in facts else ""


def _reason(error: RuntimeError) -> str:
    """Return the last line of OpenVINO's message; the first ones name its own source files."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
