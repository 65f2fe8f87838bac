"""The whole sweep in one function."""

from pathlib import Path

from export.common.errors import SegportError
from export.common.files import check_writable, write_texts
from export.common.heap import release_freed_memory
from export.common.progress import Stages
from export.ort.sessions import threads
from export.workers.engines import ENGINES, Workers
from segport.stages import Reuse
from segport.sweep.cell_work import reason
from segport.sweep.choosing import Chooser
from segport.sweep.frontier import with_frontier
from segport.sweep.judging import judge_of
from segport.sweep.making import source_of
from segport.sweep.outcome import SWEEP_FILE, Row, SweepResult
from segport.sweep.page import PAGES
from segport.sweep.plan import Network, Sweep
from segport.sweep.rounds import Judged, make_and_judge, timed_rows
from validate.data.datasets import open_dataset


def sweep(
    plan: Sweep,
    folder: Path,
    progress: Stages,
    *,
    workers: Workers | None = None,
    force: bool = False,
) -> SweepResult:
    """Make and judge all files; write sweep.json, sweep.md, sweep.html and frontier.svg.

    A cell, or a network, that fails is a row that says why. The same call goes on where an earlier
    one ended. `workers` make cells and count images; None: this process, with all cores. Raises
    RuntimeUnavailableError where a space has no sampler, or the engine is not there.
    """
    check_writable(folder)
    choosers = [network.chooser(progress.note) for network in plan.networks]
    first = plan.networks[0].recipe
    images = open_dataset(first.data.validation, "val", suffix=first.data.mask_suffix)
    images = images.first(first.data.limit)
    workers = workers or Workers("local", threads=threads())
    with ENGINES[workers.engine].kept(workers, progress.note):
        judged = [
            _judged(network, chooser, Reuse(folder / network.name, progress, force), workers)
            for network, chooser in zip(plan.networks, choosers, strict=True)
        ]
    # when no worker is at work any more
    rows = [
        row
        for network, one in zip(plan.networks, judged, strict=True)
        for row in _rows(network, one, progress)
    ]
    result = SweepResult(
        name=plan.name,
        protocol=first.validation.protocols[0],
        images=len(images.items),
        rows=with_frontier(rows),
    )
    pages = {name: draw(result) for name, draw in PAGES.items()}
    write_texts(folder, {SWEEP_FILE: result.model_dump_json(indent=1) + "\n", **pages})
    return result


def _judged(network: Network, chooser: Chooser, reuse: Reuse, workers: Workers) -> Judged | str:
    """Return what became of a network's cells, or why nothing could."""
    reuse.folder.mkdir(parents=True, exist_ok=True)
    try:
        return make_and_judge(judge_of(source_of(network, reuse)), chooser, workers)
    except SegportError as error:
        return _noted(network, error, reuse.progress)
    finally:
        release_freed_memory()


def _rows(network: Network, judged: Judged | str, progress: Stages) -> list[Row]:
    """Return the rows of a network, all of them failed where that is what is known of it."""
    try:
        if not isinstance(judged, str):
            return timed_rows(judged)
    except SegportError as error:
        judged = _noted(network, error, progress)
    return [
        Row(network=network.name, cell=name, values=values, error=judged)
        for name, values in network.listed.items()
    ]


def _noted(network: Network, error: SegportError, progress: Stages) -> str:
    """Say in a line why there is nothing of a network, and return it."""
    progress.note(f"{network.name}: failed: {reason(error)}")
    return reason(error)
