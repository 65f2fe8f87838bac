"""ONNX to smaller ONNX: one public function for every precision."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onnx import ModelProto

from export.artifact import Artifact, ImageRef, Manifest, Sample, output_spec, write_artifact
from export.errors import CalibrationError, UsageError, unknown
from export.files import check_writable
from export.graph import dtype_name, opset
from export.sessions import cpu_facts
from export.versions import versions
from quantize.calibration.cache import collect_cached
from quantize.calibration.calibration import Progress
from quantize.calibration.measurement import Measurement, Steps
from quantize.fp16 import quantize_fp16
from quantize.int8 import Choices, finish_int8, plan_int8
from quantize.lossless.lossless import rewrite_losslessly
from quantize.mask_head import with_mask_head
from quantize.methods import chosen_methods
from quantize.ranges.ranges import range_rule
from quantize.search.budget import Budget
from quantize.search.search import Latency, Score
from quantize.search.search import search as search_precision
from quantize.targets import default_target, get_target

IO_TYPES = ("fp32", "fp16")


@dataclass(frozen=True)
class Settings:
    """What a user may choose.

    `target` None picks that of this machine's CPU, `range` None the target's own rule. `added`
    and `skipped` are names of `quantize.methods`. `seed` records how the calibration images
    were drawn.
    """

    target: str | None = None
    range: str | None = None
    added: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    io: str = "fp32"
    guard: bool = True
    keep_float: tuple[str, ...] = ()
    seed: int = 0

    def resolved(self) -> "Settings":
        """Fill in what was left to the machine and to the target. Raises UsageError."""
        target = self.target or default_target(cpu_facts())
        return replace(self, target=target, range=self.range or get_target(target).range)

    def methods(self) -> tuple[str, ...]:
        """Return the int8 methods that will be applied; of resolved settings."""
        return chosen_methods(get_target(self.target or ""), self.added, self.skipped)


@dataclass(frozen=True)
class Search:
    """What a precision search needs from outside: the budget, and who judges a candidate.

    `score` gives a model's value in the unit of the budget; `images` are those it looked at,
    asked for afterwards. `latency` measures models in turns, ms.
    """

    budget: Budget
    score: Score
    images: Callable[[], Sequence[ImageRef]]
    latency: Latency | None = None


class _Recorded(Sequence[Sample]):
    """Passes samples through and remembers which were used."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples
        self.used: dict[str, ImageRef] = {}

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: Any) -> Any:
        return self._note(self._samples[index])

    def __iter__(self) -> Any:
        return (self._note(sample) for sample in self._samples)

    def identities(self) -> list[ImageRef]:
        """Return id and sha256 of all samples, which counts as having used them."""
        cheap = getattr(self._samples, "identities", None)
        found = list(cheap()) if cheap else [ImageRef(id=s.id, sha256=s.sha256) for s in self]
        self.note(*found)
        return found

    def note(self, *images: ImageRef) -> None:
        """Count images as used."""
        self.used.update({image.id: image for image in images})

    def _note(self, sample: Sample) -> Sample:
        self.used[sample.id] = ImageRef(id=sample.id, sha256=sample.sha256)
        return sample


@dataclass(frozen=True)
class _Job:
    """One call of `quantize`."""

    artifact: Artifact
    samples: _Recorded
    protocol: str | None
    settings: Settings
    search: Search | None
    progress: Progress


Making = Steps[tuple[ModelProto, dict[str, Any]]]
Method = Callable[[_Job], Making]


@dataclass(frozen=True)
class Precision:
    """`method` makes the model; `settings` names those of `Settings` that bear on it."""

    method: Method
    settings: tuple[str, ...]


def _fp16(job: _Job) -> Making:
    if job.search is not None:
        raise UsageError("--max-drop and --min-agreement search int8; fp16 has its own guard")
    return quantize_fp16(
        job.artifact,
        job.samples,
        io=job.settings.io,
        guard=job.settings.guard,
        keep_float=job.settings.keep_float,
        protocol=job.protocol or "",
        progress=job.progress,
    )


def _int8(job: _Job) -> Making:
    if not len(job.samples):
        raise CalibrationError("int8 needs calibration images: give --calibration DATA")
    settings = job.settings
    choices = Choices(
        target=get_target(settings.target or ""),
        rule=settings.range or "",
        methods=settings.methods(),
        keep_float=settings.keep_float,
        protocol=job.protocol or "",
    )
    planned = yield from plan_int8(job.artifact, job.samples, choices, job.progress)
    shape = (1, 3, *job.artifact.manifest.size)
    if job.search is None:
        return _in_its_form(job, *finish_int8(job.artifact, planned, shape))
    found = search_precision(
        planned.plan,
        job.samples,
        job.search.score,
        job.search.budget,
        latency=job.search.latency,
        progress=lambda stage, done, total: job.progress(done, total),
    )
    job.samples.note(*found.images, *job.search.images())
    model, facts = finish_int8(job.artifact, planned, shape, sorted(found.chosen.kept_float))
    return _in_its_form(job, model, facts | {"search": found.facts()})


def _in_its_form(
    job: _Job, model: ModelProto, facts: dict[str, Any]
) -> tuple[ModelProto, dict[str, Any]]:
    """Give the finished file the form that is fastest on its target."""
    target = get_target(job.settings.target or "")
    faster, lossless = rewrite_losslessly(model, target.lossless, job.samples)
    ended, head = with_mask_head(faster, target.mask_head, job.samples)
    return ended, facts | lossless | head


