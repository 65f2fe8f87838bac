"""bom.cdx.json: an ML bill of materials in CycloneDX 1.6, a component with a model card per file.

https://cyclonedx.org/docs/1.6/json. It has no date, so that the same files give the same text.
"""

import json
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from export.common.versions import versions
from segport.packaging.facts import LIMITS, calibration, data_name, metrics, weights
from segport.packaging.layouts import Contents
from segport.packaging.material import Material
from segport.packaging.variants import Variant

BOM = "bom.cdx.json"


def bom_files(material: Material) -> Contents:
    """Return the bill of materials."""
    return {BOM: (json.dumps(_bom(material), indent=1, ensure_ascii=False) + "\n").encode()}


def _bom(material: Material) -> dict[str, Any]:
    hashes = " ".join(variant.manifest.sha256 for variant in material.variants)
    version = versions().get("segport", "unknown")
    tool = {"type": "application", "name": "segport", "version": version}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, hashes)}",
        "version": 1,
        "metadata": {
            "tools": {"components": [tool]},
            "component": {"type": "application", "bom-ref": "package", "name": material.name},
        },
        "components": [
            *(_model(variant, material) for variant in material.variants),
            *(_library(name, version) for name, version in _versions(material).items()),
        ],
        "dependencies": [
            {"ref": "package", "dependsOn": [variant.id for variant in material.variants]},
            *({"ref": variant.id, "dependsOn": _used(variant)} for variant in material.variants),
        ],
    }


def _model(variant: Variant, material: Material) -> dict[str, Any]:
    manifest = variant.manifest
    licences = [{"license": {"name": material.licence}}] if material.licence else None
    component = {
        "type": "machine-learning-model",
        "bom-ref": variant.id,
        "name": f"{manifest.name} {variant.id}",
        "description": weights(material),
        "hashes": [{"alg": "SHA-256", "content": manifest.sha256}],
        "licenses": licences,
        "modelCard": {
            "modelParameters": {
                "task": "image-segmentation",
                "modelArchitecture": manifest.model,
                "inputs": [{"format": f"{manifest.input.dtype} {list(manifest.input.shape)}"}],
                "outputs": [{"format": f"{o.dtype} {list(o.shape)}"} for o in manifest.outputs],
            },
            "quantitativeAnalysis": {"performanceMetrics": _performance(variant, material)},
            "considerations": {"technicalLimitations": [*LIMITS, calibration(variant)]},
        },
        "properties": [
            {"name": "segport:file", "value": str(material.place(variant))},
            {"name": "segport:precision", "value": manifest.precision},
            {"name": "segport:target", "value": manifest.target or "none"},
        ],
    }
    return {key: value for key, value in component.items() if value is not None}


def _performance(variant: Variant, material: Material) -> list[dict[str, Any]]:
    found = []
    for one in metrics(material, variant):
        metric: dict[str, Any] = {
            "type": one.kind,
            "value": f"{one.value:.4f}",
            "slice": data_name(material),
        }
        if one.interval is not None:
            low, high = one.interval
            metric["confidenceInterval"] = {"lowerBound": f"{low:.4f}", "upperBound": f"{high:.4f}"}
        found.append(metric)
    return found


def _versions(material: Material) -> dict[str, str]:
    """Return the libraries that made the files, with their versions; by name@version."""
    return {
        f"{name}@{version}": name
        for variant in material.variants
        for name, version in sorted(variant.manifest.versions.items())
    }


def _used(variant: Variant) -> list[str]:
    return [f"{name}@{version}" for name, version in sorted(variant.manifest.versions.items())]


def _library(ref: str, name: str) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": ref,
        "name": name,
        "version": ref.removeprefix(f"{name}@"),
    }
