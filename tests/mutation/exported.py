"""A pytest plugin that makes a mutant's run short.

Networks that fixtures export are exported once, not once for each mutant; short tests come first,
since the first that notices ends the run; and nobody looks for garbage among torch's objects.
"""

import gc
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import export.onnx_export
from export.artifact.artifact import Artifact, load_artifact

_ORIGINAL = export.onnx_export.export_model
KEPT = "SEGPORT_MUTANTS_EXPORTED"
_STATS = Path("mutmut-stats.json")


def _export_once(*given: Any, **named: Any) -> Artifact:
    model, weights, folder, *rest = given
    asked = repr((model, weights, rest, sorted(named.items())))
    kept = Path(os.environ[KEPT], hashlib.sha256(asked.encode()).hexdigest()[:16])
    if not kept.exists():
        making = kept.with_suffix(".new")
        _ORIGINAL(model, weights, making, *rest, **named)
        making.rename(kept)
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    return load_artifact(next(Path(folder).glob("*.onnx")))


def pytest_configure() -> None:
    """Put the fast export in the place of the real one."""
    export.onnx_export.export_model = _export_once
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by the seconds that mutmut measured, once it has."""
    if _STATS.exists():
        seconds = json.loads(_STATS.read_text())["duration_by_test"]
        items.sort(key=lambda item: seconds.get(item.nodeid, 0.0))
