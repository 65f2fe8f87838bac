"""`segport index`."""

from pathlib import Path
from typing import Annotated

import typer

from segport.arguments import AsJson
from segport.output import say


def index(
    folder: Annotated[Path, typer.Argument(help="Folder of NAME/PROTOCOL/result.json.")],
    as_json: AsJson = False,
) -> None:
    """Write FOLDER/README.md, a table of all results in the folder."""
    from validate.report.index import write_index

    file, results = write_index(folder)
    done = {"file": str(file), "results": results}
    say(done if as_json else f"wrote {file} ({results} results)", as_json)
