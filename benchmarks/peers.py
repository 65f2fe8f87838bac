"""The one table of what is compared: quantizers by name, and what runs their files."""

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.common import FP32, Run
from benchmarks.runs import in_onnxruntime, in_openvino
from benchmarks.tables import SEGPORT as SEGPORT
from export.artifact.manifest import INPUT_NAME
from export.artifact.sample import Sample
from export.ort.sessions import cpu_facts
from quantize.host import default_target
from validate.samples.samples import Samples

os.environ["NNCF_CI"] = "1"  # else it reports its use over the network, in the time measured


@dataclass(frozen=True)
class Quantizer:
    """`make` writes an int8 file of the fp32 file at the first path to the second.

    `modules` are what it imports, to be imported before its time is taken.
    """

    make: Callable[[Path, Path, Samples], None]
    modules: tuple[str, ...]
    source: str = "logits"

    def import_modules(self) -> None:
        """Import what `make` would."""
        for name in self.modules:
            import_module(name)


@dataclass(frozen=True)
class Way:
    """A file, of `quantizer` or the fp32 one, and the runtime it is for."""

    quantizer: str | None
    opened: Callable[[Path], Run]


def _segport(**settings: Any) -> Quantizer:
    def make(source: Path, target: Path, samples: Samples) -> None:
        from export.artifact.artifact import load_artifact
        from quantize.quantization import quantize
        from quantize.settings import Settings

        artifact = load_artifact(source)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            made = quantize(
                artifact, "int8", Path(folder),
                samples=samples, settings=Settings(**settings),
            )  # fmt: skip
            made.path.with_suffix(".json").replace(target.with_suffix(".json"))
            made.path.replace(target)

    return Quantizer(make, ("quantize.quantization",), source="mask")


def _onnxruntime(method: str = "MinMax", *, prepare: bool = False, **options: Any) -> Quantizer:
    def make(source: Path, target: Path, samples: Samples) -> None:
        from onnxruntime.quantization import (
            CalibrationDataReader,
            CalibrationMethod,
            QuantType,
            quantize_static,
        )
        from onnxruntime.quantization.shape_inference import quant_pre_process

        class Reader(CalibrationDataReader):
            def __init__(self, samples: Iterable[Sample]) -> None:
                self._samples = iter(samples)

            def get_next(self) -> Any:
                sample = next(self._samples, None)
                return sample and {INPUT_NAME: sample.image}

        if prepare:
            prepared = target.with_suffix(".prepared.onnx")
            quant_pre_process(source, prepared)
            source = prepared
        types = {key: QuantType[name] for key, name in options.items() if key in U8S8}
        quantize_static(
            source, target, Reader(samples),
            **{**options, **types}, calibrate_method=CalibrationMethod[method],
        )  # fmt: skip

    return Quantizer(make, ("onnxruntime.quantization", "onnxruntime.quantization.shape_inference"))


def _nncf(source: Path, target: Path, samples: Samples) -> None:
    import nncf
    import onnx

    dataset = nncf.Dataset(samples, lambda sample: {INPUT_NAME: sample.image})
    onnx.save(nncf.quantize(onnx.load(source), dataset, subset_size=len(samples)), target)


def _nncf_native(source: Path, target: Path, samples: Samples) -> None:
    """Quantize the file converted by OpenVINO, whose weights are saved beside it."""
    import nncf
    import openvino

    dataset = nncf.Dataset(samples, lambda sample: sample.image)
    model = openvino.convert_model(source)
    openvino.save_model(nncf.quantize(model, dataset, subset_size=len(samples)), target)


PREPARED = "onnxruntime u8s8 per-channel, prepared"
NATIVE = "nncf, openvino model"
U8S8 = {"activation_type": "QUInt8", "weight_type": "QInt8"}
HERE = f"segport {default_target(cpu_facts())}"
"""Segport for the machine at hand: `SEGPORT` itself where that has VNNI."""
QUANTIZERS: Mapping[str, Quantizer] = {
    HERE: _segport(),
    SEGPORT: _segport(target="cpu"),
    "onnxruntime u8s8 per-channel": _onnxruntime(**U8S8, per_channel=True),
    "onnxruntime defaults": _onnxruntime(),
    "nncf": Quantizer(_nncf, ("nncf", "onnx", "nncf.onnx.quantization.quantize_model")),
    "segport npu": _segport(target="npu"),
    "onnxruntime u8s8 per-tensor": _onnxruntime(**U8S8),
    # what an npu gets without preparing the network: everything per tensor and symmetric
    "onnxruntime s8s8 symmetric": _onnxruntime(extra_options={"ActivationSymmetric": True}),
    NATIVE: Quantizer(
        _nncf_native, ("nncf", "openvino", "nncf.openvino.quantization.quantize_model")
    ),
    PREPARED: _onnxruntime(**U8S8, per_channel=True, prepare=True),
    "onnxruntime u8s8 entropy": _onnxruntime("Entropy", **U8S8, per_channel=True),
}

PEERS: Mapping[str, Way] = {
    "onnxruntime u8s8 per-channel": Way("onnxruntime u8s8 per-channel", in_onnxruntime),
    "onnxruntime defaults": Way("onnxruntime defaults", in_onnxruntime),
    "nncf in openvino": Way("nncf", in_openvino),
    "nncf in onnxruntime": Way("nncf", in_onnxruntime),
    "openvino fp32": Way(None, in_openvino),
    FP32: Way(None, in_onnxruntime),
}
"""What Segport's `cpu` mask file is compared with, beside torch itself."""

MAIN = tuple(dict.fromkeys([SEGPORT, *(w.quantizer for w in PEERS.values() if w.quantizer)]))
"""The quantizers whose files are timed."""

OTHERS = ("segport npu", "onnxruntime u8s8 per-tensor", "onnxruntime s8s8 symmetric")
"""Quantizers whose files are judged only; they are made for other hardware, or worse."""
