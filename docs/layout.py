"""The picture of the folders and their imports: `python docs/layout.py` writes layout.svg."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs/layout.svg"
STAGES = ("export", "quantize", "validate", "segport")
_PLACES = {
    "segport": (500, 40),
    "quantize": (260, 120),
    "export": (500, 200),
    "validate": (740, 120),
}
"""Left and top of each stage's column."""
_WIDE, _HIGH, _STEP = 150, 26, 36
_BETWEEN = (
    ("segport", "quantize", "M575 66L335 88"),
    ("segport", "validate", "M575 66L815 88"),
    ("segport", "export", "M575 66L575 168"),
    ("quantize", "export", "M410 190L500 213"),
    ("validate", "export", "M740 190L650 213"),
)
"""Arrows between stages, and how they are drawn."""
_STYLE = (
    "text{font:13px sans-serif;fill:#1b2330}.head{font-weight:bold;font-size:15px}"
    ".paper{fill:#fff}.box{fill:#f4f6f9;stroke:#5a6475}"
    ".in{fill:none;stroke:#8a93a3;stroke-opacity:.6}.out{stroke:#0072b2;stroke-width:3}"
)


def arrows() -> dict[str, set[str]]:
    """Return which folders each folder imports, such as "quantize.int8"; segport is one."""
    found: dict[str, set[str]] = {}
    for stage in STAGES:
        for path in (ROOT / stage).rglob("*.py"):
            folder = _folder(".".join(path.relative_to(ROOT).with_suffix("").parts))
            targets = found.setdefault(folder, set())
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in STAGES:
                    targets.add(_folder(node.module or ""))
            targets.discard(folder)
    return found


def layout_svg() -> str:
    """Return the picture: a column per stage with a box per folder; pointing at a line names it."""
    graph = arrows()
    places = _places(graph)
    lines = [_between(source, target, shape, graph) for source, target, shape in _BETWEEN] + [
        _inside(folder, target, places)
        for folder in sorted(graph)
        for target in sorted(graph[folder])
        if {folder, target} <= places.keys() and folder.split(".")[0] == target.split(".")[0]
    ]
    boxes = [_box(folder.split(".")[-1], *place) for folder, place in places.items()]
    heads = [
        _text(f"{stage}/", x, y - 27, "head") for stage, (x, y) in _PLACES.items()
        if stage != "segport"
    ]  # fmt: skip
    height = max(y for _, y in places.values()) + 60
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="170 20 810 {height - 20}" role="img" '
        f'aria-label="Folders and their imports"><style>{_STYLE}</style>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="5" '
        'markerHeight="5" orient="auto"><path d="M0 0L8 4L0 8z" fill="#0072b2"/></marker></defs>',
        '<rect class="paper" x="170" y="20" width="100%" height="100%"/>',
        *lines, *boxes, *heads, "</svg>",
    ]) + "\n"  # fmt: skip


def _folder(module: str) -> str:
    """Return the folder below a stage, or the stage: for files at its top, and for segport."""
    stage, *rest = module.split(".")
    if stage != "segport" and rest and (ROOT / stage / rest[0]).is_dir():
        return f"{stage}.{rest[0]}"
    return stage


def _places(graph: dict[str, set[str]]) -> dict[str, tuple[int, int]]:
    found = {"segport": _PLACES["segport"]}
    for stage in STAGES[:-1]:
        left, top = _PLACES[stage]
        folders = sorted(folder for folder in graph if folder.startswith(f"{stage}."))
        found |= {folder: (left, top + row * _STEP) for row, folder in enumerate(folders)}
    return found


def _box(text: str, x: int, y: int) -> str:
    box = f'<rect class="box" x="{x}" y="{y}" width="{_WIDE}" height="{_HIGH}" rx="4"/>'
    return box + _text(text, x, y)


def _text(text: str, x: int, y: int, kind: str = "name") -> str:
    place = f'x="{x + _WIDE // 2}" y="{y + 17}"'
    return f'<text {place} text-anchor="middle" class="{kind}">{text}</text>'


def _between(source: str, target: str, shape: str, graph: dict[str, set[str]]) -> str:
    count = sum(
        one.split(".")[0] == target
        for folder, targets in graph.items()
        for one in targets
        if folder.split(".")[0] == source
    )
    said = f"{source} imports {target}: {count} arrows between their folders"
    return f'<path class="out" marker-end="url(#tip)" d="{shape}"><title>{said}</title></path>'


def _inside(folder: str, target: str, places: dict[str, tuple[int, int]]) -> str:
    (x, top), (_, bottom) = places[folder], places[target]
    side, out = (x, -1) if folder.startswith("quantize") else (x + _WIDE, 1)
    bend = side + out * (18 + abs(top - bottom) // 5)
    y, to = top + _HIGH // 2, bottom + _HIGH // 2
    said = f"{folder} imports {target}"
    return (
        f'<path class="in" d="M{side} {y}C{bend} {y} {bend} {to} {side} {to}">'
        f"<title>{said}</title></path>"
    )


if __name__ == "__main__":
    PICTURE.write_text(layout_svg(), encoding="utf-8")
