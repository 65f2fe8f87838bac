"""Benchmarks run rarely: what they take from the product must be there all the same."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
OURS = ("benchmarks", "export", "quantize", "segport", "validate")
FILES = sorted((REPOSITORY / "benchmarks").rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_what_a_benchmark_imports_of_ours_is_there(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.ImportFrom) or (node.module or "").split(".")[0] not in OURS:
            continue
        for alias in node.names:
            _find(f"{node.module}", alias.name)


def _find(module: str, name: str) -> None:
    """A name of a module, or a module below it."""
    if not hasattr(import_module(module), name):
        import_module(f"{module}.{name}")


def test_the_stages_of_a_sweep_are_where_it_is_timed() -> None:
    from benchmarks.sweep_cost import STAGES

    for place, function in STAGES.items():
        parts = place.split(".")
        found = import_module(".".join(parts[:3]))
        for part in parts[3:]:
            found = getattr(found, part)
        assert found is function
