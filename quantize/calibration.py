"""Stream calibration images through the fp32 network and collect statistics of its tensors."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto

from export.artifact import Manifest, Sample
from export.errors import CalibrationError
from export.sessions import open_session, run, threads
from quantize.statistics import MinMax, Statistic

Progress = Callable[[int, int], None]


def collect(
    model: ModelProto,
    manifest: Manifest,
    statistics: Mapping[str, Sequence[Statistic]],
    samples: Sequence[Sample],
    progress: Progress = lambda done, total: None,
) -> None:
    """Update `statistics` (by tensor name) with the activations of every sample.

    One image is held at a time, so memory does not grow with their number. Raises
    CalibrationError without samples, for a sample of another shape than the network takes,
    and for an activation that is not finite (naming tensor and image).
    """
    if not len(samples):
        raise CalibrationError("no calibration images; give --calibration with at least one")
    names = sorted(statistics)
    watched = {name: MinMax() for name in names}
    computed = [name for name in names if name != manifest.input.name]
    session = open_session(_with_outputs(model, computed).SerializeToString())
    batch = manifest.input.shape[0] or 1

    def update(name: str, values: NDArray[np.float32]) -> None:
        watched[name].update(values)
        for statistic in statistics[name]:
            statistic.update(values)

    with ThreadPoolExecutor(threads()) as pool:
        for done, sample in enumerate(samples, start=1):
            _check_shape(sample, manifest)
            fed = np.repeat(sample.image, batch, axis=0)
            found = run(session, fed, computed) if computed else []  # [] would mean all
            arrays = dict(zip(computed, found, strict=True))
            arrays[manifest.input.name] = fed
            list(pool.map(update, names, [arrays[name] for name in names]))
            for name in names:
                if not watched[name].finite:
                    raise CalibrationError(
                        f"calibration image {sample.id}: tensor {name} is not finite in fp32; the "
                        "network or the image is broken"
                    )
            progress(done, len(samples))


def _check_shape(sample: Sample, manifest: Manifest) -> None:
    wanted = manifest.input.shape[1:]
    found = sample.image.shape
    fits = len(found) == 4 and all(w in (None, f) for w, f in zip(wanted, found[1:], strict=True))
    if not fits:
        raise CalibrationError(
            f"calibration image {sample.id}: shape {found}, the network takes {wanted}"
        )


def _with_outputs(model: ModelProto, names: Sequence[str]) -> ModelProto:
    """Return a copy that also gives the named tensors."""
    copy = ModelProto()
    copy.CopyFrom(model)
    there = {value.name for value in copy.graph.output}
    for name in names:
        if name not in there:
            copy.graph.output.append(onnx.ValueInfoProto(name=name))
    return copy
