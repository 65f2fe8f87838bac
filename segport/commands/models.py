"""`segport models`."""

from segport.arguments import AsJson
from segport.output import say


def models(as_json: AsJson = False) -> None:
    """List the networks Segport can build, with their cost and published figures."""
    from export.zoo import zoo_table
    from segport.tables import models_table

    rows = zoo_table()
    say(rows if as_json else models_table(rows), as_json)
