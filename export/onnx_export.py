"""PyTorch to ONNX, end to end in one function."""

import gc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto
from torch import Tensor, nn

from export.artifact.artifact import Artifact, artifact_name, write_artifact
from export.artifact.classes import checked_names, palette, read_classes
from export.artifact.image import normalised, synthetic_images
from export.artifact.manifest import INPUT_NAME, InputSpec, Manifest, Weights, output_spec
from export.artifact.outputs import BINARY_KINDS, OUTPUTS
from export.artifact.sample import Sample
from export.artifact.scale import find_scale
from export.artifact.size import MIN_SIZE, NOMINAL_SIZE
from export.common.errors import ExportError, SegportError, UsageError, first_line
from export.common.files import check_writable
from export.common.heap import release_freed_memory
from export.common.tables import known
from export.common.versions import versions
from export.networks.answer import Answer
from export.networks.libraries import default_name, preset_of
from export.networks.network import Logits, load_network
from export.networks.table import Preset, zoo_entry
from export.networks.torch_cost import torch_cost
from export.networks.zoo import IMAGENET_MEAN, IMAGENET_STD
from export.onnx_graph.graph import MAX_IR_VERSION, dims, normalise, opset, with_input_shape
from export.onnx_graph.onnx_cost import graph_cost
from export.onnx_graph.pooling import pool_means
from export.ort.parity import Outputs, measure_parity, require_parity
from export.ort.sessions import named_outputs, open_session
from export.simplify import simplify
from export.trace import OPSET, trace

_PARITY_IMAGES = 2
_SECOND_SIZE = (353, 289)
"""A size that only a dynamic file accepts, checked beside the nominal one."""


def class_mask(logits: Tensor) -> Tensor:
    """Return the class of every pixel: (N, C, H, W) to uint8 (N, H, W)."""
    return logits.argmax(1).to(torch.uint8)


