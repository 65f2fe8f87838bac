"""One artifact's line in a result."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from export.artifact.artifact import Artifact
from export.artifact.facts import CandidateFacts
from export.artifact.manifest import Manifest
from export.ort.inspection import inspect, macs_share
from export.ort.providers import CPU, CUDA, TENSORRT
from export.ort.sessions import cpu_facts, threads
from validate.accumulation.wording import accumulation_warnings
from validate.counting.evaluation import Evaluation
from validate.judging.second_size import size_warnings
from validate.result.facts import (
    AccumulationFacts,
    NoiseFacts,
    SearchBudget,
    SearchFacts,
    SearchRow,
    SecondSizeFacts,
    SpreadFacts,
)
from validate.result.result import ArtifactResult, Figures
from validate.runtime.engine import Runtime
from validate.samples.protocols import get_protocol
from validate.speed.latency import Latency

_INT8_UNKNOWN = {
    CUDA: f"{CUDA} has no int8 convolution and computes in float",
    TENSORRT: "onnxruntime does not tell which layers TensorRT's engine runs in int8",
}
"""Why nothing can be said about int8, by provider."""


@dataclass(frozen=True)
class Measured:
    """What was run and what came of it; `artifact` is None for the torch network.

    `latency_runtime` names that of the latency, another than `runtime` where that one emulates.
    """

    id: str
    artifact: Artifact | None
    runtime: Runtime
    evaluation: Evaluation
    latency: Latency
    latency_runtime: str
    noise: NoiseFacts | None = None
    second_size: SecondSizeFacts | None = None
    accumulation: AccumulationFacts | None = None

    @property
    def manifest(self) -> Manifest | None:
        """The artifact's manifest."""
        return self.artifact.manifest if self.artifact else None


def entry(
    judged: Measured, figures: Figures, classes: Sequence[str], protocol: str
) -> ArtifactResult:
    """Describe one artifact."""
    manifest, evaluation = judged.manifest, judged.evaluation
    share, verified, note = _int8_facts(judged)
    return ArtifactResult(
        id=judged.id,
        precision=manifest.precision if manifest else "fp32",
        target=manifest.target if manifest else None,
        file=judged.artifact.path.name if judged.artifact else None,
        sha256=manifest.sha256 if manifest else None,
        parent_sha256=manifest.parent_sha256 if manifest else None,
        size_bytes=judged.artifact.path.stat().st_size if judged.artifact else None,
        runtime=judged.runtime.name,
        provider=judged.runtime.provider,
        execution=dict(judged.runtime.execution),
        int8_macs_share=share,
        int8_verified=verified,
        int8_note=note,
        kept_float=_kept_float(manifest),
        latency_ms=SpreadFacts(**asdict(judged.latency.session)),
        mask_ms=SpreadFacts(**asdict(judged.latency.mask)),
        latency_runtime=judged.latency_runtime,
        threads=threads(),
        cpu=str(cpu_facts()["cpu"]),
        warnings=[
            *judged.runtime.warnings,
            *_warnings(manifest, evaluation, protocol),
            *_one_class(evaluation, figures, classes),
            *(size_warnings(judged.second_size) if judged.second_size else []),
            *(accumulation_warnings(judged.accumulation) if judged.accumulation else []),
        ],
        noise=judged.noise,
        second_size=judged.second_size,
        accumulation=judged.accumulation,
        search=_search(manifest),
        **dict(figures),
    )


def _one_class(evaluation: Evaluation, figures: Figures, classes: Sequence[str]) -> list[str]:
    """Say that a network sees one thing everywhere, which labels, if there are, contradict."""
    labelled = [name for name, iou in figures.class_iou.items() if iou is not None]
    if evaluation.fidelity is None or (figures.class_iou and len(labelled) < 2):
        return []
    predicted = np.flatnonzero(evaluation.fidelity.sum(0))
    if len(predicted) != 1:
        return []
    return [
        f"predicts {classes[predicted[0]]} on every pixel of all images: are mean, std, range and "
        "the order of channels those that it was trained with?"
    ]


def _int8_facts(judged: Measured) -> tuple[float | None, bool | None, str | None]:
    """Return share of MACs in int8, whether that is as promised, and why it is unknown."""
    artifact, runtime = judged.artifact, judged.runtime
    if artifact is None or artifact.manifest.precision != "int8":
        return None, None, None
    manifest = artifact.manifest
    promises = manifest.int8
    assert promises is not None
    shape = (manifest.input.shape[0] or 1, *manifest.macs_shape)
    if runtime.int8_layers is not None:
        share = macs_share(artifact.path, shape, runtime.int8_layers)
        return share, share >= promises["quantized_macs_share"] - 1e-9, None
    if note := _INT8_UNKNOWN.get(runtime.provider):
        return None, None, note
    if runtime.provider != CPU:
        return None, None, f"{runtime.provider} does not say what it runs in int8"
    if reason := promises["int8_unverified"]:
        return None, None, str(reason)
    share = inspect(artifact.path, shape).int8_macs_share
    return share, share >= (promises["int8_macs_share"] or 0.0) - 1e-9, None


def _kept_float(manifest: Manifest | None) -> list[str]:
    if manifest is None or manifest.precision == "fp32":
        return []
    return manifest.kept_float


def _search(manifest: Manifest | None) -> SearchFacts | None:
    searched = manifest.int8.get("search") if manifest and manifest.int8 else None
    if not searched:
        return None

    def row(facts: CandidateFacts) -> SearchRow:
        return SearchRow(
            int8_macs_share=facts["int8_macs_share"],
            score=facts["score"],
            latency_ms=facts["latency_ms"],
        )

    return SearchFacts(
        budget=SearchBudget(**searched["budget"]),
        candidates=[row(candidate) for candidate in searched["candidates"]],
        frontier=[row(candidate) for candidate in searched["frontier"]],
        chosen=row(searched["chosen"]),
    )


def _warnings(manifest: Manifest | None, evaluation: Evaluation, protocol: str) -> list[str]:
    said = []
    if evaluation.nonfinite:
        said.append(
            f"broken: inf or NaN in the logits of {len(evaluation.nonfinite)} images, the first is "
            f"{evaluation.nonfinite[0]}"
        )
    if manifest and manifest.fp16 and not manifest.fp16["range_checked"]:
        said.append("value range not checked against float16")
    if manifest and (manifest.input.shape[0] or 1) > 1:
        said.append(f"latency is that of a batch of {manifest.input.shape[0]} images")
    if manifest and manifest.output("logits") is None and get_protocol(protocol).at_image_size:
        said.append("no logits: its mask was resized to the image's size by nearest pixel")
    return said
