"""The whole sweep in one function."""

from pathlib import Path

from export.common.errors import SegportError
from export.common.files import check_writable, new_files
from export.common.heap import release_freed_memory
from export.common.progress import Stages
from export.ort.sessions import threads
from export.workers.engines import Workers
from segport.stages import Reuse
from segport.sweep.cell_work import reason
from segport.sweep.frontier import with_frontier
from segport.sweep.judging import judge
from segport.sweep.making import make
from segport.sweep.outcome import SWEEP_FILE, Row, SweepResult
from segport.sweep.page import PAGES
from segport.sweep.plan import Network, Sweep
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
    one ended. `workers` make cells and count images; None: this process, with all cores.
    """
    check_writable(folder)
    first = plan.networks[0].recipe
    images = open_dataset(first.data.validation, "val", suffix=first.data.mask_suffix)
    images = images.first(first.data.limit)
    workers = workers or Workers("local", threads=threads())
    rows: list[Row] = []
    for network in plan.networks:
        rows += _rows(network, folder / network.name, progress, workers, force)
        release_freed_memory()
    result = SweepResult(
        name=plan.name,
        protocol=first.validation.protocols[0],
        images=len(images.items),
        rows=with_frontier(rows),
    )
    with new_files(*(folder / name for name in (SWEEP_FILE, *PAGES))) as (file, *pages):
        file.write_text(result.model_dump_json(indent=1) + "\n", encoding="utf-8")
        for page, draw in zip(pages, PAGES.values(), strict=True):
            page.write_text(draw(result), encoding="utf-8")
    return result


def _rows(
    network: Network, folder: Path, progress: Stages, workers: Workers, force: bool
) -> list[Row]:
    folder.mkdir(parents=True, exist_ok=True)
    reuse = Reuse(folder, progress, force)
    try:
        return judge(network, make(network, folder, reuse, workers), folder, workers, reuse)
    except SegportError as error:
        progress.note(f"{network.name}: failed: {reason(error)}")
        return [
            Row(
                network=network.name,
                cell=cell.name,
                values=dict(cell.values),
                error=reason(error),
            )
            for cell in network.cells
        ]
