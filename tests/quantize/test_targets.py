from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from export.artifact.artifact import Artifact, load_artifact
from export.common.errors import UsageError
from export.ort.sessions import cpu_facts, open_session, run
from quantize.host import default_target, explain_default, verifiable
from quantize.quantization import quantize
from quantize.settings import Settings
from quantize.targets import TARGETS, get_target
from validate.data.datasets import open_dataset
from validate.samples.samples import Preparation, Samples


def _facts(machine: str, *isa: str) -> dict[str, Any]:
    return {"cpu": "Some CPU", "machine": machine, "threads": 2, "isa": list(isa)}


X86, ARM = _facts("x86_64", "avx2"), _facts("aarch64", "asimd")


@pytest.mark.parametrize(
    ("facts", "name", "reason"),
    [
        (_facts("x86_64", "avx2", "avx512f", "avx512_vnni"), "cpu", "has avx512_vnni"),
        (_facts("AMD64", "avx2", "avx_vnni"), "cpu", "has avx_vnni"),
        (_facts("x86_64", "avx2", "amx_int8"), "cpu", "has amx_int8"),
        (_facts("x86_64", "avx2", "avx512f"), "cpu-avx2", "has no VNNI"),
        (_facts("x86_64"), "cpu-avx2", "has no VNNI"),
        (_facts("aarch64", "asimd"), "arm", "is aarch64"),
        (_facts("arm64"), "arm", "is arm64"),
    ],
)
def test_the_default_follows_from_the_cpu_and_says_so(
    facts: dict[str, Any], name: str, reason: str
) -> None:
    assert default_target(facts) == name
    explained = explain_default(facts)
    assert explained.startswith(f"target {name}: ") and reason in explained
    assert "\n" not in explained


def test_the_default_here_is_one_that_can_be_verified_here() -> None:
    assert verifiable(get_target(default_target(cpu_facts())), cpu_facts()) is None


@pytest.mark.parametrize(
    ("name", "on_x86", "on_arm"),
    [
        ("cpu", True, False), ("cpu-avx2", True, False), ("per-tensor", True, False),
        ("arm", False, True), ("openvino", False, False), ("tensorrt", False, False),
        ("npu", False, False), ("npu-pow2", False, False), ("qnn", False, False),
        ("qnn-a16w8", False, False),
    ],
)  # fmt: skip
def test_what_cannot_be_verified_has_a_reason(name: str, on_x86: bool, on_arm: bool) -> None:
    for facts, expected in ((X86, on_x86), (ARM, on_arm)):
        reason = verifiable(TARGETS[name], facts)
        assert (reason is None) == expected
        assert reason is None or TARGETS[name].hardware in reason


def test_seven_bits_are_what_two_products_in_an_int16_leave() -> None:
    for name, fits in (("cpu", False), ("cpu-avx2", True)):
        assert (2 * 255 * TARGETS[name].weight_max <= np.iinfo(np.int16).max) is fits


def test_every_preset_says_what_it_is_for() -> None:
    assert all(len(type(target).__doc__ or "") > 100 for target in TARGETS.values())


def test_an_unknown_target_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'tensorrt'"):
        get_target("tensort")


def _sqnr(reference: Any, found: Any) -> float:
    return float(10 * np.log10((reference**2).sum() / ((reference - found) ** 2).sum()))


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("cpu", 28), ("cpu-avx2", 25), ("arm", 28), ("openvino", 28), ("tensorrt", 28),
        ("npu", 22), ("npu-pow2", 19), ("per-tensor", 25), ("qnn", 28), ("qnn-a16w8", 32),
    ],
)  # fmt: skip
def test_the_file_computes_nearly_what_fp32_does(
    name: str,
    least: float,
    tiny: Artifact,
    samples: Samples,
    made_for: Callable[[str], Artifact],
) -> None:
    made = load_artifact(made_for(name).path)
    assert (made.manifest.target, made.manifest.outputs[0].dtype) == (name, "float32")
    image = samples[0].image
    reference, found = (run(open_session(a.path), image)[0] for a in (tiny, made))
    assert _sqnr(reference, found) > least


def test_what_this_host_cannot_verify_is_null_with_a_reason(
    made_for: Callable[[str], Artifact],
) -> None:
    facts = made_for("tensorrt").manifest.checks["int8"]
    assert facts["int8_verified"] is None and "NVIDIA TensorRT" in facts["int8_unverified"]
    assert facts["fused"] == {}


@pytest.fixture(scope="module")
def real_samples(shared: Path, trained: Artifact) -> Samples:
    dataset = open_dataset(f"{shared}/voc/VOCdevkit:train", "train", masks=False).sample(4, 0)
    return Samples(dataset, Preparation.for_artifact(trained.manifest, "squash"))


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TARGETS))
def test_every_target_takes_a_real_network(
    name: str, trained: Artifact, real_samples: Samples, tmp_path: Path
) -> None:
    # compensated rounding, most of the time, is in the files of `made_for` for every target; only
    # with one scale per weight tensor does this network depend on it
    skipped = ("gptq",) if TARGETS[name].per_channel else ()
    settings = Settings(target=name, skipped=skipped)
    made = quantize(trained, "int8", tmp_path, samples=real_samples, settings=settings)
    image = real_samples[0].image
    reference, found = (run(open_session(a.path), image)[0] for a in (trained, made))
    agreement = (reference.argmax(1) == found.argmax(1)).mean()
    # one scale per weight tensor needs preparing first: see the README's demo
    assert agreement > (0.96 if TARGETS[name].per_channel else 0.5)
    assert onnx.load(made.path).graph.output[0].name == "logits"
