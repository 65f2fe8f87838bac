"""How often the 95 % intervals of a drop contain the true drop, by simulation.

    python benchmarks/coverage.py [--runs 1000]

An endless population of images is simulated, with the confusion matrices of a reference and of
an artifact on each; its drop is the true one. Every run draws images from it, as a validation
set is drawn, and looks whether the interval made from them contains the truth. Last come real
predictions: the population is then the images of a committed result, and the rare classes are
as rare as there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from benchmarks.common import bare_parser, facts, write_json
from validate.metrics.bootstrap import Interval
from validate.metrics.intervals import Figures, Intervals
from validate.metrics.metrics import miou

CLASSES = 21
PIXELS = 513 * 513
IMAGES = 10_000
"""Images in a simulated population, drawn with replacement."""
_OBJECTS = 3
_REPORTS = Path(__file__).parents[1] / "reports"


@dataclass(frozen=True)
class Artifact:
    """How an artifact differs from its reference: `shift` makes every object harder, `noise`
    some harder and some easier, more in one image than in another. In logits."""

    shift: float
    noise: float


ARTIFACTS = {
    "close": Artifact(shift=0.02, noise=0.1),
    "int8": Artifact(shift=0.06, noise=0.25),
    "damaged": Artifact(shift=0.3, noise=0.3),
}


@dataclass(frozen=True)
class Population:
    """Confusion matrices (images, classes, classes) of a reference and an artifact."""

    reference: NDArray[np.int64]
    artifact: NDArray[np.int64]

    @property
    def drop(self) -> float:
        """The true drop, points."""
        return (miou(self.reference.sum(0)) or 0.0) - (miou(self.artifact.sum(0)) or 0.0)

    @property
    def class_images(self) -> float:
        """Images per class other than background, as a share of all."""
        return float((self.reference.sum(2)[:, 1:] > 0).mean())

    def draw(self, rng: np.random.Generator, images: int) -> "Population":
        """Return this many of the images, each as likely as any other every time."""
        chosen = rng.integers(0, len(self.reference), images)
        return Population(self.reference[chosen], self.artifact[chosen])

    def rarest(self) -> int:
        """Return in how many images the rarest class is."""
        return int((self.reference.sum(2) > 0).sum(0).min())


def simulated(artifact: Artifact, seed: int = 0) -> Population:
    """Return a population of VOC's kind: background and one to three objects per image.

    How much of an object is found is the logistic of its margin, which has a part of the image
    and one of its own. What is not found goes to background or to another class, and a hard
    object wins a halo of background. The artifact moves the margins, so it changes little
    where the reference is sure and much where it wavers: as with real networks some images
    carry most of the variance (kurtosis 15-80 of their influence on the drop).
    """
    rng = np.random.default_rng(seed)
    shape = (IMAGES, _OBJECTS)
    there = np.arange(_OBJECTS) < rng.choice([1, 2, 3], (IMAGES, 1), p=[0.62, 0.28, 0.1])
    classes = 1 + np.argsort(rng.random((IMAGES, CLASSES - 1)), axis=1)[:, :_OBJECTS]
    area = there * np.minimum(np.exp(rng.normal(-2.2, 0.9, shape)), 0.3) * PIXELS
    others = rng.integers(1, CLASSES, shape)
    mistaken = rng.beta(0.5, 0.5, shape)
    margin = 2.6 + rng.normal(0, 1.05, (IMAGES, 1)) + rng.normal(0, 1.05, shape)
    wobble = artifact.noise * np.exp(rng.normal(0, 0.8, (IMAGES, 1))) * rng.normal(size=shape)
    shift = artifact.shift * np.exp(rng.normal(0, 0.5, (IMAGES, 1)))

    def predict(margin: NDArray[np.float64]) -> NDArray[np.int64]:
        matrices = np.zeros((IMAGES, CLASSES, CLASSES), np.int64)
        rows = np.arange(IMAGES)
        matrices[:, 0, 0] = PIXELS - np.rint(area).sum(1)
        for index in range(_OBJECTS):
            pixels, label = np.rint(area[:, index]).astype(np.int64), classes[:, index]
            found = 1 / (1 + np.exp(-margin[:, index]))
            hits = np.rint(pixels * found).astype(np.int64)
            taken = np.rint((pixels - hits) * mistaken[:, index]).astype(np.int64)
            halo = np.rint(0.5 * pixels * (1 - found)).astype(np.int64)
            matrices[rows, label, label] += hits
            matrices[rows, label, others[:, index]] += taken
            matrices[rows, label, 0] += pixels - hits - taken
            matrices[rows, 0, label] += halo
            matrices[rows, 0, 0] -= halo
        return matrices

    return Population(predict(margin), predict(margin - shift + wobble))


@dataclass
class Coverage:
    """How many intervals were made, how many of them contain the truth, how wide they are."""

    truth: float
    made: int = 0
    hits: int = 0
    width: float = 0.0

    def add(self, interval: Interval | None) -> None:
        """Count one interval; None is no interval and does not count."""
        if interval is not None:
            self.made += 1
            self.hits += interval[0] <= self.truth <= interval[1]
            self.width += interval[1] - interval[0]

    @property
    def percent(self) -> float:
        """Share of intervals that contain the truth."""
        return 100 * self.hits / self.made


@dataclass
class Row:
    """Coverage of one population at one number of images."""

    images: int
    drop: Coverage
    plain: Coverage
    miou: Coverage
    classes: list[Coverage] = field(default_factory=list)

    def cells(self) -> list[str]:
        """Return images, the drop's coverage and width, and what else covers how often."""
        made = sum(one.made for one in self.classes)
        hits = sum(one.hits for one in self.classes)
        return [
            str(self.images),
            f"{self.drop.percent:.1f}",
            f"{self.drop.width / self.drop.made:.2f}",
            f"{self.plain.percent:.1f}",
            f"{self.miou.percent:.1f}",
            f"{100 * hits / made:.1f}",
        ]


