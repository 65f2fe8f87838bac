"""A sweep's [space]: keys with values to choose from, or ends between which a number is drawn.

[space]
trials = 24
seed = 0
target = ["cpu", "npu"]
range = ["mse", { rule = "percentile", min = 99.0, max = 99.999 }]
max_drop = { min = 0.1, max = 1.0 }
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import Any

from export.common.errors import UsageError, unknown
from quantize.ranges.table import range_rule
from segport.sweep.cells import DEFAULTS, MOST, Chosen

BATCH = 8
"""Cells that are chosen at once: more of them keep more workers busy, fewer learn sooner."""
_COUNTS = {"trials": (1, MOST), "seed": (0, 2**32 - 1), "batch": (1, MOST)}
_FIRST = {"seed": 0, "batch": BATCH}
_STEPS = 3
"""Powers of ten: at least so many different numbers lie between two ends."""
_LARGEST = 1e100


@dataclass(frozen=True)
class Between:
    """A number from `low` to `high`, or with a `rule` the text "rule:number" as `range` has it."""

    low: float
    high: float
    rule: str | None = None

    def value(self, number: float) -> float | str:
        """Return a number that lies between the ends as it is written: a thousandth of the way."""
        if self.high > self.low:
            digits = _STEPS - floor(log10(self.high - self.low))
            number = min(max(round(number, digits), self.low), self.high)
        return number if self.rule is None else f"{self.rule}:{number}"


@dataclass(frozen=True)
class Space:
    """How many cells are made, the sampler's seed, how many are chosen at once, and of what.

    `options` are the values and ranges of each key.
    """

    trials: int
    seed: int
    batch: int
    options: Mapping[str, tuple[Any, ...]]

    @property
    def varying(self) -> list[str]:
        """The keys in which cells may differ."""
        fixed = [key for key, (first, *more) in self.options.items() if not more and _one(first)]
        return [key for key in self.options if key not in fixed]

    def examples(self) -> Sequence[Chosen]:
        """Return settings among which every value stands once, and of ranges ends and middle."""
        found: list[Chosen] = [
            {**DEFAULTS, key: value}
            for key, options in self.options.items()
            for option in options
            for value in _examples(option)
        ]
        return found


def space_of(table: Mapping[str, Any]) -> Space:
    """Return the space that a table [space] describes; raise UsageError naming the key."""
    counts = {name: _count(name, table.get(name, _FIRST.get(name))) for name in _COUNTS}
    options = {
        key: tuple(_options(key, value)) for key, value in table.items() if key not in _COUNTS
    }
    if not options:
        raise UsageError("[space] names nothing to choose: give a key of [[artifact]] and values")
    return Space(**counts, options=options)


def _one(option: Any) -> bool:
    return not isinstance(option, Between) or option.low == option.high


def _examples(option: Any) -> Iterator[Any]:
    if not isinstance(option, Between):
        yield option
        return
    for number in (option.low, option.high, (option.low + option.high) / 2):
        yield option.value(number)


def _count(name: str, value: Any) -> int:
    low, high = _COUNTS[name]
    if type(value) is not int or not low <= value <= high:
        raise UsageError(f"[space] {name}: give a whole number from {low} to {high:,}")
    return value


def _options(key: str, value: Any) -> Iterator[Any]:
    """Give the values and ranges of a key."""
    options = [value] if isinstance(value, dict) else value
    if not isinstance(options, list) or not options:
        raise UsageError(
            f"[space] {key}: give a list of values, or {{ min = ..., max = ... }} for a number"
        )
    for option in options:
        yield _between(key, option) if isinstance(option, dict) else option


def _between(key: str, table: Mapping[str, Any]) -> Between:
    known = ["min", "max", *(["rule"] if key == "range" else [])]
    for name in table:
        if name not in known:
            raise UsageError(f"[space] {key}: {unknown('key', name, known)}")
    low, high = _number(key, "min", table), _number(key, "max", table)
    if low > high:
        raise UsageError(f"[space] {key}: min {low:g} is more than max {high:g}")
    found = Between(low, high, table.get("rule"))
    if found.rule is not None:
        for text in _examples(found):
            _check_rule(text)
    return found


def _number(key: str, name: str, table: Mapping[str, Any]) -> float:
    value = table.get(name)
    if type(value) not in (int, float) or not -_LARGEST <= value <= _LARGEST:  # type: ignore[operator]
        raise UsageError(f"[space] {key}: {name} has to be a number")
    return float(value)  # type: ignore[arg-type]


def _check_rule(text: str) -> None:
    try:
        range_rule(text)
    except UsageError as error:
        raise UsageError(f"[space] range: {error}") from error
