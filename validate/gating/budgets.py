"""Budgets for artifacts, precisions and classes, and a result judged by them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from export.common.errors import UsageError, unknown
from validate.gating.counted import Counted
from validate.gating.judgement import Reading, judge
from validate.gating.kinds import BASE, FACTS, KINDS, BudgetSubject, Kind, option
from validate.gating.rules import Rules
from validate.gating.verdict import Outcome, Verdict
from validate.metrics.power import detectable, standard_error
from validate.result.result import ArtifactResult, Result


@dataclass(frozen=True)
class BudgetKey:
    """What a budget is for; None stands for every network, artifact or class.

    `target` is an artifact id or a precision.
    """

    network: str | None
    target: str | None
    class_name: str | None

    def __str__(self) -> str:
        """The key as the user wrote it."""
        network = "" if self.network is None else f"{self.network}/"
        return network + ":".join(part for part in (self.target, self.class_name) if part)

    def rank(self, network: str, artifact: ArtifactResult) -> int:
        """How closely this names an artifact of a network: 0 not at all, more is closer."""
        if self.network not in (None, network):
            return 0
        by_network = 4 * (self.network is not None)
        if self.target is None:
            return by_network + 1
        if self.target == artifact.id:
            return by_network + 3
        return by_network + 2 if self.target == artifact.precision else 0


@dataclass(frozen=True)
class GateBudget:
    """A limit of one kind for what its key names."""

    kind: str
    key: BudgetKey
    limit: float


def parse_key(kind: str, key: str) -> BudgetKey:
    """Read `[NETWORK/]ID`, or `[NETWORK/][ID:]CLASS` of a kind that is per class.

    Only with an ID or its colon does a class's key name a network: classes may hold a slash.
    Raises ValueError for a key that names nothing.
    """
    if not KINDS[kind].per_class:
        network, slash, target = key.rpartition("/")
        if not key or (slash and not network):
            raise ValueError("give an artifact id or a precision, such as int8 or net/int8")
        return BudgetKey(network or None, target or None, None)
    before, colon, class_name = key.rpartition(":")
    network, slash, target = before.rpartition("/")
    if not class_name or (colon and not before) or (slash and not network):
        raise ValueError("give a class, such as person, int8:person or net/int8:person")
    return BudgetKey(network or None, target or None, class_name)


def read_budgets(given: Mapping[str, Mapping[str, object] | None]) -> list[GateBudget]:
    """Read budgets by kind and key, in the table's order.

    Raises UsageError for a kind that is none, a key that names nothing, and a limit that is no
    number of the kind's unit.
    """
    for kind in given:
        if kind not in KINDS:
            raise UsageError(unknown("budget", kind, KINDS))
    budgets = []
    for kind in KINDS:
        for key, text in (given.get(kind) or {}).items():
            try:
                named = parse_key(kind, key)
                limit = KINDS[kind].unit.parse(text)
            except ValueError as error:
                raise UsageError(f"{option(kind)} {key}={text}: {error}") from error
            budgets.append(GateBudget(kind, named, limit))
    return budgets


def judge_budgets(counted: Counted, budgets: Sequence[GateBudget], rules: Rules) -> list[Verdict]:
    """Judge every artifact that a budget names, each by the budget that names it most closely.

    A budget for another network judges nothing.
    """
    return [
        verdict
        for budget in budgets
        if budget.key.network in (None, counted.result.name)
        for verdict in _judge_budget(counted, budget, budgets, rules)
    ]


def broken(artifact: ArtifactResult, check: str) -> Verdict | None:
    """Return the failure of an artifact whose logits hold inf or NaN, whatever its numbers."""
    if not artifact.nonfinite_images:
        return None
    reason = f"inf or NaN in the logits of {artifact.nonfinite_images} images"
    return Verdict(artifact.id, Outcome.FAIL, reason, check)


def _judge_budget(
    counted: Counted, budget: GateBudget, budgets: Sequence[GateBudget], rules: Rules
) -> Iterator[Verdict]:
    result, check = counted.result, check_name(budget)
    ranks = {a.id: budget.key.rank(result.name, a) for a in result.artifacts}
    named = [a for a in result.artifacts if ranks[a.id] and _has_value(result, budget, a)]
    if not named:
        yield Verdict(str(budget.key), Outcome.UNKNOWN, _absent(result, budget), check)
    for artifact in named:
        rivals = [
            other
            for other in budgets
            if (other.kind, other.key.class_name) == (budget.kind, budget.key.class_name)
        ]
        if ranks[artifact.id] == max(rival.key.rank(result.name, artifact) for rival in rivals):
            yield _judge(counted, artifact, budget, rules)


def check_name(budget: GateBudget) -> str:
    """Return what a budget judges, such as "max-drop" or "max-class-drop person"."""
    words = [option(budget.kind).lstrip("-"), budget.key.class_name]
    return " ".join(word for word in words if word)


def _has_value(result: Result, budget: GateBudget, artifact: ArtifactResult) -> bool:
    if artifact.id != result.reference:
        return True
    return not KINDS[budget.kind].against_reference and artifact.id == budget.key.target


def _absent(result: Result, budget: GateBudget) -> str:
    kind = KINDS[budget.kind]
    if budget.key.target == result.reference:
        return f"is the reference itself, it has no {kind.noun}"
    others = [a.id for a in result.artifacts if a.id != result.reference]
    return f"not in the result; there: {', '.join(others) or 'nothing'}"


def _judge(counted: Counted, artifact: ArtifactResult, budget: GateBudget, rules: Rules) -> Verdict:
    kind, check, class_name = KINDS[budget.kind], check_name(budget), budget.key.class_name
    if failure := broken(artifact, check):
        return failure
    if altered := _altered(counted, artifact, kind):
        return Verdict(artifact.id, Outcome.UNKNOWN, altered, check, limit=budget.limit)
    reading = kind.read(BudgetSubject(counted.result, artifact, class_name))
    if isinstance(reading, str):
        return Verdict(artifact.id, Outcome.UNKNOWN, reading, check, limit=budget.limit)
    judged = judge(reading, budget.limit, at_most=kind.at_most, rules=rules)
    noun = f"{class_name} {kind.noun}" if class_name else kind.noun
    verb = kind.words[0 if judged.inside else 1]
    value, limit = kind.unit.value(reading.value), kind.unit.limit(budget.limit)
    return Verdict(
        artifact.id,
        judged.outcome,
        f"{noun} {value} {verb} {limit}{judged.remark}{_detectable(reading, rules)}",
        check,
        reading.value,
        budget.limit,
        reading.interval,
        judged.inconclusive,
    )


def _altered(counted: Counted, artifact: ArtifactResult, kind: Kind) -> str | None:
    """Return why the figure that a budget reads cannot be believed, None where it can."""
    ids = (artifact.id, BASE) if kind.figure == FACTS else (artifact.id,)
    for id in ids:
        if said := counted.alteration(id, kind.figure):
            return f"{kind.noun} of {id} {said}" if kind.figure == FACTS else f"{said}, no verdict"
    return None


def _detectable(reading: Reading, rules: Rules) -> str:
    """Say how small a drop these images show; nothing for figures without an interval."""
    error = standard_error(reading.interval, rules.level)
    return "" if error is None else f"; detectable from {detectable(error):.2f}"
