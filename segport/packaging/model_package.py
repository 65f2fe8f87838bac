"""manifest.json: the package as onnxruntime's model package API opens it, and as `verify` does.

The format is onnxruntime's own (model_package/README.md and
onnxruntime/core/session/model_package/README.md in its repository): a component with variants,
each a folder with the provider that it is for. Of variants for one provider onnxruntime takes the
first. What `verify` needs beside it is `additional_metadata`, which onnxruntime passes over.
"""

import json
from typing import Any

import onnxruntime

from segport.packaging.inside.verify import INDEX, SCHEMA, instruction_sets
from segport.packaging.layouts import Contents
from segport.packaging.material import Material
from segport.packaging.samples import Sample
from segport.packaging.variants import Variant


def index_files(material: Material) -> Contents:
    """Return manifest.json."""
    return {INDEX: (json.dumps(_index(material), indent=1, ensure_ascii=False) + "\n").encode()}


def _index(material: Material) -> dict[str, Any]:
    variants = {variant.id: _variant(variant, material) for variant in material.variants}
    return {
        "schema_version": "1.0",
        "package_name": material.name,
        "description": f"{material.variants[0].manifest.model}, semantic segmentation",
        "components": {material.name: {"variants": variants}},
        "additional_metadata": {
            "segport": {
                "schema": SCHEMA,
                "made": {
                    "onnxruntime": onnxruntime.__version__,
                    "instruction_sets": instruction_sets(),
                },
                "samples": [_sample(sample, material) for sample in material.samples],
            }
        },
    }


def _variant(variant: Variant, material: Material) -> dict[str, Any]:
    place, provider = material.place(variant), variant.provider
    where = {} if provider is None else {"ep": provider.name, "device": provider.device}
    return {
        "variant_directory": place.parent.as_posix(),
        **where,
        "executor_info": {"ort": {"model_file": place.name}},
    }


def _sample(sample: Sample, material: Material) -> dict[str, Any]:
    masks = {variant.id: sample.mask_file(variant) for variant in material.variants}
    return {"picture": sample.file, "masks": masks}
