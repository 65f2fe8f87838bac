"""model_card.md, in the format of the Hugging Face Hub: YAML front matter, then text.

https://huggingface.co/docs/hub/model-cards. JSON is YAML, so the front matter's values are JSON.
"""

import json
from collections.abc import Iterator
from typing import Any

import PIL

from export.common.escaping import markdown, markdown_code
from segport.packaging.facts import LIMITS, calibration, data_name, metrics, weights
from segport.packaging.hub_licences import hub_licence
from segport.packaging.layouts import Contents
from segport.packaging.material import Material
from segport.packaging.variants import Variant
from validate.result.cells import markdown_table

CARD = "model_card.md"
_TASK = {"type": "image-segmentation", "name": "semantic segmentation"}


def card_files(material: Material) -> Contents:
    """Return the model card."""
    front = "".join(
        f"{key}: {json.dumps(value, ensure_ascii=False)}\n"
        for key, value in _front(material).items()
        if value is not None
    )
    text = "\n\n".join(_sections(material))
    return {CARD: f"---\n{front}---\n\n{text}\n".encode()}


def _front(material: Material) -> dict[str, Any]:
    licence = hub_licence(material.licence)
    return {
        "library_name": "onnxruntime",
        "pipeline_tag": "image-segmentation",
        "tags": ["onnx", "semantic-segmentation", *(v.id for v in material.variants)],
        "license": licence,
        "license_name": material.licence if licence == "other" else None,
        "model-index": _model_index(material),
    }


def _model_index(material: Material) -> list[dict[str, Any]] | None:
    """Return measured metrics as the Hub reads them, an entry per variant."""
    if material.findings is None:
        return None
    data = {"type": material.findings.result.dataset.name, "name": data_name(material)}
    found = [
        {
            "name": f"{material.name} {variant.id}",
            "results": [
                {
                    "task": _TASK,
                    "dataset": data,
                    "metrics": [
                        {"type": one.kind, "name": one.name, "value": one.value}
                        for one in metrics(material, variant)
                    ],
                }
            ],
        }
        for variant in material.variants
        if list(metrics(material, variant))
    ]
    return found or None


def _sections(material: Material) -> Iterator[str]:
    first = material.variants[0]
    yield f"# {markdown(material.name)}"
    yield (
        f"Semantic segmentation with {markdown(first.manifest.model)}: "
        f"{len(first.manifest.classes)} classes, pictures of "
        f"{first.manifest.size[0]}x{first.manifest.size[1]} pixels."
    )
    yield "## How to run it"
    yield (
        f"`pip install numpy onnxruntime 'pillow>={PIL.__version__.partition('.')[0]}'`, then "
        "`python verify.py` says whether the files "
        "are whole, compute here what they promise, and which of them suits this machine; "
        f"`python infer.py {material.place(first)} PICTURE MASK.png` segments a picture. The "
        "manifest beside each model says how pictures go in. The masks in samples/ were made with "
        f"Pillow {PIL.__version__}; Pillow 12 resizes pictures in another order, and rounds some "
        "pixels differently."
    )
    yield markdown_table(
        [_row(variant, material) for variant in material.variants], ["file", "for", "made with"]
    )
    yield "## Measured"
    yield _measured(material)
    yield "## Weights, licence and data"
    yield weights(material)
    licence = f"as given: {markdown(material.licence)}" if material.licence else "not stated"
    yield f"Licence of the weights, {licence}."
    yield "## Classes"
    yield markdown(", ".join(first.manifest.classes)) + "."
    yield "## Limits"
    yield "\n".join(f"- {limit}" for limit in LIMITS)


def _row(variant: Variant, material: Material) -> list[str]:
    provider = variant.provider
    target = variant.manifest.target or ""
    return [
        markdown_code(str(material.place(variant))),
        markdown(provider.name if provider else target),
        calibration(variant),
    ]


def _measured(material: Material) -> str:
    if material.findings is None:
        return "Nothing was measured: no result was given."
    rows = [
        [
            variant.id,
            one.name,
            f"{one.value:.2f}",
            "" if one.interval is None else f"{one.interval[0]:.2f} to {one.interval[1]:.2f}",
        ]
        for variant in material.variants
        for one in metrics(material, variant)
    ]
    table = markdown_table(rows, ["variant", "what", "percent or points", "95 % interval"])
    verdicts = "".join(
        f"\n- {verdict.outcome.upper()}: {markdown(f'{verdict.id} {verdict.check}')}"
        for verdict in material.findings.verdicts
    )
    said = f"The gate's verdicts:\n{verdicts}" if verdicts else "No gate judged it."
    return (
        f"On {markdown(data_name(material))} (the whole report is in report/):\n\n{table}\n\n{said}"
    )
