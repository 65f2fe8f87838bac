"""What model servers read beside the models: Triton and OpenVINO Model Server."""

import json
from typing import Any

from export.artifact.manifest import Manifest
from segport.packaging.layouts import Contents, server_name
from segport.packaging.material import Material
from segport.packaging.variants import Variant

_TRITON_TYPES = {
    "float32": "TYPE_FP32",
    "float16": "TYPE_FP16",
    "uint8": "TYPE_UINT8",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
}


def triton_files(material: Material) -> Contents:
    """Return a config.pbtxt per variant (docs/user_guide/model_configuration.md of Triton)."""
    return {
        f"models/{server_name(variant)}/config.pbtxt": _config(
            server_name(variant), variant.manifest
        ).encode()
        for variant in material.variants
    }


def _config(name: str, manifest: Manifest) -> str:
    """Return the configuration; the batch is one of the dims, so that Triton adds none."""
    head = f'name: {json.dumps(name)}\nbackend: "onnxruntime"\nmax_batch_size: 0\n'
    spec = manifest.input
    outputs = [_tensor("output", one.name, one.dtype, one.shape) for one in manifest.outputs]
    return head + "".join([_tensor("input", spec.name, spec.dtype, spec.shape), *outputs])


def _tensor(side: str, name: str, dtype: str, shape: tuple[int | None, ...]) -> str:
    dims = ", ".join(str(-1 if length is None else length) for length in shape)
    kind = _TRITON_TYPES[dtype]
    return f"{side} {{ name: {json.dumps(name)} data_type: {kind} dims: [ {dims} ] }}\n"


def ovms_files(material: Material) -> Contents:
    """Return the server's configuration, for a repository that is mounted at /models."""
    models = [{"config": _ovms_model(one)} for one in material.variants]
    config = json.dumps({"model_config_list": models}, indent=1) + "\n"
    return {"models/config.json": config.encode()}


def _ovms_model(variant: Variant) -> dict[str, Any]:
    """Return a model's entry; what it computes float layers in is what it was judged in."""
    name, facts = server_name(variant), variant.manifest.int8
    entry: dict[str, Any] = {"name": name, "base_path": f"/models/{name}"}
    if facts and (hint := facts.get("inference_precision")):
        entry["plugin_config"] = {"INFERENCE_PRECISION_HINT": hint}
    return entry
