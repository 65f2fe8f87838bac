"""What a rewrite of the float network did."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper

from export.onnx_graph.graph import float_tensors
from quantize.calibration.channel_statistics import ChannelMinMax

Floats = NDArray[np.float64]
Seen = Mapping[str, ChannelMinMax]


@dataclass(frozen=True)
class Rescaled:
    """How a tensor of the original network follows: original = factor * rewritten + offset.

    float64 (channels,), along axis 1.
    """

    factor: Floats
    offset: Floats


@dataclass(frozen=True)
class Change:
    """The rewritten network (tensors keep their names), in words what changed, and how values did.

    `rescaled` holds the tensors whose values are not those of the original any more, `kept_float`
    the names of layers that are new and better left in float.
    """

    model: ModelProto
    summary: str
    rescaled: dict[str, Rescaled] = field(default_factory=dict)
    kept_float: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Rewrite:
    """`needs` names the tensors whose channels must have been seen; `apply` changes the network.

    Both take a float network with inferred shapes. `images` says how many it is enough to have
    seen, None for all. One for operators that few networks have is `silent` about finding none.
    """

    needs: Callable[[ModelProto], set[str]]
    apply: Callable[[ModelProto, Seen], Change]
    images: int | None = None
    silent: bool = False


MARGIN = 1.25
"""Values of images not seen in calibration may be this many times larger."""


def put(tensor: TensorProto, values: NDArray[np.floating]) -> None:
    """Replace a float32 constant's values, keeping its name."""
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))


def per_weight(values: Floats, groups: int, rows: int) -> Floats:
    """Lay out a value per input channel as (rows, input channels per group), as weights are."""
    return np.repeat(values.reshape(groups, -1), rows // groups, axis=0)


def inputs_of(*operators: str) -> Callable[[ModelProto], set[str]]:
    """Return a function for `Rewrite.needs`: first inputs of such nodes, if they have channels."""

    def needs(model: ModelProto) -> set[str]:
        shaped = {name for name, shape in float_tensors(model).items() if len(shape) == 4}
        return {n.input[0] for n in model.graph.node if n.op_type in operators} & shaped

    return needs


def nothing(model: ModelProto) -> set[str]:
    """Return no tensors, for `Rewrite.needs`."""
    return set()
