"""`segport models`."""

from typing import Annotated

import typer

from export.common.errors import UsageError
from segport.arguments import AsJson
from segport.output import say


def models(
    as_json: AsJson = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a page that has the published figures, too.")
    ] = False,
) -> None:
    """List the networks Segport can build, with their cost and published figures."""
    if as_json and as_markdown:
        raise UsageError("models: --json and --markdown exclude each other")
    from segport.progress import stages

    with stages() as progress:
        progress.stage("count")
        from export.networks.zoo import zoo_comparison, zoo_table
        from segport.tables import models_table
        from segport.zoo_page import zoo_page

        if as_markdown:
            text: object = zoo_page(zoo_comparison())
        else:
            rows = zoo_table()
            text = rows if as_json else models_table(rows)
    say(text, as_json)
