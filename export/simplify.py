"""onnxsim, kept at arm's length.

It is native code that has been seen to crash and to break graphs, so it runs in a child
process and its result is used only where it is valid, smaller and computes the same.
"""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import onnx
from onnx import ModelProto

from export.artifact.manifest import INPUT_NAME
from export.common.files import scratch_folder
from export.ort.parity import Outputs, measure_parity
from export.ort.sessions import named_outputs, open_session

# onnxsim 0.8 imports torch, which takes two seconds, for functions that are not called here
_CHILD = (
    "import sys, onnx\n"
    "sys.modules['torch'] = None\n"
    "try:\n    import onnxsim\n"
    "except ImportError:\n    del sys.modules['torch']\n    import onnxsim\n"
    "model, _ = onnxsim.simplify(onnx.load(sys.argv[1]))\n"
    "onnx.save(model, sys.argv[2])\n"
)
_TIMEOUT_S = 600


class Simplified(NamedTuple):
    """`model` is onnxsim's where it was kept and the given one where not; `note` says why."""

    model: ModelProto
    note: str


def simplify(model: ModelProto, probes: list[Outputs]) -> Simplified:
    """Try onnxsim on `model`.

    `probes` holds one dict per check image: `input` (N, 3, H, W) float32 plus the outputs by
    name that `model` must go on giving.
    """
    with scratch_folder() as scratch:
        source, target = Path(scratch, "source.onnx"), Path(scratch, "target.onnx")
        onnx.save(model, source)
        try:
            code = _onnxsim(source, target)
        except subprocess.TimeoutExpired:
            return Simplified(model, f"not used: onnxsim ran longer than {_TIMEOUT_S} s")
        if code != 0 or not target.is_file():
            return Simplified(model, f"not used: onnxsim ended with exit code {code}")
        try:
            simpler = onnx.load(target)
            before, after = _operators(model), _operators(simpler)
            if before == after:
                return Simplified(model, "not used: nothing to simplify")
            onnx.checker.check_model(simpler, full_check=True)
            problem = _difference(simpler, probes)
        except Exception as error:  # a broken graph fails in whatever library reads it first
            return Simplified(
                model, f"not used: onnxsim's graph is invalid ({type(error).__name__})"
            )
    if problem:
        return Simplified(model, f"not used: {problem}")
    return Simplified(simpler, f"used: {before.total()} to {after.total()} nodes")


def _onnxsim(source: Path, target: Path) -> int:
    """Simplify a file in a process of its own; its exit code."""
    command = [sys.executable, "-c", _CHILD, str(source), str(target)]
    child = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)
    return child.returncode


def _operators(model: ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def _difference(model: ModelProto, probes: list[Outputs]) -> str | None:
    session = open_session(model.SerializeToString())
    names = {output.name for output in session.get_outputs()}
    if missing := sorted(probes[0].keys() - {INPUT_NAME} - names):
        return f"it lost the output {missing[0]}"
    pairs = [(probe, named_outputs(session, probe[INPUT_NAME])) for probe in probes]
    return measure_parity(pairs).problem
