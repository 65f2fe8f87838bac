"""The target is measured: several files, each on its own runtime, on the machine at hand."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from export.artifact.artifact import Artifact, write_artifact
from export.artifact.sample import Sample
from export.common.errors import QuantizeError, UsageError
from export.common.files import check_writable, scratch_folder
from export.common.progress import Progress
from export.ort.sessions import cpu_facts
from quantize.host import default_target, verifiable
from quantize.quantization import Order, quantize_all
from quantize.self_check import SelfCheck
from quantize.settings import Settings
from quantize.targets import TARGETS
from segport.auto import AUTO
from segport.defaults import MIN_SELF_AGREEMENT
from validate.speed.fastest import Contender, fastest_line, held_to, race


def targets_here() -> list[str]:
    """Return the targets whose files this machine is for: its own, and openvino if installed."""
    own = default_target(cpu_facts())
    return [own, *(["openvino"] if find_spec("openvino") else [])]


def quantize_fastest(
    artifact: Artifact,
    folder: Path,
    *,
    samples: Sequence[Sample],
    settings: Settings,
    check: SelfCheck,
    progress: Progress,
    note: Callable[[str], None],
) -> Artifact:
    """Make an int8 file for every one of `targets_here`, and write the fastest to `folder`.

    `note` is told which it is, and what was said of a file that was refused: it does not race.
    Raises as `quantize_all` does; QuantizeError only where all files are refused.
    """
    check_writable(folder)
    chosen = [replace(settings, target=name) for name in targets_here()]
    orders = [Order("int8", one, progress=progress, check=check) for one in chosen]

    def files(wanted: Sequence[Order], scratch: Path) -> list[Artifact]:
        made = quantize_all(artifact, wanted, scratch, samples=samples, progress=progress)
        return [one for _, one in made]

    with scratch_folder() as scratch:
        try:
            made = files(orders, scratch)
        except QuantizeError:
            made, refusals = _one_by_one(orders, lambda order: files([order], scratch))
            if not made:
                raise
            for refusal in refusals:
                note(f"not in the race: {refusal}")
        winner = made[0]
        if contenders := run_race(made):
            note(fastest_line(contenders))
            allowed = [one for one in contenders if not one.left_out] or contenders
            best = min(allowed, key=lambda one: one.ms)
            (winner,) = (one for one in made if one.path.name == best.file)
        return write_artifact(winner.path.read_bytes(), winner.manifest, folder)


def _one_by_one(
    orders: Sequence[Order], files: Callable[[Order], list[Artifact]]
) -> tuple[list[Artifact], list[QuantizeError]]:
    """Return the files that can be made, and why others cannot; statistics are kept by then."""
    made, refusals = [], []
    for order in orders:
        try:
            made += files(order)
        except QuantizeError as error:
            refusals.append(error)
    return made, refusals


def refuse_auto(precision: str, *, search: bool) -> None:
    """Raise UsageError where files cannot be made to choose from."""
    if precision != "int8":
        raise UsageError(f"--target {AUTO} chooses among int8 files; leave it out for {precision}")
    if search:
        raise UsageError(
            f"--target {AUTO} with --max-drop or --min-agreement: make a file for each of "
            f"{', '.join(targets_here())}, and compare them with segport bench"
        )


def run_race(artifacts: Sequence[Artifact], failed: Collection[str] = ()) -> list[Contender]:
    """Time the int8 files that have a runtime here, each on its own.

    May not win: those whose id is in `failed`, and those that agree with fp32 on less than a file
    must to be written. Empty where all have one runtime: the result's table has their times.
    """
    racing = [one for one in artifacts if one.manifest.precision == "int8" and _runtime(one)]
    if len({_runtime(one) for one in racing}) < 2:
        return []
    found = race(racing, [_runtime(one) or "" for one in racing])
    return [
        replace(contender, left_out="fails the gate") if one.manifest.id in failed else contender
        for one, contender in zip(racing, held_to(found, MIN_SELF_AGREEMENT), strict=True)
    ]


def _runtime(artifact: Artifact) -> str | None:
    """Return the runtime of a file's target, None where this machine does not have it."""
    target = TARGETS.get(artifact.manifest.target or "")
    if target is None:
        return None
    if target.runtime == "openvino":
        return target.runtime if find_spec("openvino") else None
    return target.runtime if verifiable(target, cpu_facts()) is None else None
