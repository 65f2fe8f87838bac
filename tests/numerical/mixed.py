"""Random networks of more kinds of parts: what parts and joins channels, reads twice, attends."""

from collections.abc import Callable

import numpy as np
from onnx import ModelProto, helper

from tests.numerical.networks import PARTS, Builder


def _leaky(made: Builder) -> None:
    made.add("LeakyRelu", made.tensor, alpha=0.1)


def _pooled(made: Builder) -> None:
    operator = "MaxPool" if made.pick(0, 1) else "AveragePool"
    made.add(operator, made.tensor, kernel_shape=[3, 3], pads=[1] * 4)


def _halves(made: Builder) -> None:
    """Channels that go two ways, one through a Relu, and come together in another order."""
    made.conv(8, 1)
    first, second = f"half{len(made.nodes)}", f"other{len(made.nodes)}"
    sizes = made.put(np.array([4, 4]))
    made.nodes.append(
        helper.make_node(
            "Split", [made.tensor, sizes], [first, second], name=f"Split_{first}", axis=1
        )
    )
    made.add("Concat", second, made.add("Relu", first), axis=1)


def _read_twice(made: Builder) -> None:
    """What a Relu reads is read by a sum, too."""
    made.conv(made.channels, 1)
    before = made.tensor
    made.add("Add", before, made.add("Relu", before))


def _twice_the_same(made: Builder) -> None:
    made.conv(8, 1)
    if made.pick(0, 1):
        made.add("Concat", made.tensor, made.tensor, axis=1)
        made.channels *= 2
    else:
        made.add("Add", made.tensor, made.tensor)


def _shared(made: Builder) -> None:
    """One weight and one bias for two convolutions, whose inputs differ in range."""
    made.conv(8, 1)
    weight, bias = made.weight(8, 8, 1, 1), made.put(made.rng.normal(size=8).astype(np.float32))
    made.add("Conv", made.tensor, weight, bias)
    made.add("Relu", made.tensor)
    made.add("Conv", made.tensor, weight, bias)


def _per_channel(made: Builder) -> None:
    """Constants by channel, some of them negative or zero."""
    values = made.rng.normal(size=(1, made.channels, 1, 1)) * made.rng.integers(0, 3, 1)
    operator = ("Mul", "Add", "Sub", "Div")[made.pick(0, 1, 2, 3)]
    if operator == "Div":
        values = np.abs(values) + 0.5
    inputs = [made.tensor, made.put(values.astype(np.float32))]
    made.add(operator, *(inputs if made.pick(0, 1) or operator == "Div" else reversed(inputs)))


def _resized(made: Builder) -> None:
    scales = made.put(np.array([1, 1, 2, 2], np.float32))
    mode = "nearest" if made.pick(0, 1) else "linear"
    made.add("Resize", made.tensor, "", scales, mode=mode)
    made.size *= 2


def _attention(made: Builder) -> None:
    """Products of what was computed, with a Softmax between."""
    made.conv(8, 1)
    flat = made.put(np.array([1, 8, made.size**2]))
    back = made.put(np.array([1, 8, made.size, made.size]))
    calm = made.put(np.float32(0.05))  # or a step in a score makes another pixel the winner
    tokens = made.add("Reshape", made.add("Mul", made.tensor, calm), flat)
    turned = made.add("Transpose", tokens, perm=[0, 2, 1])
    weights = made.add("Softmax", made.add("MatMul", turned, tokens), axis=-1)
    made.add("Reshape", made.add("MatMul", tokens, weights), back)


def _squeezed(made: Builder) -> None:
    """The mean of the image, enlarged again and joined, as in DeepLab's ASPP."""
    before, channels = made.tensor, made.channels
    made.add("ReduceMean", before, made.put(np.array([2, 3])), keepdims=1)
    made.conv(8, 1)
    made.add("Relu", made.tensor)
    shape = made.put(np.array([1, made.channels, made.size, made.size]))
    made.add("Expand", made.tensor, shape)
    made.add("Concat", before, made.tensor, axis=1)
    made.channels += channels


def _padded(made: Builder) -> None:
    mode = ("constant", "reflect", "edge")[made.pick(0, 1, 2)]
    made.add("Pad", made.tensor, made.put(np.array([0, 0, 1, 1, 0, 0, 1, 1])), mode=mode)
    made.size += 2


def _normalized(made: Builder) -> None:
    parts = [made.put(made.rng.normal(size=made.channels).astype(np.float32)) for _ in "ab"]
    made.add("InstanceNormalization", made.tensor, *parts)


def _swish(made: Builder) -> None:
    made.add("Mul", made.tensor, made.add("Sigmoid", made.tensor))


def _half_clipped(made: Builder) -> None:
    """A Clip with an upper bound alone, behind a Relu."""
    made.add("Clip", made.add("Relu", made.tensor), "", made.put(np.float32(1)))


MORE: dict[str, Callable[[Builder], None]] = {
    "leaky": _leaky, "pooled": _pooled, "halves": _halves, "read twice": _read_twice,
    "twice the same": _twice_the_same, "shared": _shared, "per channel": _per_channel,
    "resized": _resized, "attention": _attention, "squeezed": _squeezed, "padded": _padded,
    "normalized": _normalized, "swish": _swish, "half clipped": _half_clipped,
}  # fmt: skip


def mixed(seed: int) -> ModelProto:
    """Two to five parts of any kind between two convolutions."""
    made = Builder(seed)
    made.conv(8, 3)
    parts = PARTS | MORE
    for name in made.rng.choice(list(parts), made.pick(2, 3, 4, 5), replace=False):
        parts[name](made)
    return made.built()
