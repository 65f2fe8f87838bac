"""What pydantic finds wrong, in a few words."""

from pydantic import ValidationError


def first_wrong(error: ValidationError, *outer: str) -> str:
    """Return "place: what is wrong there" of the first thing found; `outer` begin the place.

    Of the document as a whole it is what is wrong alone.
    """
    first = error.errors()[0]
    where = ".".join(map(str, (*outer, *first["loc"])))
    said = first["msg"].removeprefix("Value error, ")
    return f"{where}: {said}" if where else said
