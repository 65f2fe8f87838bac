"""The table of engines: where tasks are done."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from export.common.errors import UsageError
from export.common.tables import Lazy, known

if TYPE_CHECKING:
    from export.workers.work import Task, Work

Note = Callable[[str], None]
"""Is told in a line what went wrong and was mended."""
Run = Callable[["Work", "Sequence[Task]", "Workers", Note], "Iterator[tuple[Any, Any]]"]
"""Gives every task once with what was done, in any order, as they are finished."""

Kept = Callable[["Workers", Note], AbstractContextManager[Any]]
"""Gives a block in which every `Run` finds what the first would have to start."""

ATTEMPTS = 3
"""How often a task may take its worker with it before it is given up."""

OPENING = 300.0
"""Seconds in which a worker has to be ready: importing and opening take long on a busy machine."""


@dataclass(frozen=True)
class EngineEntry:
    """`run` does tasks; `several` workers are possible, at an `address` maybe.

    `kept` is for who runs several times: what takes long to start then lasts as long as its block.
    """

    help: str
    run: Run
    several: bool = True
    address: bool = False
    kept: Kept = lambda workers, note: nullcontext()


ENGINES: dict[str, EngineEntry] = {
    "local": EngineEntry(
        "in this process, one image after the other",
        Lazy("export.workers.local:run"),
        several=False,
    ),
    "processes": EngineEntry("in processes of this machine", Lazy("export.workers.processes:run")),
    "ray": EngineEntry(
        "on a Ray cluster, or one of this machine alone",
        Lazy("export.workers.on_ray:run"),
        address=True,
        kept=Lazy("export.workers.ray_cluster:cluster"),
    ),
}


@dataclass(frozen=True)
class Workers:
    """An engine's name, and how many workers with how many threads (and GPUs of Ray) each.

    `count` None: as many as the cores of this machine, or of Ray's cluster, give. A worker that is
    silent for `seconds`, which is as long as an image may take, is ended. `address` is that of
    Ray's cluster; None: RAY_ADDRESS, else one of this machine alone.
    """

    engine: str
    count: int | None = None
    threads: int = 1
    gpus: float = 0.0
    seconds: float = 300.0
    address: str | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for an unknown engine, and for what this one has no use for."""
        entry = known("engine", self.engine, ENGINES)
        if self.count is not None and self.count > 1 and not entry.several:
            raise UsageError(f"engine {self.engine} is one worker; other engines have more")
        if self.address is not None and not entry.address:
            raise UsageError(f"engine {self.engine} has no address; an address goes with ray")
        limits = {"workers": self.count, "threads": self.threads, "time limit": self.seconds}
        for name, value in limits.items():
            if value is not None and value <= 0:
                raise UsageError(f"{name} {value:g}: give a positive number")
