"""Segport: trained segmentation networks to verified ONNX, and what each file lost.

    art = segport.export(net, size=(513, 513), classes="voc")
    q = segport.quantize(art, "int8", images="photos/")
    r = segport.validate([art, q], data="VOCdevkit")
    r.gate(max_drop=0.5)

Names in `__all__` are public; every module behind them is private. Each is imported when it is
first used: `segport --version` does not wait for torch.
"""

from importlib import import_module
from inspect import isfunction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from export.common.errors import SegportError
    from export.workers.engines import Workers
    from segport.api.artifacts import Artifact, export, import_, load
    from segport.api.converting import convert
    from segport.api.packaging import package, verify
    from segport.api.quantizing import quantize
    from segport.api.running import Run, run
    from segport.api.validating import Gate, Validation, gate, report, validate

_HOMES = {
    "Artifact": "segport.api.artifacts",
    "Gate": "segport.api.validating",
    "Run": "segport.api.running",
    "SegportError": "export.common.errors",
    "Validation": "segport.api.validating",
    "Workers": "export.workers.engines",
    "convert": "segport.api.converting",
    "export": "segport.api.artifacts",
    "gate": "segport.api.validating",
    "import_": "segport.api.artifacts",
    "load": "segport.api.artifacts",
    "package": "segport.api.packaging",
    "quantize": "segport.api.quantizing",
    "report": "segport.api.validating",
    "run": "segport.api.running",
    "validate": "segport.api.validating",
    "verify": "segport.api.packaging",
}
"""Where each public name lives."""

__all__ = [
    "Artifact", "Gate", "Run", "SegportError", "Validation", "Workers", "convert", "export", "gate",
    "import_", "load", "package", "quantize", "report", "run", "validate", "verify",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'segport' has no attribute '{name}'")
    from segport.api.wording import in_python

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = in_python(value) if isfunction(value) else value
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
