"""How artifacts are judged: everything that bears on a result beside them and the images."""

from dataclasses import dataclass

from export.common.errors import UsageError
from export.common.tables import known
from export.workers.engines import Workers
from validate.accumulation.names import ACCUMULATORS
from validate.runtime.table import rebuilds
from validate.samples.protocols import DEFAULT_PROTOCOL
from validate.samples.trap_table import MASK_SIZE, check_accepted


@dataclass(frozen=True)
class Conditions:
    """How images are prepared, what runs, and what it is compared with.

    `reference` is "torch" or "torch-cuda" (with `weights`, the checkpoint it was exported from),
    the path of an fp32 artifact, or None: then the fp32 one among the artifacts, else the parent
    that lies beside them. `runtime` applies to all artifacts; None takes the default for each
    precision. A GPU runtime that is not there is an error unless `allow_fallback`, which takes
    what is there and says so in the result. `limit` takes the first images only, `allow_overlap`
    those that calibrated, too. `labels` is the name or file of a label map, `mask_suffix` what
    masks' names have after those of images, `accepted` names the traps in labels that the user
    knows of (`validate.samples.traps`). The `pictures` images on which the artifacts agree least
    with the reference are kept. With `noise` every file runs again under other settings of its
    runtime; a baseline keeps what that changes (`validate.judging.noise`). `accumulate` "fp16" also
    runs fp16 files as devices do that add up in float16 (`validate.accumulation`). `workers` count
    the images, on other machines maybe, and keep what they counted until the result is there; None:
    this process does, with all cores for one image.
    """

    protocol: str = DEFAULT_PROTOCOL
    reference: str | None = None
    weights: str | None = None
    runtime: str | None = None
    allow_fallback: bool = False
    limit: int | None = None
    allow_overlap: bool = False
    labels: str | None = None
    mask_suffix: str | None = None
    accepted: tuple[str, ...] = ()
    pictures: int = 0
    noise: bool = False
    accumulate: str | None = None
    workers: Workers | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for an unknown name, and for weights that nothing needs."""
        if self.weights is not None and not (rebuilds(self.reference) or rebuilds(self.runtime)):
            raise UsageError(
                "--weights goes with --reference or --runtime torch, which rebuild the network"
            )
        check_accepted(self.accepted)
        if self.accumulate is not None:
            known("accumulator", self.accumulate, ACCUMULATORS)

    @property
    def fit(self) -> bool:
        """Whether masks of another size than their image are resized to it."""
        return MASK_SIZE in self.accepted


USUAL = Conditions()