PRECISIONS: dict[str, Precision] = {
    "fp16": Precision(_fp16, ("io", "guard", "keep_float", "seed")),
    "int8": Precision(_int8, ("target", "range", "added", "skipped", "keep_float", "seed")),
}


def check_settings(precision: str, settings: Settings) -> None:
    """Raise UsageError, with the nearest name, for a choice that does not exist."""
    if precision not in PRECISIONS:
        raise UsageError(unknown("precision", precision, PRECISIONS))
    if settings.io not in IO_TYPES:
        raise UsageError(unknown("io type", settings.io, IO_TYPES))
    resolved = settings.resolved()
    range_rule(resolved.range or "")
    resolved.methods()


def _silent(done: int, total: int) -> None:
    """Show nobody how far the work is."""


@dataclass(frozen=True)
class Order:
    """One artifact to make of an fp32 one.

    `precision` is "fp16" or "int8". `search` looks for the layers that int8 has to leave in
    float. `progress` is told of what goes on for this artifact alone.
    """

    precision: str
    settings: Settings = Settings()
    search: Search | None = None
    progress: Progress = _silent


def quantize(
    artifact: Artifact,
    precision: str,
    folder: Path,
    *,
    samples: Sequence[Sample] = (),
    protocol: str | None = None,
    settings: Settings | None = None,
    search: Search | None = None,
    progress: Progress = _silent,
) -> Artifact:
    """Make one smaller artifact; see `Order` and `quantize_all`."""
    order = Order(precision, settings or Settings(), search, progress)
    made = quantize_all(
        artifact, [order], folder, samples=samples, protocol=protocol, progress=progress
    )
    return next(one for _, one in made)


def quantize_all(
    artifact: Artifact,
    orders: Sequence[Order],
    folder: Path,
    *,
    samples: Sequence[Sample] = (),
    protocol: str | None = None,
    progress: Progress = _silent,
) -> Iterator[tuple[Order, Artifact]]:
    """Make smaller artifacts of an fp32 one and write them to `folder`, each when it is done.

    `samples` are calibration images prepared under `protocol`; int8 needs them, fp16 checks value
    ranges with them. A pass over them measures what all orders want to know by then. All images
    used go into the manifest. Raises UsageError for an unknown name or an artifact that is not
    fp32, CalibrationError for unusable samples, QuantizeError when a file would not be what its
    target promises; it is not written then.
    """
    for order in orders:
        check_settings(order.precision, order.settings)
    if artifact.manifest.precision != "fp32":
        raise UsageError(
            f"{artifact.path.name} is already {artifact.manifest.precision}; quantize its fp32 file"
        )
    check_writable(folder)
    going = [_Going(order, artifact, samples, protocol) for order in orders]
    progress(0, 0)
    while going:
        for one in going:
            one.go_on()
            if one.made is not None:
                yield one.order, _written(one, folder)
        going = [one for one in going if one.wanted is not None]
        if going:
            wanted = [one.wanted for one in going if one.wanted is not None]
            used = collect_cached(
                wanted, artifact, samples, protocol=protocol or "", progress=progress
            )
            del wanted  # networks
            for one in going:
                one.job.samples.note(*used)


class _Going:
    """An order that is being worked on."""

    def __init__(
        self, order: Order, artifact: Artifact, samples: Sequence[Sample], protocol: str | None
    ) -> None:
        self.order = order
        self.job = _Job(
            artifact,
            _Recorded(samples),
            protocol,
            order.settings.resolved(),
            order.search,
            order.progress,
        )
        self._steps = PRECISIONS[order.precision].method(self.job)
        self.wanted: Measurement | None = None
        self.made: tuple[ModelProto, dict[str, Any]] | None = None

    def go_on(self) -> None:
        """Work until something is `wanted` that must be measured, or the model is `made`."""
        if self.wanted is not None:
            self.order.progress(0, 0)
        self.wanted = None
        try:
            self.wanted = next(self._steps)
        except StopIteration as end:
            self.made = end.value


def _written(done: _Going, folder: Path) -> Artifact:
    assert done.made is not None
    (model, facts), done.made = done.made, None
    job = done.job
    manifest = _manifest(job.artifact, done.order.precision, model, facts, job.settings)
    images = tuple(job.samples.used.values())
    manifest = manifest.model_copy(
        update={"images": images, "calibration_protocol": job.protocol if images else None}
    )
    return write_artifact(model.SerializeToString(deterministic=True), manifest, folder)


def _manifest(
    parent: Artifact,
    precision: str,
    model: ModelProto,
    facts: dict[str, Any],
    settings: Settings,
) -> Manifest:
    chosen = {key: getattr(settings, key) for key in PRECISIONS[precision].settings}
    return parent.manifest.model_copy(
        update={
            "precision": precision,
            "target": chosen.get("target"),
            "input": parent.manifest.input.model_copy(
                update={"dtype": dtype_name(model.graph.input[0])}
            ),
            "outputs": tuple(output_spec(value) for value in model.graph.output),
            "opset": opset(model),
            "ir_version": model.ir_version,
            "parent_sha256": parent.manifest.sha256,
            "settings": chosen,
            "checks": {precision: facts},
            "versions": versions(),
        }
    )
