"""The workflow that teams copy: valid YAML, and commands that the command line accepts."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from segport.budget_options import parse_budgets
from segport.cli import app
from validate.gating.budgets import read_budgets
from validate.gating.kinds import KINDS

WORKFLOW = Path(__file__).resolve().parents[2] / "recipes/github-actions.yml"
GATE = "runs/ci/squash/result.json"


@pytest.fixture(scope="module")
def steps() -> list[dict[str, Any]]:
    """The steps of the workflow's one job."""
    document = yaml.safe_load(WORKFLOW.read_text())
    assert document["name"] == "segport"
    assert set(document[True]) >= {"pull_request", "push"}  # YAML 1.1 reads "on" as true
    (job,) = document["jobs"].values()
    assert job["runs-on"].startswith("ubuntu")
    found: list[dict[str, Any]] = job["steps"]
    return found


def _commands(steps: list[dict[str, Any]]) -> list[list[str]]:
    """The words of every segport command of the scripts."""
    scripts = [step["run"].replace("\\\n", " ") for step in steps if "run" in step]
    lines = [shlex.split(line) for script in scripts for line in script.splitlines()]
    return [words[1:] for words in lines if words and words[0] == "segport"]


def _accepted(words: list[str]) -> dict[str, Any]:
    """What the command line makes of a command, which is not run; raises where it refuses."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("segport", list(words))
    name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
    values: dict[str, Any] = command.make_context(name, rest, parent=context).params
    return values


def test_every_step_uses_an_action_or_runs_a_script(steps: list[dict[str, Any]]) -> None:
    assert all(("uses" in step) != ("run" in step) for step in steps)
    actions = [step["uses"] for step in steps if "uses" in step]
    assert all(action.startswith("actions/") and "@v" in action for action in actions)


def test_every_command_is_one_that_the_command_line_accepts(steps: list[dict[str, Any]]) -> None:
    commands = _commands(steps)
    assert [words[0] for words in commands] == ["run", "gate", "gate"]
    for words in commands:
        _accepted(words)
    with pytest.raises(Exception, match="max-dorp"):
        _accepted(["gate", GATE, "--max-dorp", "int8=1"])


def test_the_gate_reads_what_the_run_writes(steps: list[dict[str, Any]]) -> None:
    run, gate, update = map(_accepted, _commands(steps))
    assert gate["results"] == update["results"] == [str(run["out"] / "squash/result.json")]
    assert gate["baseline"] == update["baseline"] and update["update_baseline"]
    budgets = {kind: parse_budgets(kind, gate[kind] or []) for kind in KINDS}
    assert {"max_drop", "max_class_drop"} <= {b.kind for b in read_budgets(budgets)}
    assert not gate["max_latency_ratio"]  # shared runners cannot time anything
    (kept,) = [s for s in steps if s.get("with", {}).get("name") == "segport"]
    assert Path(kept["with"]["path"]) in gate["junit"].parents
    assert kept["if"] == "${{ !cancelled() }}"  # also after a failure, when it matters


def test_the_renewed_baseline_is_offered_with_its_counts(steps: list[dict[str, Any]]) -> None:
    (offered,) = [s for s in steps if s.get("with", {}).get("name") == "baseline"]
    file = _accepted(_commands(steps)[-1])["baseline"]
    assert offered["with"]["path"].split() == [str(file), f"{file.stem}-counts"]
