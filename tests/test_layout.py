"""The layout is the architecture: folders import one way, are small, and say what lives there."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("export", "quantize", "validate", "segport")
MOST_FILES = 14
FOLDERS = sorted(
    folder.relative_to(ROOT)
    for stage in STAGES
    for folder in (ROOT / stage, *(ROOT / stage).rglob("*"))
    if list(folder.glob("*.py"))
)


def _modules() -> dict[str, Path]:
    files = (path for stage in STAGES for path in (ROOT / stage).rglob("*.py"))
    named = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files}
    return {name.removesuffix(".__init__"): path for name, path in named.items()}


MODULES = _modules()


def _for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _imports(module: str) -> Iterator[str]:
    """Modules of this project that a module imports when it runs: also inside functions."""
    tree = ast.parse(MODULES[module].read_text())
    tree.body = [node for node in tree.body if not _for_types(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in MODULES)
        if isinstance(node, ast.ImportFrom) and node.module in MODULES:
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                yield inner if inner in MODULES else node.module


def _room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def _circle(arrows: dict[str, set[str]]) -> list[str]:
    """Return names that lead back to the first of them, or nothing."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name not in done:
            for target in sorted(arrows.get(name, ())):
                if found := walk(target, [*way, name]):
                    return found
            done.add(name)
        return []

    return next((found for name in sorted(arrows) if (found := walk(name, []))), [])


def test_circles_are_found() -> None:
    assert _circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert _circle({"a": {"b", "c"}, "b": {"c"}}) == []


def test_stages_import_only_those_before_them() -> None:
    allowed = {
        "export": {"export"},
        "quantize": {"export", "quantize"},
        "validate": {"export", "validate"},
        "segport": set(STAGES),
    }
    wrong = [
        f"{module} -> {target}"
        for module in MODULES
        for target in _imports(module)
        if target.split(".")[0] not in allowed[module.split(".")[0]]
    ]
    assert not wrong


def test_no_module_imports_itself_by_others() -> None:
    arrows = {module: set(_imports(module)) - {module} for module in MODULES}
    assert _circle(arrows) == []


def test_no_folder_of_a_stage_imports_itself_by_others() -> None:
    arrows: dict[str, set[str]] = {}
    for module in MODULES:
        if not module.startswith("segport"):
            targets = {_room(target) for target in _imports(module)} - {_room(module), *STAGES}
            arrows.setdefault(_room(module), set()).update(targets)
    assert _circle(arrows) == []


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_a_folder_is_small_and_says_what_lives_in_it(folder: Path) -> None:
    files = [path for path in (ROOT / folder).glob("*.py") if path.name != "__init__.py"]
    assert len(files) <= MOST_FILES or folder.parts[0] == "segport"
    assert ast.get_docstring(ast.parse((ROOT / folder / "__init__.py").read_text()))
