"""Which cells to make next: all of a grid, or those of a space that a sampler asks for.

The sampler is Optuna's for several objectives, by Parzen estimators (Ozaki et al., "Multiobjective
tree-structured Parzen estimator for computationally expensive optimization problems", 2020). It is
asked for a batch and told of all of it at once, in its order: so neither who ends first nor how
many workers there are bears on what comes next. Nor does what is measured: docs/decisions/12.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, count
from typing import Any, Protocol

from export.common.errors import RuntimeUnavailableError
from segport.recipe import ArtifactSection
from segport.sweep.cells import DEFAULTS, Cell, Chosen, cell, folder_name, matters
from segport.sweep.space import Between, Space

Costs = tuple[float, float, float]
"""What is to be small: loss (points), share of MACs left in float (0-1), size relative to fp32."""
MISSES = 100
"""Draws in a row without a new cell, after which there is none to be expected."""
_EXTRA = "[space] needs Optuna: pip install 'segport[sweep]', or give a [grid]"


Note = Callable[[str], None]


class Chooser(Protocol):
    """Says which cells to make next, and is told what they cost."""

    def ask(self) -> Sequence[Cell]:
        """Return the next cells, none when there are no more."""

    def tell(self, costs: Mapping[str, Costs]) -> None:
        """Take the costs of the cells asked last, by name; those that failed have none."""


class Listed:
    """Cells that are known from the beginning."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._cells = cells

    def ask(self) -> Sequence[Cell]:
        cells, self._cells = self._cells, ()
        return cells

    def tell(self, costs: Mapping[str, Costs]) -> None:
        """Nothing follows from it."""


class Sampler:
    """Cells of a space, each once, as an optimizer of all costs asks for them.

    `section` makes an artifact's section of what is chosen, `note` is told in a line where there
    are fewer cells than trials. Raises RuntimeUnavailableError where Optuna is not installed.
    """

    def __init__(
        self,
        space: Space,
        section: Callable[[Chosen], ArtifactSection],
        note: Note,
    ) -> None:
        self._space, self._section, self._note = space, section, note
        self._optuna = _optuna()
        sampler = self._optuna.samplers.TPESampler(seed=space.seed)
        self._study = self._optuna.create_study(directions=["minimize"] * 3, sampler=sampler)
        self._costs: dict[str, Costs | None] = {}
        self._asked: dict[str, list[Any]] = {}
        self._names: dict[str, str] = {}
        self._over = False

    def ask(self) -> Sequence[Cell]:
        left = self._space.trials - len(self._names)
        wanted = 0 if self._over else min(self._space.batch, left)
        cells: list[Cell] = []
        misses = 0
        while len(cells) < wanted and misses < MISSES:
            trial = self._study.ask()
            chosen = self._drawn(trial)
            key = json.dumps(chosen, sort_keys=True)
            if key in self._costs:
                self._settle(trial, self._costs[key])
            else:
                self._asked.setdefault(key, []).append(trial)
            misses += 1
            if key not in self._names:
                cells.append(self._cell(key, chosen))
                misses = 0
        if misses == MISSES:
            self._over = True
            self._note(
                f"{len(self._names)} cells of {self._space.trials}: {MISSES} draws in a row gave "
                "none that is new"
            )
        return cells

    def tell(self, costs: Mapping[str, Costs]) -> None:
        for key, trials in self._asked.items():
            self._costs[key] = costs.get(self._names[key])
            for trial in trials:
                self._settle(trial, self._costs[key])
        self._asked = {}

    def _settle(self, trial: Any, costs: Costs | None) -> None:
        if costs is None:
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(trial, costs)

    def _drawn(self, trial: Any) -> Chosen:
        """Return what a trial proposes: the precision first, then what bears on its files."""
        chosen = dict(DEFAULTS)
        options = self._space.options
        for key in sorted(options, key=lambda key: key != "precision"):
            if matters(key, chosen["precision"]):
                chosen[key] = _option(key, options[key], trial)
        return chosen

    def _cell(self, key: str, chosen: Chosen) -> Cell:
        first = folder_name(chosen, self._space.varying)
        names = chain([first], (f"{first}_{number}" for number in count(2)))
        self._names[key] = name = next(one for one in names if one not in self._names.values())
        return cell(name, self._section(chosen), chosen)


def _option(key: str, options: Sequence[Any], trial: Any) -> Any:
    """Return what a trial proposes for a key: one of its values, or a number of one of its ranges.

    The sampler knows values by their places, for it takes no lists.
    """
    places = range(len(options))
    place = trial.suggest_categorical(key, list(places)) if len(options) > 1 else 0
    option = options[place]
    if isinstance(option, Between):
        return option.value(trial.suggest_float(f"{key}.{place}", option.low, option.high))
    return option


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise RuntimeUnavailableError(_EXTRA) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
