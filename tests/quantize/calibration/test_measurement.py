"""Networks are joined where they are alike, and each still gets what it would get alone."""

import numpy as np
from onnx import ModelProto, helper

from export.artifact.artifact import Artifact
from export.artifact.sample import Sample
from quantize.calibration.calibration import collect
from quantize.calibration.measurement import Measurement, join
from quantize.calibration.statistics import MinMax
from tests.export.build import constant, image, model, operators, value, weight

SHAPE = (1, 3, 65, 65)  # of `tiny`, whose manifest goes with the networks here
LAYERS = 8


def stack(*seeds: int, last: str = "Relu", prefix: str = "t") -> ModelProto:
    """Eight convolutions with weights by `seeds` (0 where none is given), then `last`."""
    seeds = seeds + (0,) * (LAYERS - len(seeds))
    names = ["input", *(f"{prefix}{index}" for index in range(LAYERS)), "logits"]
    nodes = [
        helper.make_node("Conv", [names[i], f"w{i}"], [names[i + 1]], name=f"conv{i}")
        for i in range(LAYERS)
    ]
    nodes.append(helper.make_node(last, names[-2:-1], names[-1:], name="last"))
    weights = [weight(f"w{i}", 3, 3, 1, 1, seed=seed) for i, seed in enumerate(seeds)]
    return model(nodes, [value("input", SHAPE)], [value("logits", SHAPE)], weights)


def measured(made: ModelProto, *tensors: str) -> Measurement:
    return Measurement(made, {name: [MinMax()] for name in tensors})


def samples() -> list[Sample]:
    return [Sample(str(seed), image(*SHAPE, seed=seed), "") for seed in range(3)]


def assert_as_alone(tiny: Artifact, *measurements: Measurement) -> None:
    collect(measurements, tiny.manifest, samples())
    for one in measurements:
        alone = measured(one.model, *one.statistics)
        collect([alone], tiny.manifest, samples())
        for name, (statistic,) in one.statistics.items():
            (expected,) = alone.statistics[name]
            np.testing.assert_array_equal(
                statistic.state()["extremes"], expected.state()["extremes"]
            )


def test_a_network_that_comes_twice_is_run_once(tiny: Artifact) -> None:
    made = stack()
    one, other = measured(made, "t1", "t2"), measured(stack(prefix="other"), "other2", "logits")
    (joint,) = join([one, other])
    assert joint.model is made  # whatever its tensors are called
    assert {name: len(found) for name, found in joint.statistics.items()} == {
        "t1": 1, "t2": 2, "logits": 1,
    }  # fmt: skip
    assert_as_alone(tiny, one, other)


def test_only_what_is_new_is_added(tiny: Artifact) -> None:
    # of nine nodes the last two: a convolution with other weights, and another operator
    made, other = stack(), stack(*[0] * (LAYERS - 1), 5, last="Sigmoid")
    before = made.SerializeToString()
    measurements = [measured(one, "t6", "t7", "logits") for one in (made, other)]
    (joint,) = join(measurements)
    assert operators(joint.model) == ["Conv"] * 8 + ["Relu", "Conv", "Sigmoid"]
    # the tensor before them is shared; behind them each has its own, although called alike
    assert sorted(len(found) for found in joint.statistics.values()) == [1, 1, 1, 1, 2]
    assert_as_alone(tiny, *measurements)
    assert made.SerializeToString() == before


def test_what_has_little_in_common_goes_alone(tiny: Artifact) -> None:
    # from the second convolution on nothing is the same
    measurements = [measured(one, "t7") for one in (stack(), stack(0, 5), stack())]
    joints = join(measurements)
    assert [len(joint.statistics["t7"]) for joint in joints] == [2, 1]
    assert joints[1].model is measurements[1].model
    assert_as_alone(tiny, *measurements)


def test_progress_counts_all_passes(tiny: Artifact) -> None:
    seen: list[tuple[int, int]] = []
    measurements = [measured(one, "t7") for one in (stack(), stack(0, 5))]
    used = collect(measurements, tiny.manifest, samples(), lambda *step: seen.append(step))
    assert seen == [(done, 6) for done in range(1, 7)]
    assert [image.id for image in used] == ["0", "1", "2"]


def test_branches_may_read_what_a_comparison_does_not_see() -> None:
    """Nodes alike but for the values that their branches read by name."""

    def branching(summand: float) -> ModelProto:
        made = stack()
        out = [value("out", SHAPE)]
        add = helper.make_node("Add", ["t7", "outer"], ["out"])
        made.graph.node[-1].CopyFrom(
            helper.make_node(
                "If", ["yes"], ["logits"], name="if",
                then_branch=helper.make_graph([add], "then", [], out),
                else_branch=helper.make_graph([add], "else", [], out),
            )
        )  # fmt: skip
        made.graph.initializer.append(constant("outer", np.float32([summand])))
        made.graph.initializer.append(constant("yes", np.array(True)))
        return made

    measurements = [measured(branching(summand), "logits") for summand in (1, 2)]
    assert len(join(measurements)) == 2


def test_a_constant_that_nothing_reads_is_not_taken_for_one_that_is_there(tiny: Artifact) -> None:
    idle, reading = stack(), stack(*[0] * (LAYERS - 1), 5)
    idle.graph.initializer.append(weight("idle", 3, 3, 1, 1, seed=5))
    measurements = [measured(one, "logits") for one in (stack(), idle, reading)]
    assert len(join(measurements)) == 1
    assert_as_alone(tiny, *measurements)
