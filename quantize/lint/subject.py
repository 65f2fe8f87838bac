"""What the rules look at."""

from collections.abc import Iterator
from dataclasses import dataclass

from onnx import NodeProto

from export.mask_head.nodes import PREFIX
from export.ort.inspection import Optimized
from quantize.graph.qdq_graph import QdqGraph
from quantize.target import Target

Found = Iterator[tuple[str, str]]
"""Name of a layer or tensor, and what is wrong with it."""
MIN_SCALE = 1e-9


@dataclass(frozen=True)
class LintSubject:
    """A file as the rules see it.

    `kept_float` are layers, and `wide_weights` those with weights of the target's wide type, as the
    manifest declares them. `failure` is why onnxruntime cannot load the file. `optimized` is None
    where onnxruntime's CPU provider does not stand for the target's hardware.
    """

    graph: QdqGraph
    target: Target | None
    kept_float: frozenset[str]
    wide_weights: frozenset[str]
    failure: str | None
    optimized: Optimized | None

    @property
    def int8_target(self) -> Target:
        """The target; int8 files have one."""
        assert self.target is not None
        return self.target

    def quantized_layers(self, operators: tuple[str, ...]) -> list[NodeProto]:
        """Return the layers of `operators` that the manifest does not declare as float.

        What turns logits into classes is no layer.
        """
        layers = [n for n in self.graph.layers(operators) if not n.name.startswith(PREFIX)]
        return [node for node in layers if node.name not in self.kept_float]
