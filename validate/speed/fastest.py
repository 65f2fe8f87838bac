"""Which file on which runtime is the fastest here, of those that lost little enough."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from export.artifact.artifact import Artifact
from export.artifact.manifest import Manifest
from validate.runtime.runtimes import open_runtime
from validate.speed.latency import ROUNDS, SECONDS, take_turns
from validate.speed.picture import input_image


@dataclass(frozen=True)
class Contender:
    """A file on a runtime: median ms from image tensor to mask, percent of pixels as in fp32.

    `left_out` says why it may not win.
    """

    file: str
    runtime: str
    ms: float
    agreement: float | None
    left_out: str = ""


def own_agreement(manifest: Manifest) -> float | None:
    """Return the agreement with fp32 that a file was written with; 100 for fp32 itself."""
    if manifest.precision == "fp32":
        return 100.0
    judged = manifest.checks.get("self")
    return float(judged["agreement"]) if judged else None


def race(artifacts: Sequence[Artifact], runtimes: Sequence[str]) -> list[Contender]:
    """Time every artifact on its runtime, in turns in one loop, on the same seeded picture.

    Raises RuntimeUnavailableError for a runtime that is not here.
    """
    timed = {
        str(at): (open_runtime(artifact, runtime), input_image(artifact.manifest))
        for at, (artifact, runtime) in enumerate(zip(artifacts, runtimes, strict=True))
    }
    rounds = take_turns(timed, ROUNDS, seconds=SECONDS).values()
    return [
        Contender(
            artifact.path.name,
            runtime,
            measured.latency.mask.median,
            own_agreement(artifact.manifest),
        )
        for artifact, runtime, measured in zip(artifacts, runtimes, rounds, strict=True)
    ]


def held_to(contenders: Sequence[Contender], least: float) -> list[Contender]:
    """Leave out those that are not known to agree with fp32 on `least` percent of pixels."""
    return [
        one
        if one.agreement is not None and one.agreement >= least
        else replace(one, left_out=f"less than {least:g} %" if one.agreement else "not judged")
        for one in contenders
    ]


def fastest_line(contenders: Sequence[Contender]) -> str:
    """Say in a line which is the fastest, by how much, and what was left out and why."""
    out = dict.fromkeys(f"{one.file} ({one.left_out})" for one in contenders if one.left_out)
    left_out = f"; left out: {', '.join(out)}" if out else ""
    kept = sorted((one for one in contenders if not one.left_out), key=lambda one: one.ms)
    if not kept:
        return f"fastest here: none{left_out}"
    text = f"fastest here: {_named(kept[0])}"
    if kept[1:]:
        text += f"; then {_named(kept[1])}, {kept[1].ms / kept[0].ms:.2f} times as long"
    return text + left_out


def _named(one: Contender) -> str:
    alike = "" if one.agreement is None else f", {one.agreement:.2f} % as fp32"
    return f"{one.file} on {one.runtime} ({one.ms:.1f} ms{alike})"
