"""Pages of the site that are made from something else, by hooks of mkdocs: no file holds them."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((\.\./[^)#\s]*)[^)]*\)")


def cli_reference() -> str:
    """Return a page with every command's help: usage, what it does, its options."""
    import click
    import typer.main

    from segport.cli import app

    def walk(command: Any, words: list[str]) -> Iterator[str]:
        context = click.Context(command, info_name=" ".join(words))
        yield f"## {' '.join(words)}\n\n{(command.help or '').strip()}\n"
        usage = " ".join([*words, *command.collect_usage_pieces(context)])
        yield f"```text\n{usage}\n```"
        rows = [_option(one) for one in command.params if not getattr(one, "hidden", False)]
        if rows:
            yield "| option | meaning | default |\n|---|---|---|\n" + "\n".join(rows)
        if command.epilog:
            yield f"`{command.epilog.removeprefix('Example: ')}`"
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, [*words, name])

    parts = walk(typer.main.get_command(app), ["segport"])
    return "# Every option\n\nMade from the commands themselves.\n\n" + "\n\n".join(parts) + "\n"


def _option(one: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*one.opts, *one.secondary_opts])
    if one.param_type_name == "argument":
        names = f"`{one.metavar or one.name.upper()}`"
    text = " ".join((getattr(one, "help", None) or "").split()).replace("|", "\\|")
    default = one.default
    shown = (
        f"`{default}`" if isinstance(default, str | int | float) and default is not False else ""
    )
    return f"| {names} | {text.replace('<', '&lt;')} | {shown} |"


def notebook_page() -> str:
    """Return the notebook as a page, with a link to the file."""
    cells = json.loads((ROOT / "docs/example.ipynb").read_text(encoding="utf-8"))["cells"]
    parts = [
        cell["source"] if cell["cell_type"] == "markdown" else f"```python\n{cell['source']}\n```"
        for cell in cells
    ]
    said = "[Download the notebook](example.ipynb); CI runs it (`tests/test_notebook.py`)."
    return "\n\n".join([parts[0], said, *parts[1:]]) + "\n"


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made from the code."""
    from mkdocs.structure.files import File

    sys.path.insert(0, str(ROOT))
    files.append(File.generated(config, "cli.md", content=cli_reference()))
    files.append(File.generated(config, "example.md", content=notebook_page()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Name files of the repository that are no pages of the site instead of linking to them."""
    here = PurePosixPath(page.file.src_uri).parent

    def named(match: re.Match[str]) -> str:
        parts: list[str] = []
        for part in (here / match[2]).parts:
            if part == ".." and parts and parts[-1] != "..":
                parts.pop()
            else:
                parts.append(part)
        if parts[0] != "..":
            return match[0]
        path = "/".join(parts[1:]) + ("/" if match[2].endswith("/") else "")
        text = match[1].strip("`")
        return f"`{path}`" if text.strip("/") in path else f"{match[1]} (`{path}`)"

    return _LINK.sub(named, markdown)
