"""Whole runs."""

from dataclasses import dataclass
from pathlib import Path

from segport.api.arguments import AnyPath, optional_path, path_of
from segport.api.artifacts import Artifact, public
from segport.api.validating import Gate, Validation
from segport.progress import stages

DEMO = "demo"


@dataclass(frozen=True, repr=False)
class Run:
    """Artifacts made, a result per protocol, and the gate's verdicts on all (None: no gate)."""

    artifacts: tuple[Artifact, ...]
    results: tuple[Validation, ...]
    gate: Gate | None
    pictures: tuple[Path, ...] = ()
    package: Path | None = None

    def __repr__(self) -> str:
        parts = [*map(repr, self.results), *([repr(self.gate)] if self.gate else [])]
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        judged = self.gate._repr_html_() if self.gate else ""
        return "".join([*(result._repr_html_() for result in self.results), judged])


def run(
    recipe: AnyPath,
    folder: AnyPath | None = None,
    *,
    force: bool = False,
    download: bool = False,
    progress: bool = True,
) -> Run:
    """Do the whole job that a recipe describes.

    Args:
        recipe: A TOML file, or "demo".
        folder: Where to write. Default: `runs/<name>`.
        force: Do again also what an earlier run did alike.
        download: Fetch VOC or SBD where it is not there.
        progress: Show progress on standard error.

    Raises:
        SegportError: UsageError for a wrong recipe, and what the stages raise.
    """
    source, target = path_of(recipe, "recipe"), optional_path(folder, "folder")
    with stages(shown=progress) as shown:
        shown.stage("start")
        from export.artifact.artifact import artifact_name
        from export.common.files import alone_in
        from segport.demo.run import run_demo
        from segport.pipeline import run as run_recipe
        from segport.recipe_file import load_recipe

        loaded = None if str(source) == DEMO else load_recipe(source)
        target = target or Path("runs", artifact_name(loaded.name) if loaded else DEMO)
        with alone_in(target):
            done = (
                run_demo(target, shown, force=force)
                if loaded is None
                else run_recipe(loaded, target, shown, force=force, download=download)
            )
    return Run(
        tuple(map(public, done.artifacts)),
        tuple(Validation(result, folder) for result, folder in done.results),
        Gate(tuple(verdict for _, verdict in done.verdicts)) if done.verdicts else None,
        done.pictures,
        done.package,
    )
