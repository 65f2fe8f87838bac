"""The making of one cell's file, wherever it is done."""

from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path

from export.artifact.artifact import Artifact
from export.common.errors import SegportError, first_line
from export.common.heap import release_freed_memory
from export.common.progress import Progress, Stages
from export.ort.sessions import few_threads
from quantize.quantization import check_settings, quantize_all
from segport.making import order_of
from segport.recipe import Recipe
from segport.recipe_values import settings_of
from segport.stages import Reuse, Stage
from segport.sweep.cells import Cell
from validate.data.items import Dataset
from validate.samples.samples import Preparation, Samples


@dataclass(frozen=True)
class CellTask:
    """A cell, by its place among those to make."""

    index: int
    cell: Cell
    network: str

    @property
    def name(self) -> str:
        """What its stage is called."""
        return f"{self.network}: {self.cell.name}"

    def at(self, done: int) -> str:
        """Name the cell: how far it was bears on nothing."""
        return self.name


@dataclass(frozen=True)
class Done:
    """The file, or why there is none in a line; what was said meanwhile."""

    outcome: Artifact | str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CellWork:
    """What all cells of a network have in common; paths are seen from `directory`."""

    recipe: Recipe
    fp32: Artifact
    calibration: Dataset
    folder: Path
    directory: Path
    threads: int

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Stand where the command was typed, with `threads` for each session."""
        with chdir(self.directory), few_threads(self.threads):
            yield

    def do(self, opened: None, task: CellTask, progress: Progress) -> Done:
        """Make a cell's file as a worker does, which can only say how many steps are done."""
        heard = _Heard(progress)
        return Done(self.make(task, heard), tuple(heard.notes))

    def make(self, task: CellTask, progress: Stages) -> Artifact | str:
        """Make a cell's file, or say why not: whatever a library raises, other cells go on."""
        try:
            return self._quantized(task, progress)
        except Exception as error:
            return reason(error)
        finally:
            release_freed_memory()

    def _quantized(self, task: CellTask, progress: Stages) -> Artifact:
        recipe, section = self.recipe, task.cell.section
        check_settings(section.precision, settings_of(section))
        stage = Stage(task.name, {}, Reuse(self.folder, progress))
        shown = stage.begin()
        order = order_of(section, stage, recipe, self.fp32, self.calibration)
        protocol = recipe.data.calibration_protocol
        preparation = Preparation.for_artifact(self.fp32.manifest, protocol)
        ((_, made),) = quantize_all(
            self.fp32,
            [order],
            self.folder / task.cell.name,
            samples=Samples(self.calibration, preparation),
            progress=shown,
        )
        return made


class _Heard(Stages):
    """Keeps notes for the driver and counts a step for whatever is told, a sign of life."""

    def __init__(self, progress: Progress) -> None:
        self.notes: list[str] = []
        self._progress, self._steps = progress, 0

    def __call__(self, name: str, done: int, total: int) -> None:
        self._steps += 1
        self._progress(self._steps, 0)

    def note(self, text: str) -> None:
        self.notes.append(text)


def reason(error: Exception) -> str:
    """Return what went wrong in one line."""
    if isinstance(error, SegportError):
        return " ".join(str(error).split())
    return f"{type(error).__name__}: {first_line(error)}"
