"""Write README.md from what the scripts measured.

    python benchmarks/page.py [--results benchmarks/results] [-o benchmarks/README.md]

The text is in page.md, a template that is given the functions of tables.py; all its figures come
from the JSON files, and a section whose file is not there is left out. `tests/test_bench_page.py`
holds the committed page to the committed files.
"""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks import tables
from benchmarks.tables import Facts
from validate.result.cells import number

HERE = Path(__file__).parent


def main() -> None:
    """Write the page."""
    parser = ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("-o", "--out", type=Path, default=HERE / "README.md")
    options = parser.parse_args()
    options.out.write_text(page(read(options.results)), encoding="utf-8")


def read(folder: Path) -> dict[str, Any]:
    """Return what every JSON file in `folder` holds, by its stem."""
    return {
        path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))
    }


def page(results: Facts) -> str:
    """Return the page in Markdown; `results` is what `read` returns."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        undefined=StrictUndefined,
        autoescape=False,  # it is Markdown
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["number"] = number
    template = environment.get_template("page.md")
    runs = {key.partition("-")[2]: v for key, v in results.items() if key.startswith("pipeline-")}
    return template.render(results=results, runs=runs, tables=tables)


if __name__ == "__main__":
    main()
