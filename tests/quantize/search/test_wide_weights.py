"""Where activations have 16 bits, a search gives 16-bit weights to the layers that lose most."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, numpy_helper

from export.artifact.artifact import Artifact
from export.onnx_graph.graph import initializers
from export.ort.sessions import open_session, run
from quantize.graph.plan import build
from quantize.lint.lint import lint
from quantize.quantization import quantize
from quantize.search.budget import SearchBudget
from quantize.search.decision import ScoreReading
from quantize.search.search import Search
from quantize.settings import Settings
from tests.quantize.search.chains import chain, plan, samples
from validate.samples.samples import Samples

TARGET = "qnn-a16w8"
LIMIT = 99.9
"""Percent; with 8-bit weights the tiny network loses more."""


def _weights(model: ModelProto) -> dict[str, tuple[str, float]]:
    """Type of each layer's weights, and how many steps the largest has."""
    constants = {
        name: numpy_helper.to_array(one) for name, one in initializers(model.graph).items()
    }
    dequantized = {n.output[0]: n.input[0] for n in model.graph.node if n.op_type[:2] == "De"}
    found = {}
    for node in model.graph.node:
        if node.op_type == "Conv" and node.input[1] in dequantized:
            integers = constants[dequantized[node.input[1]]]
            found[node.name] = str(integers.dtype), float(np.abs(integers).max())
    return found


def test_layers_that_are_spared_keep_their_place_between_q_and_dq_with_16_bit_weights() -> None:
    made = plan(chain("ABC"), samples(4), TARGET)
    weights = _weights(build(made, ["B", "relu_B"]))
    assert weights == {"A": ("int8", 127), "B": ("int16", 32767), "C": ("int8", 127)}
    image = samples(4)[0].image  # within the ranges
    wanted = run(open_session(made.model.SerializeToString()), image)[0]

    def error(*wide: str) -> float:
        given = run(open_session(build(made, wide).SerializeToString()), image)[0]
        return float(np.abs(given - wanted).max())

    # three weights of 8 bits, and 16 bits throughout: 256 times finer, as far as float32 can tell
    assert error("A", "B", "C") < error("A", "B") < error()
    assert error("A", "B", "C") < error() / 50


def test_a_search_ends_with_a_file_whose_lossy_layers_have_16_bit_weights(
    tiny: Artifact, samples: Samples, tmp_path: Path
) -> None:
    classes = [run(open_session(tiny.path), one.image)[0].argmax(1) for one in samples]

    def score(model: ModelProto, stop: Callable[[], bool]) -> Iterator[ScoreReading]:
        session = open_session(model.SerializeToString())
        same = [
            (run(session, one.image)[0].argmax(1) == wanted).mean()
            for one, wanted in zip(samples, classes, strict=True)
        ]
        yield ScoreReading(100 * float(np.mean(same)), 0.0, len(same), len(same))

    wanted = Search(SearchBudget("min_agreement", LIMIT), score, lambda: ())
    settings = Settings(target=TARGET)
    made = quantize(tiny, "int8", tmp_path, samples=samples, settings=settings, search=wanted)
    facts = made.manifest.int8
    assert facts is not None
    wide = facts["wide_weights"]
    assert wide and facts["quantized_macs_share"] == 1
    assert not set(wide) & set(facts["kept_float"])
    types = {name: kind for name, (kind, _) in _weights(onnx.load(made.path)).items()}
    assert wide == sorted(name for name, kind in types.items() if kind == "int16")
    assert "with int16 weights" in facts["search"]["verdict"]
    assert lint(made) == []
    hidden = made.manifest.model_copy(
        update={"checks": {"int8": {k: v for k, v in facts.items() if k != "wide_weights"}}}
    )
    rules = {finding.rule for finding in lint(Artifact(made.path, hidden))}
    assert {"types", "weight-range"} <= rules
