"""Rules about scales, zero points and integers."""

import numpy as np

from quantize.graph.qdq_graph import Linear
from quantize.lint.subject import MIN_SCALE, Found, LintSubject

MAX_BIAS = 2**31 - 1


def types(subject: LintSubject) -> Found:
    """Activations and weights have the target's integer types."""
    target = subject.int8_target
    tensors = [(q.tensor, q, target.activation) for q in subject.graph.activations()]
    wide = subject.wide_weights
    tensors += [
        (w.name, w.linear, (target.widened if w.layer in wide else target).weight)
        for w in subject.graph.weights()
    ]
    for name, linear, kind in tensors:
        if linear.zero_point.dtype != kind:
            yield name, f"{linear.zero_point.dtype}, {target.hardware} takes {kind}"


def zero_point(subject: LintSubject) -> Found:
    """Weights, and with a symmetric target activations, have zero point 0."""
    tensors = [(w.name, w.linear) for w in subject.graph.weights()]
    if subject.int8_target.symmetric:
        tensors += [(q.tensor, q) for q in subject.graph.activations()]
    for name, linear in tensors:
        if linear.zero_point.any():
            yield name, f"zero point {linear.zero_point[linear.zero_point != 0][0]}, 0 is needed"


def granularity(subject: LintSubject) -> Found:
    """Weights have one scale per output channel or one, as the target wants; activations one."""
    target = subject.int8_target
    operators = {node.name: node.op_type for node in subject.graph.nodes}
    wanted = [(q.tensor, q, 1) for q in subject.graph.activations()]
    wanted += [
        (w.name, w.linear, w.channels if target.has_channels(operators[w.layer]) else 1)
        for w in subject.graph.weights()
    ]
    for name, linear, scales in wanted:
        if linear.scale.size != scales:
            yield name, f"{linear.scale.size} scales instead of {scales}"


def weight_range(subject: LintSubject) -> Found:
    """No weight's integer is beyond the target's range."""
    target = subject.int8_target
    for weight in subject.graph.weights():
        limit = (target.widened if weight.layer in subject.wide_weights else target).weight_max
        if (largest := np.abs(weight.integers.astype(np.float64)).max()) > limit:
            yield weight.name, f"integers reach {largest:.0f}, {limit} is the most"


def scale(subject: LintSubject) -> Found:
    """Scales are finite and above 0."""
    for linear in _scaled(subject):
        bad = linear.scale[~(np.isfinite(linear.scale) & (linear.scale > 0))]
        if bad.size:
            yield linear.tensor, f"{bad.size} of {linear.scale.size} scales, such as {bad[0]:.3g}"


def near_zero_scale(subject: LintSubject) -> Found:
    """Scales of weights and activations are not so small that biases overflow."""
    graph = subject.graph
    weights = ((w.name, w.linear) for w in graph.weights())
    for name, linear in [*((q.tensor, q) for q in graph.activations()), *weights]:
        small = linear.scale[(linear.scale > 0) & (linear.scale < MIN_SCALE)]
        if small.size:
            yield name, f"{small.size} of {linear.scale.size} scales, down to {small.min():.3g}"


def power_of_two(subject: LintSubject) -> Found:
    """All scales are powers of two, if the target wants that."""
    if not subject.int8_target.power_of_two:
        return
    for linear in _scaled(subject):
        odd = linear.scale[np.frexp(linear.scale)[0] != 0.5]
        if odd.size:
            yield linear.tensor, f"{odd.size} scales are not positive numbers, such as {odd[0]:.6g}"


def fixed_scale(subject: LintSubject) -> Found:
    """Results of some operators have the scale and zero point that the target knows them by."""
    graph, fixed = subject.graph, subject.int8_target.fixed
    made = {node.output[0]: fixed[node.op_type] for node in graph.nodes if node.op_type in fixed}
    for quantizer in graph.activations():
        if quantizer.tensor in made:
            scale, zero = made[quantizer.tensor]
            found = quantizer.scale[0], quantizer.zero_point[0]
            if found != (np.float32(scale), zero):
                yield quantizer.tensor, f"{found[0]:.6g} and {found[1]}, not {scale:.6g} and {zero}"


def bias_type(subject: LintSubject) -> Found:
    """Biases of int8 layers are int32 or float32, as the target wants."""
    integer = subject.int8_target.quantized_bias
    for bias in subject.graph.biases():
        if (bias.linear is not None) != integer:
            yield bias.layer, f"bias {bias.name} is {'float32' if integer else 'quantized'}"


def bias_range(subject: LintSubject) -> Found:
    """Int32 biases are not at the ends of int32."""
    for bias in subject.graph.biases():
        if bias.integers is None:
            continue
        clipped = int((np.abs(bias.integers.astype(np.int64)) >= MAX_BIAS).sum())
        if clipped:
            yield bias.layer, f"{clipped} of {bias.integers.size} values of {bias.name} are clipped"


def bias_scale(subject: LintSubject) -> Found:
    """Int32 biases have the scale of the accumulator."""
    for bias in subject.graph.biases():
        if bias.linear is None:
            continue
        actual, wanted = np.broadcast_arrays(bias.linear.scale.astype(np.float64), bias.scale)
        usable = (wanted > 0) & np.isfinite(wanted)  # others have a rule of their own
        ratio = actual[usable] / wanted[usable]
        if (off := ratio[np.abs(ratio - 1) > 1e-4]).size:
            yield bias.layer, f"scale of {bias.name} is {off[0]:.4g} times input x weight scale"


def _scaled(subject: LintSubject) -> list[Linear]:
    """Return one Q or DQ per scale in the file."""
    graph = subject.graph
    linear = [*graph.dequantizers.values(), *graph.quantizers.values()]
    return list({item.node.input[1]: item for item in linear}.values())
