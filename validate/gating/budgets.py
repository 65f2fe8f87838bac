"""Budgets for artifacts, precisions and classes, and a result judged by them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from export.errors import UsageError, unknown
from validate.gating.judgement import judge
from validate.gating.kinds import KINDS, Subject, option
from validate.gating.verdict import Outcome, Verdict
from validate.result import ArtifactResult, Result


@dataclass(frozen=True)
class Budget:
    """A limit for what `target` names: an artifact id, a precision, or None for all artifacts."""

    kind: str
    target: str | None
    class_name: str | None
    limit: float

    @property
    def name(self) -> str:
        """The target and class as the user wrote them."""
        return ":".join(part for part in (self.target, self.class_name) if part)

    def rank(self, artifact: ArtifactResult) -> int:
        """How closely this budget names an artifact: 0 not at all, 3 by its id."""
        if self.target is None:
            return 1
        return 3 if self.target == artifact.id else 2 * (self.target == artifact.precision)


def parse_key(kind: str, key: str) -> tuple[str | None, str | None]:
    """Return target and class of a budget's key; raise ValueError for one that names nothing."""
    if not KINDS[kind].per_class:
        if not key:
            raise ValueError("give an artifact id or a precision, such as int8")
        return key, None
    target, separator, class_name = key.rpartition(":")
    if not class_name or (separator and not target):
        raise ValueError("give a class, such as person or int8:person")
    return target or None, class_name


def read_budgets(given: Mapping[str, Mapping[str, object] | None]) -> list[Budget]:
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
                target, class_name = parse_key(kind, key)
                limit = KINDS[kind].unit.parse(text)
            except ValueError as error:
                raise UsageError(f"{option(kind)} {key}={text}: {error}") from error
            budgets.append(Budget(kind, target, class_name, limit))
    return budgets


def judge_budgets(
    result: Result, budgets: Sequence[Budget], on_inconclusive: str | None
) -> list[Verdict]:
    """Judge every artifact that a budget names, each by the budget that names it most closely."""
    return [
        verdict
        for budget in budgets
        for verdict in _judge_budget(result, budget, budgets, on_inconclusive)
    ]


def broken(artifact: ArtifactResult, check: str) -> Verdict | None:
    """Return the failure of an artifact whose logits hold inf or NaN, whatever its numbers."""
    if not artifact.nonfinite_images:
        return None
    reason = f"inf or NaN in the logits of {artifact.nonfinite_images} images"
    return Verdict(artifact.id, Outcome.FAIL, reason, check)


def _judge_budget(
    result: Result, budget: Budget, budgets: Sequence[Budget], on_inconclusive: str | None
) -> Iterator[Verdict]:
    check = check_name(budget)
    named = [a for a in result.artifacts if budget.rank(a) and _has_value(result, budget, a)]
    if not named:
        yield Verdict(budget.name, Outcome.UNKNOWN, _absent(result, budget), check)
    for artifact in named:
        rivals = [b for b in budgets if (b.kind, b.class_name) == (budget.kind, budget.class_name)]
        if budget.rank(artifact) == max(b.rank(artifact) for b in rivals):
            yield _judge(result, artifact, budget, on_inconclusive)


def check_name(budget: Budget) -> str:
    """Return what a budget judges, such as "max-drop" or "max-class-drop person"."""
    words = [option(budget.kind).lstrip("-"), budget.class_name]
    return " ".join(word for word in words if word)


def _has_value(result: Result, budget: Budget, artifact: ArtifactResult) -> bool:
    if artifact.id != result.reference:
        return True
    return not KINDS[budget.kind].against_reference and artifact.id == budget.target


def _absent(result: Result, budget: Budget) -> str:
    kind = KINDS[budget.kind]
    if budget.target == result.reference:
        return f"is the reference itself, it has no {kind.noun}"
    others = [a.id for a in result.artifacts if a.id != result.reference]
    return f"not in the result; there: {', '.join(others) or 'nothing'}"


def _judge(
    result: Result, artifact: ArtifactResult, budget: Budget, on_inconclusive: str | None
) -> Verdict:
    kind, check = KINDS[budget.kind], check_name(budget)
    if failure := broken(artifact, check):
        return failure
    found = kind.read(Subject(result, artifact, budget.class_name))
    if isinstance(found, str):
        return Verdict(artifact.id, Outcome.UNKNOWN, found, check, limit=budget.limit)
    judged = judge(found, budget.limit, at_most=kind.at_most, on_inconclusive=on_inconclusive)
    noun = f"{budget.class_name} {kind.noun}" if budget.class_name else kind.noun
    verb = kind.words[0 if judged.inside else 1]
    value, limit = kind.unit.value(found.value), kind.unit.limit(budget.limit)
    return Verdict(
        artifact.id,
        judged.outcome,
        f"{noun} {value} {verb} {limit}{judged.remark}",
        check,
        found.value,
        budget.limit,
        found.interval,
        judged.inconclusive,
    )