def cover(
    population: Population, images: int, runs: int, *, resamples: int = 1000, at_least: int = 0
) -> Row:
    """Draw `images` images `runs` times and count what the intervals contain.

    Draws in which a class is in fewer than `at_least` images are drawn again.
    """
    everything = Intervals({"a": population.reference, "b": population.artifact}, resamples=1)
    truth = _lost(everything)
    mean = float(everything.class_iou["b"].mean().whole)
    row = Row(images, Coverage(population.drop), Coverage(population.drop), Coverage(mean))
    row.classes = [Coverage(float(value)) for value in truth.whole]
    for drawn in _draws(population, images, runs, at_least):
        made = Intervals({"a": drawn.reference, "b": drawn.artifact}, resamples)
        row.drop.add(made.drop("a", "b"))
        low, high = np.quantile(_lost(made).mean().resampled, (0.025, 0.975))
        row.plain.add((float(low), float(high)))
        row.miou.add(made.miou("b"))
        for coverage, interval in zip(row.classes, made.class_drops("a", "b"), strict=True):
            coverage.add(interval)
    return row


def _lost(intervals: Intervals) -> Figures:
    return intervals.class_iou["a"] - intervals.class_iou["b"]


def _draws(population: Population, images: int, runs: int, at_least: int) -> Iterator[Population]:
    rng = np.random.default_rng(1)
    while runs:
        drawn = population.draw(rng, images)
        if drawn.rarest() >= at_least:
            runs -= 1
            yield drawn


def main() -> None:
    """Print the table and write coverage.json."""
    parser = bare_parser("Coverage of the intervals of a drop.")
    parser.add_argument("--runs", type=int, default=1000)
    options = parser.parse_args()
    runs = options.runs
    head = ["population", "images of a class", "images", "drop %", "width", "plain %"]
    head += ["mIoU %", "class drop %"]
    rows = []
    for name, artifact in ARTIFACTS.items():
        population = simulated(artifact)
        label = f"{name} (drop {population.drop:.2f})"
        for mean, at_least in ((45, 30), (30, 0), (20, 0), (10, 0), (5, 0), (3, 0)):
            images = round(mean / population.class_images)
            row = cover(population, images, runs, at_least=at_least)
            text = f"{at_least} or more" if at_least else f"{mean} on average"
            rows.append([label, text, *row.cells()])
    for file in sorted(_REPORTS.glob("*/squash/confusion.npz")):
        with np.load(file) as arrays:
            reference = arrays[next(iter(arrays))]
            found = {id: Population(reference, arrays[id]) for id in ("fp16", "int8")}
        for id, population in found.items():
            row = cover(population, len(reference), runs)
            label = f"{file.parts[-3]} {id} (drop {population.drop:.2f})"
            rows.append([label, f"from {population.rarest()}", *row.cells()])
    print(tabulate(rows, head, disable_numparse=True))
    write_json(options.out / "coverage.json", facts(runs=runs, head=head, rows=rows))


if __name__ == "__main__":
    main()
