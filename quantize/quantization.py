"""ONNX to smaller ONNX: one public function for every precision."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from onnx import ModelProto

from export.artifact.artifact import Artifact, write_artifact
from export.artifact.manifest import Manifest, output_spec
from export.artifact.sample import Origin, Sample
from export.common.errors import QuantizeError, UsageError
from export.common.files import check_writable, scratch_folder
from export.common.progress import Progress, silent
from export.common.tables import known
from export.common.versions import versions
from export.onnx_graph.graph import dtype_name, opset
from export.ort.sessions import UnnamedModelError
from export.workers.engines import Workers
from quantize.calibration.cache import collect_cached
from quantize.calibration.measurement import Measurement
from quantize.job import Job, Recorded
from quantize.making import Facts
from quantize.precisions import IO_TYPES, PRECISIONS
from quantize.ranges.table import range_rule
from quantize.search.search import Search
from quantize.self_check import SelfCheck
from quantize.settings import Settings


def check_settings(precision: str, settings: Settings) -> None:
    """Raise UsageError, with the nearest name, for a choice that does not exist."""
    known("precision", precision, PRECISIONS)
    known("io type", settings.io, IO_TYPES)
    resolved = settings.resolved()
    range_rule(resolved.range or "")
    resolved.methods()


@dataclass(frozen=True)
class Order:
    """One artifact to make of an fp32 one.

    `precision` is "fp16" or "int8". `search` looks for the layers that int8 has to leave in
    float. `check` judges the file before it is written, None does not. `progress` is told of what
    goes on for this artifact alone.
    """

    precision: str
    settings: Settings = field(default_factory=Settings)
    search: Search | None = None
    progress: Progress = silent
    check: SelfCheck | None = None


def quantize(
    artifact: Artifact,
    precision: str,
    folder: Path,
    *,
    samples: Sequence[Sample] = (),
    settings: Settings | None = None,
    search: Search | None = None,
    progress: Progress = silent,
    check: SelfCheck | None = None,
    workers: Workers | None = None,
) -> Artifact:
    """Make one smaller artifact; see `Order` and `quantize_all`."""
    order = Order(precision, settings or Settings(), search, progress, check)
    made = quantize_all(
        artifact, [order], folder, samples=samples, workers=workers, progress=progress
    )
    return next(one for _, one in made)


def quantize_all(
    artifact: Artifact,
    orders: Sequence[Order],
    folder: Path,
    *,
    samples: Sequence[Sample] = (),
    workers: Workers | None = None,
    progress: Progress = silent,
) -> Iterator[tuple[Order, Artifact]]:
    """Make smaller artifacts of an fp32 one and write them to `folder`, each when it is done.

    `samples` are calibration images; int8 needs them, fp16 checks value ranges with them. How they
    were prepared and drawn they say themselves (`export.artifact.sample.Origin`). A pass over
    them, by `workers` where some are given, measures what all orders want to know by then. All
    images used go into the manifest. Raises UsageError for an unknown name or an artifact that is
    not fp32, CalibrationError for unusable samples, QuantizeError when a file would not be what its
    target promises; it is not written then.
    """
    for order in orders:
        check_settings(order.precision, order.settings)
    if artifact.manifest.precision != "fp32":
        raise UsageError(
            f"{artifact.path.name} is already {artifact.manifest.precision}; quantize its fp32 file"
        )
    check_writable(folder)
    runs = [_Run(order, artifact, samples) for order in orders]
    progress(0, 0)
    while runs:
        for run in runs:
            run.advance()
            if run.built is not None:
                yield run.order, _written(run, folder)
        runs = [run for run in runs if run.needed is not None]
        if runs:
            needed = [run.needed for run in runs if run.needed is not None]
            used = collect_cached(needed, artifact, samples, workers=workers, progress=progress)
            del needed  # networks
            for run in runs:
                run.job.samples.note(*used)


class _Run:
    """The making of one file: what it needs to be collected next, or the model it has built."""

    def __init__(self, order: Order, artifact: Artifact, samples: Sequence[Sample]) -> None:
        self.order = order
        self.job = Job(
            artifact,
            Recorded(samples),
            order.settings.resolved(),
            order.search,
            order.progress,
        )
        self.needed: Measurement | None = None
        self.built: tuple[ModelProto, Facts] | None = None
        self._algorithm = PRECISIONS[order.precision].make(self.job)
        self._declarations = iter((self._algorithm.rewrite_statistics, self._algorithm.statistics))

    def advance(self) -> None:
        """Declare what is `needed` next; when nothing is, build."""
        if self.needed is not None:
            self.order.progress(0, 0)
        self.needed = None
        try:
            self.needed = next(filter(None, (declare() for declare in self._declarations)), None)
            if self.needed is None:
                self.built = self._algorithm.build()
                del self._algorithm  # holds networks
        except UnnamedModelError as error:
            made_of = f"{self.order.precision} of {self.job.artifact.path}"
            raise QuantizeError(f"{made_of}: {error}; please report this") from error


def _written(run: _Run, folder: Path) -> Artifact:
    assert run.built is not None
    (model, facts), run.built = run.built, None
    job = run.job
    manifest = _manifest(job.artifact, run.order.precision, model, facts, job.settings)
    images = tuple(job.samples.used.values())
    origin = job.samples.origin if images else Origin()
    manifest = manifest.model_copy(
        update={
            "images": images,
            "calibration_protocol": origin.protocol,
            "settings": manifest.settings | {"seed": origin.seed},
        }
    )
    data = model.SerializeToString(deterministic=True)
    if run.order.check is None:
        return write_artifact(data, manifest, folder)
    with scratch_folder() as scratch:
        made = write_artifact(data, manifest, scratch)
        searched = run.order.search is not None
        self_check = run.order.check.facts(job.artifact, made, job.samples, searched=searched)
    checks = manifest.checks | ({"self": self_check} if self_check else {})
    # not added to `images`: what only decided whether there is a file has not shaped it
    manifest = manifest.model_copy(update={"checks": checks})
    return write_artifact(data, manifest, folder)


def _manifest(
    parent: Artifact,
    precision: str,
    model: ModelProto,
    facts: Facts,
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
