"""Rules about the values of constants."""

import numpy as np

from quantize.lint.subject import MIN_SCALE, Found, Subject


def finite_weights(subject: Subject) -> Found:
    """No constant holds inf or NaN; scales have a rule of their own."""
    graph = subject.graph
    linear = [*graph.quantizers.values(), *graph.dequantizers.values()]
    scales = {q.node.input[1] for q in linear}
    bounds = {name for n in graph.nodes if n.op_type == "Clip" for name in n.input[1:]}
    for name, values in graph.constants.items():
        if name in scales | bounds or values.dtype.kind != "f":
            continue
        if broken := values.size - int(np.isfinite(values).sum()):
            yield name, f"{broken} of {values.size} values are inf or NaN"


def dead_channels(subject: Subject) -> Found:
    """Every output channel of a convolution has a weight that int8 could scale."""
    for node in subject.graph.layers(("Conv",)):
        values = subject.graph.constants.get(node.input[1])
        if values is None:
            continue
        largest = np.abs(values).reshape(len(values), -1).max(1)
        if dead := np.flatnonzero(largest / 127 < MIN_SCALE).tolist():
            yield node.name, f"{len(dead)} of {len(values)} channels have no weight: {_few(dead)}"


def half_range(subject: Subject) -> Found:
    """No float16 weight lies at the end of the range."""
    limit = float(np.finfo(np.float16).max)
    for name, values in subject.graph.constants.items():
        if values.dtype != np.float16:
            continue
        if clipped := int(((np.abs(values) >= limit) & np.isfinite(values)).sum()):
            yield name, f"{clipped} of {values.size} values reach {limit:.0f}"


def half_subnormal(subject: Subject) -> Found:
    """No float16 weight is subnormal as a whole."""
    smallest = float(np.finfo(np.float16).smallest_normal)
    for name, values in subject.graph.constants.items():
        if values.dtype != np.float16 or not values.any():
            continue
        if (largest := float(np.abs(values).max())) < smallest:
            yield name, f"largest magnitude {largest:.3g} is below {smallest:.3g}"


def _few(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:6])) + (", ..." if len(numbers) > 6 else "")
