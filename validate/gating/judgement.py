"""A value, with its 95 % interval if there is one, against a limit."""

from dataclasses import dataclass

from export.errors import UsageError
from validate.gating.verdict import Outcome

ON_INCONCLUSIVE = ("pass", "fail")
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Reading:
    """A value and the 95 % interval it lies in, None where that is not known."""

    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Judgement:
    """The outcome, whether the value itself is inside, and what decided where that is no answer."""

    outcome: Outcome
    inside: bool
    remark: str = ""
    inconclusive: bool = False


def judge(
    reading: Reading,
    limit: float,
    *,
    at_most: bool = True,
    on_inconclusive: str | None = None,
    no_change: float | None = None,
) -> Judgement:
    """Compare a reading with a limit, an upper one (`at_most`) or a lower one. Pure.

    With an interval it passes when the whole of it is inside, fails when none of it is, and
    is inconclusive otherwise: then `on_inconclusive`, "pass" or "fail", decides, or without
    it the value itself; but a reading whose interval holds `no_change` passes then, as nothing
    says that it is a change at all. A value equal to its limit is inside.
    """
    sign = 1 if at_most else -1
    bound = sign * limit + _ROUNDING
    inside = sign * reading.value <= bound
    by_value = Outcome.PASS if inside else Outcome.FAIL
    if reading.interval is None:
        return Judgement(by_value, inside)
    best, worst = sorted(sign * end for end in reading.interval)
    spread = "95 % interval {:+.3f} to {:+.3f}".format(*reading.interval)
    if worst <= bound or best > bound:
        sure = Outcome.PASS if worst <= bound else Outcome.FAIL
        return Judgement(sure, sure is Outcome.PASS, f" ({spread})")
    remark = f"; inconclusive ({spread}), "
    low, high = reading.interval
    if on_inconclusive is None and no_change is not None and low <= no_change <= high:
        return Judgement(Outcome.PASS, inside, f"{remark}may be no change at all", True)
    if on_inconclusive is None:
        return Judgement(by_value, inside, f"{remark}judged by the point estimate", True)
    chosen = Outcome.PASS if on_inconclusive == "pass" else Outcome.FAIL
    return Judgement(chosen, inside, f"{remark}--on-inconclusive {on_inconclusive}", True)


def check_choice(on_inconclusive: str | None) -> None:
    """Raise UsageError unless it is "pass", "fail" or None."""
    if on_inconclusive not in (None, *ON_INCONCLUSIVE):
        raise UsageError(f"--on-inconclusive {on_inconclusive}: give pass or fail")
