"""Collect statistics by workers: each measures blocks of images, which are merged in their order.

Blocks have a size of their own, so that the bytes of a file depend neither on how many workers
there are nor on which of them is first.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass

from onnx import ModelProto

from export.artifact.manifest import ImageRef, Manifest
from export.artifact.sample import Sample
from export.common.errors import CalibrationError
from export.common.progress import Progress, silent
from export.ort.sessions import few_threads
from export.workers.engines import ENGINES, Workers
from quantize.calibration.calibration import Prober, Working, by_key, hand_out
from quantize.calibration.measurement import Joint, Measurement, join
from quantize.calibration.statistics import State

BLOCK = 8
"""Images that a worker takes in before it hands over what it saw."""


@dataclass(frozen=True)
class Block:
    """Consecutive samples, the first of them at `start`."""

    index: int
    start: int
    samples: Sequence[Sample]

    def at(self, done: int) -> str:
        """Name the image that comes after `done` others, by its place: it need not be read."""
        return f"calibration image {self.start + min(done, len(self.samples) - 1) + 1}"


@dataclass(frozen=True)
class Seen:
    """What a block's images were, and the states of all statistics by tensor and key."""

    images: list[ImageRef]
    states: dict[str, dict[str, State]]


@dataclass(frozen=True)
class Measuring:
    """A network and fresh statistics of it, of which every block fills copies."""

    model: ModelProto
    fresh: Working
    manifest: Manifest
    threads: int

    @contextmanager
    def opened(self) -> Iterator[Prober]:
        """Give what measures, with `threads` for each session."""
        with few_threads(self.threads):
            prober = Prober(self.model, self.fresh, self.manifest, streams=1)
            yield prober
            prober.close()

    def do(self, opened: Prober, task: Block, progress: Progress) -> Seen:
        """Measure a block. Raises as `collect`."""
        working = {tensor: deepcopy(dict(wanted)) for tensor, wanted in self.fresh.items()}
        images = opened.take_in(working, task.samples, progress)
        states = {
            tensor: {key: statistic.state() for key, statistic in wanted.items()}
            for tensor, wanted in working.items()
        }
        return Seen(images, states)


def collect_by(
    workers: Workers,
    measurements: Sequence[Measurement],
    manifest: Manifest,
    samples: Sequence[Sample],
    progress: Progress = silent,
) -> list[ImageRef]:
    """Do what `collect` does, by workers. Raises as it does, and what engines raise."""
    if not len(samples):
        raise CalibrationError("no calibration images; give --calibration with at least one")
    used: list[ImageRef] = []
    for joint in join(measurements):
        used = _pass(joint, manifest, samples, workers, progress)
    return used


def _pass(
    joint: Joint,
    manifest: Manifest,
    samples: Sequence[Sample],
    workers: Workers,
    progress: Progress,
) -> list[ImageRef]:
    working = by_key(joint)
    work = Measuring(joint.model, working, manifest, workers.threads)
    blocks = [
        Block(number, start, samples[start : start + BLOCK])
        for number, start in enumerate(range(0, len(samples), BLOCK))
    ]
    waiting: dict[int, Seen] = {}
    used: list[ImageRef] = []
    done = merged = 0
    for block, seen in ENGINES[workers.engine].run(work, blocks, workers, lambda line: None):
        waiting[block.index] = seen
        done += len(seen.images)
        while merged in waiting:  # in order, and no state longer than it has to be
            first = waiting.pop(merged)
            _merge(working, first, merged == 0)
            used += first.images
            merged += 1
        progress(done, len(samples))
    hand_out(joint, working)
    return used


def _merge(working: Working, seen: Seen, first: bool) -> None:
    for tensor, states in seen.states.items():
        for key, state in states.items():
            statistic = working[tensor][key]
            (statistic.restore if first else statistic.merge)(state)
