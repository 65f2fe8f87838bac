"""Limits as users write them: which make sense, and how limit and value are shown."""

import re
from collections.abc import Callable
from dataclasses import dataclass

_BYTES = {"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def _number(text: str) -> float:
    """Return a plain decimal; Python's own float also takes "1_0" and digits of other scripts."""
    if not re.fullmatch(r"\s*[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?\s*", text):
        raise ValueError(text)
    return float(text)


def _bytes(text: str) -> float:
    match = re.fullmatch(r"\s*([0-9.]+)\s*([a-zA-Z]*)\s*", text)
    if not match or match[2].upper() not in _BYTES:
        raise ValueError(text)
    return float(match[1]) * _BYTES[match[2].upper()]


@dataclass(frozen=True)
class Unit:
    """Limits lie in `lowest` to `highest`; `word` and `example` tell a user what to give.

    The formats show a value and a limit, both divided by `divisor`: sizes are bytes, shown as
    MB.
    """

    word: str
    example: str
    lowest: float
    highest: float
    value_format: str = "{:.3f}"
    limit_format: str = "{:g}"
    divisor: float = 1
    number: Callable[[str], float] = _number

    def parse(self, text: object) -> float:
        """Return a limit; raise ValueError saying what to give for text or number out of range."""
        try:
            limit = self.number("" if isinstance(text, bool) else str(text))
        except ValueError:
            limit = float("nan")
        if not self.lowest <= limit <= self.highest:
            raise ValueError(f"give {self.word}, such as {self.example}")
        return limit

    def value(self, value: float) -> str:
        """Return a value's text."""
        return self.value_format.format(value / self.divisor)

    def limit(self, limit: float) -> str:
        """Return a limit's text."""
        return self.limit_format.format(limit / self.divisor)


POINTS = Unit("POINTS", "0.5", -100, 100, "{:+.3f}")
# 0.99 is a share: as percent, a budget that everything passes
PERCENT = Unit("PERCENT from 2 to 100", "99", 2, 100, "{:.3f} %", "{:g} %")
RATIO = Unit("a RATIO above 0", "0.5", 1e-9, 1e9)
SHARE = Unit("a SHARE from 0 to 1", "0.97", 0, 1)
# 6 would be bytes, and is meant as MB
SIZE = Unit("a SIZE of 1KB or more", "6MB", 1e3, 1e15, "{:.3f} MB", "{:g} MB", 1e6, _bytes)