class _Head(nn.Module):
    """The network with the outputs asked for: logits, class mask uint8 (N, H, W), or both."""

    def __init__(self, network: Logits, kinds: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.kinds = tuple(kinds)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        logits = self.network(image)
        outputs = {"logits": logits}
        if "mask" in self.kinds:
            outputs["mask"] = class_mask(logits)
        return tuple(outputs[kind] for kind in self.kinds)


def export_model(
    model: str | nn.Module,
    weights: str,
    folder: Path,
    *,
    seed: int = 0,
    size: tuple[int, int] | None = NOMINAL_SIZE,
    batch: int | None = 1,
    output_stride: int | None = None,
    output: str = "logits",
    classes: str | None = None,
    name: str | None = None,
    weights_key: str | None = None,
    output_name: str | None = None,
    kind: str | None = None,
    threshold: float = 0.5,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    images: Sequence[Sample] = (),
) -> Artifact:
    """Export a network as a verified fp32 artifact in `folder`.

    `model` is a name, or a module, which brings its weights. `weights` is a checkpoint file,
    "default" or "random" (with `seed`). `size` is (height,
    width), each >= 33; None there or in `batch` leaves the dimension free. `output` is
    "logits", "mask" or "both". `weights_key` names the weights in a checkpoint that holds several,
    `output_name` the result in what a network of the user's gives, `kind` and `threshold` say how
    one channel decides (see `export.networks.answer`). `classes` (see `read_classes`) are VOC's by
    default, `mean` and `std`, of one or three channels, ImageNet's, unless the network comes with
    its own (see `export.networks.libraries`). `images`, preprocessed, serve the comparison of torch
    with onnxruntime; without them seeded synthetic ones do. Raises UsageError for arguments out of
    range, CheckpointError for weights that do not fit, ExportError when the file breaks the
    contract or computes something else than torch does. Nothing is written then.
    """
    _check_arguments(size, batch, output)
    check_writable(folder)
    kinds = OUTPUTS[output].names
    network, model = model, type(model).__name__ if isinstance(model, nn.Module) else model
    base_name = artifact_name(name or default_name(model))
    preset = preset_of(model) if isinstance(network, str) else Preset()
    class_names = _class_names(classes, preset, binary=kind in BINARY_KINDS)
    if kind is not None:
        known("kind", kind, BINARY_KINDS)
    if not 0 < threshold < 1:
        raise UsageError(f"threshold {threshold:g}: give a probability within 0 and 1")
    answer = Answer(name=output_name, kind=kind, threshold=threshold)
    entry = zoo_entry(model) if isinstance(network, str) else None
    stride = entry.output_strides[0] if entry and output_stride is None else output_stride
    loaded = load_network(
        network,
        weights,
        classes=len(class_names),
        output_stride=output_stride,
        seed=seed,
        weights_key=weights_key,
        answer=answer,
    )
    head = _Head(loaded.module, kinds).eval()
    mean, std = mean or preset.mean, std or preset.std
    scale = find_scale(mean or IMAGENET_MEAN, std or IMAGENET_STD, None, 3, "float32").in_ones
    probes = _probes(head, size, batch, images, len(class_names), model, scale)
    counted_at = size or NOMINAL_SIZE
    cost = torch_cost(loaded.module, counted_at)
    loaded_from = loaded.weights

    graph = trace(head, size, batch, model, kinds)
    del loaded, head
    pools = pool_means(graph)
    graph = normalise(graph)
    gc.collect()  # what the exporter leaves behind
    release_freed_memory()
    graph, simplifier = simplify(graph, probes)
    graph = normalise(graph)
    _check_contract(graph, kinds, (batch, 3, *(size or (None, None))))
    graph_macs = graph_cost(with_input_shape(graph, (1, 3, *counted_at)))
    data = graph.SerializeToString(deterministic=True)
    onnx.checker.check_model(data, full_check=True)
    release_freed_memory()
    session = open_session(data, name=model)
    parity = measure_parity((p, named_outputs(session, p[INPUT_NAME])) for p in probes)
    require_parity(parity, f"{model}: torch against onnxruntime")

    manifest = Manifest(
        name=base_name,
        model=model,
        output_stride=stride,
        weights=loaded_from,
        precision="fp32",
        input=InputSpec(shape=(batch, 3, *(size or (None, None))), mean=scale[0], std=scale[1]),
        outputs=tuple(output_spec(value) for value in graph.graph.output),
        answer=None if answer == Answer() else answer.model_dump(),
        classes=tuple(class_names),
        palette=tuple(palette(len(class_names))),
        opset=opset(graph),
        ir_version=graph.ir_version,
        params=cost.params,
        macs=graph_macs.macs,
        macs_shape=(3, *counted_at),
        uncounted=graph_macs.uncounted,
        flops_published=round(cost.flops_published, 3),
        settings={
            "size": None if size is None else list(size),
            "batch": batch,
            "output": output,
            "seed": seed,
        },
        checks={
            "parity": parity.as_dict() | {"on": "images" if images else "synthetic images"},
            "onnxsim": simplifier,
            "global_average_pools": pools,
            "notes": _notes(loaded_from, assumed=entry is None and None in (mean, std)),
        },
        versions=versions(),
    )
    return write_artifact(data, manifest, folder)


def _class_names(classes: str | None, preset: Preset, *, binary: bool) -> list[str]:
    """Return the names asked for, else those that come with the network, else VOC's."""
    if classes is None and preset.classes is not None:
        return checked_names(list(preset.classes), "the network's config.json")
    return read_classes(classes or "voc", binary=binary)


def _notes(weights: Weights, *, assumed: bool) -> list[str]:
    """Return what was made of a checkpoint, and what was assumed of a user's network."""
    notes = []
    if weights.prefix is not None:
        notes.append(f"weights: '{weights.prefix}' dropped from the names in {weights.file}")
    if assumed:
        notes.append("mean and std are taken to be ImageNet's; if not, give --mean and --std")
    return notes


def _check_arguments(size: tuple[int, int] | None, batch: int | None, output: str) -> None:
    known("output", output, OUTPUTS)
    if batch is not None and batch < 1:
        raise UsageError(f"batch {batch}: give a positive number or 'dynamic'")
    if size is not None and min(size) < MIN_SIZE:
        raise UsageError(f"size {size[0]} {size[1]}: both must be at least {MIN_SIZE} pixels")


def _probes(
    head: _Head,
    size: tuple[int, int] | None,
    batch: int | None,
    images: Sequence[Sample],
    classes: int,
    model: str,
    scale: tuple[tuple[float, ...], tuple[float, ...]],
) -> list[Outputs]:
    """Run torch on the check images; return inputs and outputs by name."""
    inputs = [sample.image for sample, _ in zip(images, range(_PARITY_IMAGES), strict=False)]
    if not inputs:
        sizes = [size] * _PARITY_IMAGES if size else [NOMINAL_SIZE, _SECOND_SIZE]
        for seed, (height, width) in enumerate(sizes):
            picture = next(synthetic_images(1, (height, width), seed))
            inputs.append(normalised(picture, *scale))
    probes = []
    for image in inputs:
        stacked = np.repeat(image, batch or 1, axis=0)
        try:
            with torch.no_grad():
                logits = head.network(torch.from_numpy(stacked))
                outputs = {INPUT_NAME: stacked, "logits": logits.numpy()}
                outputs["mask"] = class_mask(logits).numpy()
        except SegportError as error:
            raise UsageError(f"{model}: {error}") from error
        except Exception as error:  # a user's network may raise anything
            shape = "x".join(map(str, stacked.shape))
            raise ExportError(f"{model}: fails on a {shape} image ({first_line(error)})") from error
        _check_torch(outputs["logits"], stacked.shape, classes, model)
        probes.append({name: outputs[name] for name in (INPUT_NAME, *head.kinds)})
    return probes


def _check_torch(
    logits: NDArray[np.float32], shape: tuple[int, ...], classes: int, model: str
) -> None:
    wanted = (shape[0], classes, *shape[2:])
    if logits.shape[1] == 1:
        raise ExportError(
            f"{model}: gives one channel, which tells one class from background, and the class "
            f"list has {classes}; name that class, as --classes person, and its --kind"
        )
    if logits.shape != wanted:
        raise ExportError(
            f"{model}: gives {logits.shape[1]} classes, the class list has {classes}; "
            "give the right names with --classes FILE"
        )
    if not np.isfinite(logits).all():
        raise ExportError(f"{model}: torch gives logits that are not finite; check the weights")


def _check_contract(model: ModelProto, kinds: Sequence[str], shape: tuple[int | None, ...]) -> None:
    """Read back what was written: the exporter only logs when it could not do as asked."""
    found_input = [(value.name, dims(value)) for value in model.graph.input]
    names = [value.name for value in model.graph.output]
    facts = (
        ("opset", opset(model), OPSET),
        ("inputs", found_input, [(INPUT_NAME, shape)]),
        ("outputs", names, list(kinds)),
    )
    for what, actual, wanted in facts:
        if actual != wanted:
            raise ExportError(f"exported file: {what} {actual} instead of {wanted}")
    if model.ir_version > MAX_IR_VERSION:
        raise ExportError(f"exported file: IR {model.ir_version} is above {MAX_IR_VERSION}")
    for value in model.graph.output:
        batch, *_, height, width = dims(value)
        if (batch, height, width) != (shape[0], shape[2], shape[3]):
            raise ExportError(f"exported file: output {value.name} has shape {dims(value)}")
