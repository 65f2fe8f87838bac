"""Which cells a sweep's space asks for, in which order, and what is said of a wrong one."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from export.common.errors import UsageError
from segport.recipe import ArtifactSection
from segport.sweep.cells import Cell, Chosen
from segport.sweep.choosing import Costs, Sampler
from segport.sweep.plan import load_sweep
from segport.sweep.space import Between, space_of
from tests.segport.command import segport
from tests.segport.sweep.test_plan import HEAD

TABLE = {
    "trials": 14,
    "batch": 4,
    "precision": ["int8", "fp16"],
    "target": ["cpu", "npu"],
    "range": ["mse", {"rule": "percentile", "min": 99.0, "max": 99.999}],
    "keep_float": [[], ["a*", "b"]],
}


def _written(folder: Path, text: str) -> Path:
    file = folder / "sweep.toml"
    file.write_text(HEAD + text)
    return file


def _cost(cell: Cell) -> Costs:
    """A made-up one: fp16 loses nothing and is large, percentiles far out lose little."""
    if cell.section.precision == "fp16":
        return 0.0, 1.0, 0.5
    rule, _, percentile = str(cell.section.range).partition(":")
    loss = 1.0 if rule == "mse" else 100 - float(percentile)
    return loss, 0.1 * len(cell.section.keep_float), 0.25


def _rounds(
    table: dict[str, object],
    cost: Callable[[Cell], Costs | None] = _cost,
    note: Callable[[str], None] = pytest.fail,
    order: Callable[[Sequence[Cell]], Sequence[Cell]] = list,
) -> list[list[Cell]]:
    """Ask until nothing comes, and tell what cells cost in `order`."""

    def section(chosen: Chosen) -> ArtifactSection:
        return ArtifactSection.model_validate(chosen)

    sampler = Sampler(space_of(table), section, note)
    rounds = []
    while cells := list(sampler.ask()):
        rounds.append(cells)
        costs = {cell.name: cost(cell) for cell in order(cells)}
        sampler.tell({name: found for name, found in costs.items() if found is not None})
    return rounds


def _names(rounds: list[list[Cell]]) -> list[str]:
    return [cell.name for cells in rounds for cell in cells]


def test_cells_come_in_batches_each_once_and_say_only_what_bears_on_them() -> None:
    rounds = _rounds(TABLE)
    assert [len(cells) for cells in rounds] == [4, 4, 4, 2]
    cells = [cell for one in rounds for cell in one]
    assert len({str(cell.written) for cell in cells}) == len({cell.name for cell in cells}) == 14
    kinds = {cell.section.precision for cell in cells}
    assert kinds == {"int8", "fp16"}
    for cell in cells:
        assert ("range" in cell.written) == (cell.section.precision == "int8")


def test_a_seed_gives_the_same_cells_whoever_ends_first() -> None:
    names = _names(_rounds(TABLE))
    assert _names(_rounds(TABLE, order=lambda cells: cells[::-1])) == names
    assert _names(_rounds(TABLE | {"seed": 1})) != names
    assert _names(_rounds(TABLE | {"trials": 17}))[:14] == names


def test_what_cells_cost_decides_what_comes_next() -> None:
    table = {"trials": 48, "max_drop": {"min": 0.0, "max": 10.0}}

    def cost(cell: Cell) -> Costs:
        return abs((cell.section.max_drop or 0.0) - 7), 0.0, 0.0

    drops = [cell.section.max_drop for cells in _rounds(table, cost) for cell in cells]
    near = [abs((drop or 0.0) - 7) < 1 for drop in drops]
    # a fifth of the range: ten of 48 without learning
    assert sum(near[24:]) > 12 > 2 * sum(near[:8])


def test_a_failed_cell_is_asked_for_once_and_stops_nothing() -> None:
    table = {"trials": 8, "batch": 3, "target": ["cpu", "npu"], "range": ["mse", "minmax"]}
    said: list[str] = []
    rounds = _rounds(table, lambda cell: None, said.append)
    assert sorted(_names(rounds)) == ["cpu-minmax", "cpu-mse", "npu-minmax", "npu-mse"]
    assert said == ["4 cells of 8: 100 draws in a row gave none that is new"]


def test_names_of_cells_are_folders_of_their_own() -> None:
    table = {"trials": 3, "keep_float": [["é" * 200], ["é" * 300], ["../é"]]}
    names = _names(_rounds(table, lambda cell: (0.0, 0.0, 0.0)))
    assert len(set(names)) == 3 and not any("/" in name or name[0] == "." for name in names)


@pytest.mark.parametrize(
    ("between", "number", "value"),
    [
        (Between(0.1, 1.1), 0.123456, 0.123),
        (Between(0.0, 50.0), 12.3456, 12.35),
        (Between(0.0, 0.0009), 0.0001234, 0.0001234),
        (Between(0.33333, 0.77777), 0.33334, 0.33333),
        (Between(2.0, 2.0), 2.0, 2.0),
        (Between(99.0, 99.999, "percentile"), 99.95123, "percentile:99.9512"),
    ],
)
def test_numbers_are_written_to_a_thousandth_of_their_range(
    between: Between, number: float, value: float | str
) -> None:
    assert between.value(number) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[space]\ntrials = 4\ntarget = ['cpu']\n[grid]\ntarget = ['cpu']", "give one of them"),
        ("", r"needs a table \[grid\] or \[space\]"),
        ("[space]", r"needs a table \[space\] that is not empty"),
        ("[space]\ntrials = 4", "names nothing to choose"),
        ("[space]\ntarget = ['cpu']", "trials: give a whole number from 1 to 2,000"),
        ("[space]\ntrials = 0\ntarget = ['cpu']", "trials: give a whole number"),
        ("[space]\ntrials = true\ntarget = ['cpu']", "trials: give a whole number"),
        ("[space]\ntrials = 4\nseed = -1\ntarget = ['cpu']", "seed: give a whole number"),
        ("[space]\ntrials = 4\ntarget = 'cpu'", "target: give a list of values, or"),
        ("[space]\ntrials = 4\ntarget = []", "target: give a list of values, or"),
        ("[space]\ntrials = 4\ntarget = ['cpuu']", "did you mean 'cpu'"),
        ("[space]\ntrials = 4\ntargte = ['cpu']", "did you mean 'target'"),
        ("[space]\ntrials = 4\nmax_drop = { min = 2, max = 1 }", "min 2 is more than max 1"),
        ("[space]\ntrials = 4\nmax_drop = { min = 'a', max = 1 }", "min has to be a number"),
        ("[space]\ntrials = 4\nmax_drop = { min = 0 }", "max has to be a number"),
        ("[space]\ntrials = 4\nmax_drop = { min = 0, max = inf }", "max has to be a number"),
        ("[space]\ntrials = 4\nmax_drop = { mni = 0, max = 1 }", "did you mean 'min'"),
        ("[space]\ntrials = 4\ntarget = { min = 0, max = 1 }", "artifact.0.target"),
        ("[space]\ntrials = 4\nforce = { min = 0, max = 1 }", "artifact.2.force"),
        (
            "[space]\ntrials = 4\nmin_self_agreement = { min = 90, max = 101 }",
            "artifact.1.min_self_agreement: Input should be less than or equal to 100",
        ),
        (
            "[space]\ntrials = 4\nrange = { rule = 'percentil', min = 99, max = 99.9 }",
            r"\[space\] range: .*did you mean 'percentile'",
        ),
        (
            "[space]\ntrials = 4\nrange = { rule = 'percentile', min = 99, max = 101 }",
            r"\[space\] range: .*101",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_sweep(_written(tmp_path, text))


def test_without_optuna_a_line_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    plan = _written(tmp_path, "[space]\ntrials = 4\ntarget = ['cpu', 'npu']")
    answer = segport("sweep", plan, "-o", tmp_path / "out")
    assert answer.code == 2
    (line,) = answer.errors
    assert "pip install 'segport[sweep]'" in line
