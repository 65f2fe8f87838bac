"""The cells of one network: chosen, made and judged in rounds, and in the end timed together."""

from dataclasses import dataclass, field
from itertools import count

from export.artifact.artifact import Artifact
from export.workers.engines import Workers
from segport.sweep.cells import Cell
from segport.sweep.choosing import Chooser, Costs
from segport.sweep.judging import Found, Judge
from segport.sweep.making import command_of, make
from segport.sweep.outcome import Row


@dataclass
class Judged:
    """Cells in the order they were chosen, their files, and what `judge` found, by name."""

    judge: Judge
    cells: list[Cell] = field(default_factory=list)
    files: dict[str, Artifact] = field(default_factory=dict)
    found: Found = field(default_factory=dict)


def make_and_judge(judge: Judge, chooser: Chooser, workers: Workers) -> Judged:
    """Make and judge what is chosen until nothing is; what fails stops nothing else.

    Raises SegportError where no file could be judged, whatever it is.
    """
    all_of = Judged(judge)
    for number in count(1):
        cells = chooser.ask()
        if not cells:
            break
        made = make(judge.source, cells, workers)
        found = judge.judge(made.files, str(number) if judge.source.network.space else "", workers)
        found |= {name: {"error": error} for name, error in made.errors.items()}
        files = {name: file for name, file in made.files.items() if "error" not in found[name]}
        chooser.tell({name: _costs(file, found[name]) for name, file in files.items()})
        all_of.cells += cells
        all_of.files |= files
        all_of.found |= found
    return all_of


def timed_rows(judged: Judged) -> list[Row]:
    """Time all files, interleaved, in this process; return the row of every cell."""
    source, times = judged.judge.source, judged.judge.time(judged.files)
    return [
        Row(
            network=source.network.name,
            cell=cell.name,
            values=dict(cell.values),
            command=command_of(cell, source),
            **judged.found[cell.name],
            **times.get(cell.name, {}),
        )
        for cell in judged.cells
    ]


def _costs(file: Artifact, found: dict[str, float]) -> Costs:
    """Return what a sampler is told: nothing that was measured, see docs/decisions/12."""
    facts = file.manifest.checks[file.manifest.precision]
    return found["loss"], 1 - facts.get("quantized_macs_share", 0.0), found["size_ratio"]
