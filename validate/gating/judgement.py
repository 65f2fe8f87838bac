"""A value, with its 95 % interval if there is one, against a limit."""

from dataclasses import dataclass

from validate.gating.decision import ROUNDING
from validate.gating.rules import DEFAULTS, Rules
from validate.gating.verdict import Outcome


@dataclass(frozen=True)
class Reading:
    """A value and the interval it lies in, None where that is not known."""

    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Judgement:
    """The outcome, whether the value itself is inside, and what else decided."""

    outcome: Outcome
    inside: bool
    remark: str = ""
    inconclusive: bool = False


def judge(
    reading: Reading,
    limit: float,
    *,
    at_most: bool = True,
    rules: Rules = DEFAULTS,
) -> Judgement:
    """Compare a reading with a limit, an upper one (`at_most`) or a lower one. Pure.

    With an interval it passes when the whole of it is inside, fails when none of it is, and
    is inconclusive otherwise: then the rules decide, or, where they do not, the value itself.
    A value equal to its limit is inside.
    """
    sign = 1 if at_most else -1
    bound = sign * limit + ROUNDING
    inside = sign * reading.value <= bound
    by_value = Outcome.PASS if inside else Outcome.FAIL
    if reading.interval is None:
        return Judgement(by_value, inside)
    best, worst = sorted(sign * end for end in reading.interval)
    spread = "{:g} % interval {:+.3f} to {:+.3f}".format(rules.level, *reading.interval)
    if worst <= bound or best > bound:
        sure = Outcome.PASS if worst <= bound else Outcome.FAIL
        return Judgement(sure, sure is Outcome.PASS, f" ({spread})")
    remark = f"; inconclusive ({spread}), "
    if rules.when_inconclusive is None:
        return Judgement(by_value, inside, f"{remark}judged by the point estimate", True)
    option = (
        f"--confidence {rules.confidence:g}"
        if rules.confidence is not None
        else f"--on-inconclusive {rules.on_inconclusive}"
    )
    chosen = Outcome.PASS if rules.when_inconclusive == "pass" else Outcome.FAIL
    return Judgement(chosen, inside, f"{remark}{option}", True)
