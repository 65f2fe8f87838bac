"""Names that users and files give: what they may be."""

import re
import unicodedata
from collections.abc import Iterable

from export.common.escaping import visible

LONGEST = 128
"""Characters of a name that begins a file's name; most file systems take 255 bytes in all."""

FILE_NAME = r"[A-Za-z0-9_][A-Za-z0-9_-]*"
"""What begins the name of an artifact's files."""

_HIDDEN = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode's controls, lone surrogates (bytes that are no UTF-8), and other ends of lines."""

_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_NO_CHARACTERS = frozenset("\ufffe\uffff")  # XML, and so SVG, has no way to write them


def _hidden(character: str) -> bool:
    return (
        unicodedata.category(character) in _HIDDEN
        or character in _REORDERING
        or character in _NO_CHARACTERS
    )


def is_file_name(text: str) -> bool:
    """Whether `text` may begin the name of a file that Segport writes."""
    return len(text) <= LONGEST and re.fullmatch(FILE_NAME, text) is not None


def is_plain(text: str) -> bool:
    """Whether every character can be shown: no control, no half character, no turned order."""
    return not any(map(_hidden, text))


def first_odd(texts: Iterable[str]) -> str | None:
    """Return the first of `texts` that is not plain, made visible, or None."""
    return next((visible(text) for text in texts if not is_plain(text)), None)


def is_inside(path: str) -> bool:
    """Whether a relative path with slashes stays in the folder that it is relative to."""
    parts = {part for part in path.split("/") if part not in ("", ".")}
    return bool(parts) and "\0" not in path and not path.startswith("/") and ".." not in parts
