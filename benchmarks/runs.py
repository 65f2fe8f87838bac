"""How an image becomes a mask: a file in onnxruntime or OpenVINO, or the torch network itself."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from benchmarks.common import Run, weights_of
from export.artifact.manifest import INPUT_NAME
from export.onnx_graph.graph import dims
from export.ort.sessions import open_session, threads


def with_argmax(source: Path) -> Path:
    """Append a plain ArgMax to the logits, as a user would; return the new file."""
    model = onnx.load(source)
    output = model.graph.output[0]
    if output.type.tensor_type.elem_type != TensorProto.FLOAT:
        return source
    batch, _, *size = dims(output)
    model.graph.node.append(helper.make_node("ArgMax", [output.name], ["best"], axis=1, keepdims=0))
    model.graph.node.append(helper.make_node("Cast", ["best"], ["mask"], to=TensorProto.UINT8))
    del model.graph.output[:]
    mask = helper.make_tensor_value_info("mask", TensorProto.UINT8, [batch, *size])
    model.graph.output.append(mask)
    target = source.with_name(f"{source.stem}-argmax.onnx")
    onnx.save(model, target)
    return target


def in_onnxruntime(path: Path) -> Run:
    """Run a file that gives logits or a mask in onnxruntime, as a user does who sets nothing."""
    run = outputs_in_onnxruntime(path)
    return lambda image: classes(run(image))


def outputs_in_onnxruntime(path: Path) -> Run:
    """Return what gives a file's own output."""
    session = open_session(path)
    return lambda image: np.asarray(session.run(None, {INPUT_NAME: image})[0])


def in_openvino(path: Path) -> Run:
    """The same in OpenVINO, with its own defaults (bfloat16 where the CPU has it)."""
    run = outputs_in_openvino(path)
    return lambda image: classes(run(image))


def outputs_in_openvino(path: Path) -> Run:
    """Return what gives a file's own output."""
    from openvino import Core

    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": str(threads())}
    request = Core().compile_model(str(path), "CPU", settings).create_infer_request()
    return lambda image: np.asarray(request.infer([image])[0])


def int8_in_openvino(path: Path) -> set[str]:
    """Return the names of the layers that OpenVINO computes in int8 for a file."""
    from openvino import Core

    compiled = Core().compile_model(str(path), "CPU")
    facts = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
    texts = [
        {k: fact[k].astype(str) for k in ("runtimePrecision", "originalLayersNames")}
        for fact in facts
    ]
    int8 = [text for text in texts if text["runtimePrecision"] in ("u8", "i8")]
    return {name for text in int8 for name in text["originalLayersNames"].split(",")}


def in_torch(network: str, compiled: bool) -> Run:
    """The torch network with its own argmax."""
    import torch

    from export.networks.network import load_network

    loaded = load_network(network, weights_of(network), classes=21, output_stride=16, seed=0)
    module = loaded.module.eval()

    def best(image: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = module(image).argmax(1).to(torch.uint8)
        return found

    call = torch.compile(best) if compiled else best

    def run(image: NDArray[np.float32]) -> NDArray[Any]:
        with torch.inference_mode():
            return np.asarray(call(torch.from_numpy(image)))

    return run


def classes(found: NDArray[Any]) -> NDArray[Any]:
    """Return the class of every pixel, of logits or of a mask."""
    return np.argmax(found, axis=1) if found.ndim == 4 else found
