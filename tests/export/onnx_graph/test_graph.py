import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from export.onnx_graph.graph import (
    captured,
    consumers,
    dims,
    float_tensors,
    infer_shapes,
    normalise,
    opset,
    rename_reads,
    with_input_shape,
)
from tests.export.build import computed, constant, image, model, operators, value, weight

IMAGE = image(1, 3, 4, 4)
SECRET = "/home/alice/secret"


def _dirty() -> ModelProto:
    """Unsorted, with traces of its making in every place a file has for them."""
    nodes = [
        helper.make_node("Relu", ["b"], ["y"], doc_string=SECRET),
        helper.make_node("Conv", ["x", "w"], ["a"], name="conv"),
        helper.make_node("Abs", ["a"], ["b"], name="Relu_2"),
    ]
    graph = model(
        nodes,
        [value("x", (1, 3, 4, 4))],
        [value("y", (1, 2, 4, 4))],
        [weight("w", 2, 3, 1, 1), weight("unused", 7)],
    )
    graph.graph.value_info.append(value("a", (1, 2, 4, 4)))
    graph.producer_name, graph.producer_version = SECRET, SECRET
    graph.domain, graph.doc_string, graph.model_version = SECRET, SECRET, 7
    graph.graph.name, graph.graph.doc_string = SECRET, SECRET
    graph.ir_version = 11
    graph.opset_import.append(helper.make_opsetid("com.somebody", 3))
    graph.graph.input[0].doc_string = SECRET
    graph.graph.output[0].doc_string = SECRET
    graph.graph.value_info[0].doc_string = SECRET
    graph.graph.initializer[0].doc_string = SECRET
    for holder in (
        graph,
        graph.graph,
        graph.graph.node[1],
        graph.graph.input[0],
        graph.graph.initializer[0],
    ):
        entry = holder.metadata_props.add()
        entry.key, entry.value = "pkg.torch.onnx.stack_trace", SECRET
    return graph


def test_normalise_removes_every_trace() -> None:
    clean = normalise(_dirty())

    assert SECRET.encode() not in clean.SerializeToString()
    assert b"stack_trace" not in clean.SerializeToString()
    assert clean.producer_name == "segport"
    assert clean.model_version == 0
    assert clean.ir_version == 10
    assert [(o.domain, o.version) for o in clean.opset_import] == [("", 18)]
    assert [tensor.name for tensor in clean.graph.initializer] == ["w"]


def test_normalise_sorts_names_and_computes_the_same() -> None:
    clean = normalise(_dirty())

    onnx.checker.check_model(clean, full_check=True)
    assert operators(clean) == ["Conv", "Abs", "Relu"]
    names = [node.name for node in clean.graph.node]
    # the unnamed Relu is the third node; Relu_2 is taken
    assert names == ["conv", "Relu_2", "Relu_2_"]
    kernel = np.random.default_rng(0).normal(size=(2, 3, 1, 1)).astype(np.float32)
    wanted = np.abs(np.einsum("oi,nihw->nohw", kernel[:, :, 0, 0], IMAGE))
    np.testing.assert_allclose(computed(clean, x=IMAGE)[0], wanted, rtol=1e-5, atol=1e-6)


def test_normalise_leaves_its_argument_alone() -> None:
    dirty = _dirty()
    before = dirty.SerializeToString(deterministic=True)

    normalise(dirty)

    assert dirty.SerializeToString(deterministic=True) == before


def test_normalise_twice_is_normalise_once() -> None:
    once = normalise(_dirty())

    again = normalise(once)

    assert [v.name for v in once.graph.value_info] == [v.name for v in again.graph.value_info]
    assert again.SerializeToString(deterministic=True) == once.SerializeToString(deterministic=True)


def test_normalise_removes_doc_strings_of_attributes() -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    node.attribute.append(helper.make_attribute("kernel_shape", [1, 1], doc_string=SECRET))
    filled = constant("value", np.zeros(1, np.float32))
    filled.doc_string = SECRET
    other = helper.make_node("Constant", [], ["c"], value=filled)
    total = helper.make_node("Add", ["y", "c"], ["z"])
    graph = model(
        [node, other, total],
        [value("x", (1, 3, 4, 4))],
        [value("z", (1, 2, 4, 4))],
        [weight("w", 2, 3, 1, 1)],
    )

    assert SECRET.encode() not in normalise(graph).SerializeToString()


def _branching() -> ModelProto:
    """`If` whose branches read a constant of the graph around them."""
    out = [value("out", (1, 2, 4, 4))]
    add = helper.make_node("Add", ["a", "outer"], ["out"], doc_string=SECRET)
    sub = helper.make_node("Sub", ["a", "outer"], ["out"])
    return model(
        [
            helper.make_node("Conv", ["x", "w"], ["a"], name="conv"),
            helper.make_node("ReduceSum", ["x"], ["sum"], name="sum", keepdims=0),
            helper.make_node("Greater", ["sum", "zero"], ["positive"], name="greater"),
            helper.make_node(
                "If",
                ["positive"],
                ["y"],
                name="if",
                then_branch=helper.make_graph([add], "then", [], out),
                else_branch=helper.make_graph([sub], "else", [], out),
            ),
        ],
        [value("x", (1, 3, 4, 4))],
        [value("y", (1, 2, 4, 4))],
        [weight("w", 2, 3, 1, 1), weight("outer", 1), constant("zero", np.float32(0))],
    )


def test_normalise_keeps_what_branches_read() -> None:
    graph = _branching()
    onnx.checker.check_model(graph, full_check=True)

    clean = normalise(graph)

    assert {tensor.name for tensor in clean.graph.initializer} == {"w", "outer", "zero"}
    for sign in (1, -1):
        source = sign * np.abs(IMAGE)
        np.testing.assert_allclose(computed(clean, x=source)[0], computed(graph, x=source)[0])


def test_normalise_cleans_branches_too() -> None:
    assert SECRET.encode() not in normalise(_branching()).SerializeToString()


def test_normalise_writes_the_standard_domain_as_empty() -> None:
    node = helper.make_node("Relu", ["x"], ["y"], domain="ai.onnx")
    graph = model([node], [value("x", (2,))], [value("y", (2,))])
    graph.opset_import[0].domain = "ai.onnx"

    clean = normalise(graph)

    assert opset(graph) == opset(clean) == 18
    assert [(o.domain, o.version) for o in clean.opset_import] == [("", 18)]
    assert clean.graph.node[0].domain == ""


def test_normalise_keeps_domains_in_use() -> None:
    node = helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")
    graph = model([node], [value("x", (2,))], [value("y", (2,))])
    graph.opset_import.append(helper.make_opsetid("com.microsoft", 1))

    clean = normalise(graph)

    assert {o.domain: o.version for o in clean.opset_import} == {"": 18, "com.microsoft": 1}
    assert onnxruntime.InferenceSession(clean.SerializeToString()).get_outputs()[0].name == "y"


def test_shapes_are_those_that_onnx_infers_and_weights_stay() -> None:
    made = model(
        [
            helper.make_node("Conv", ["input", "w"], ["maps"], pads=[1, 1, 1, 1]),
            helper.make_node("Reshape", ["maps", "shape"], ["flat"]),
            helper.make_node("MatMul", ["flat", "large"], ["logits"]),
        ],
        [value("input", (1, 3, 4, 5))],
        [value("logits", (None, None))],
        [
            weight("w", 7, 3, 3, 3),
            constant("shape", np.array([7, -1])),
            weight("large", 20, 300),  # a weight by its size; only its shape is looked at
        ],
    )
    found = infer_shapes(made)
    assert found == onnx.shape_inference.infer_shapes(made)
    shapes = {v.name: dims(v) for v in [*found.graph.value_info, *found.graph.output]}
    assert shapes == {"maps": (1, 7, 4, 5), "flat": (7, 20), "logits": (7, 300)}


def test_with_input_shape_infers_the_rest() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["y"]),
    ]
    graph = model(
        nodes,
        [value("x", ("n", 3, "h", "w"))],
        [value("y", ("n", 2, "p", "q"))],
        [weight("w", 2, 3, 1, 1)],
    )

    fixed = with_input_shape(graph, (1, 3, 9, 12))

    # (9 - 1) // 2 + 1 = 5 by (12 - 1) // 2 + 1 = 6
    assert dims(fixed.graph.output[0]) == (1, 2, 5, 6)
    assert float_tensors(fixed)["a"] == (1, 2, 5, 6)
    assert dims(graph.graph.input[0]) == (None, 3, None, None)


def test_consumers_and_float_tensors() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="conv"),
        helper.make_node("Add", ["a", "a"], ["y"], name="add"),
        helper.make_node("ArgMax", ["a"], ["m"], name="argmax", axis=1),
    ]
    outputs = [value("y", (1, 2, 4, 4)), value("m", (1, 1, 4, 4), TensorProto.INT64)]
    graph = model(nodes, [value("x", (1, 3, 4, 4))], outputs, [weight("w", 2, 3, 1, 1)])
    inferred = onnx.shape_inference.infer_shapes(graph)

    readers = {
        name: [node.name for node in found] for name, found in consumers(graph.graph).items()
    }
    assert readers["x"] == ["conv"]
    assert set(readers["a"]) == {"add", "argmax"}
    assert float_tensors(inferred) == {
        "x": (1, 3, 4, 4),
        "a": (1, 2, 4, 4),
        "y": (1, 2, 4, 4),
    }


@pytest.mark.parametrize("size", [0, 5])
def test_dims_tell_free_from_fixed(size: int) -> None:
    assert dims(value("x", (None, "n", size))) == (None, None, size)


def test_a_branch_reads_what_it_takes_from_the_graph_around_it() -> None:
    def branch(name: str, node: onnx.NodeProto) -> onnx.GraphProto:
        return helper.make_graph([node], name, [], [value("r", None)])

    inner = helper.make_node(
        "If", ["flag"], ["r"],
        then_branch=branch("a", helper.make_node("Relu", ["deep"], ["r"])),
        else_branch=branch("b", helper.make_node("Add", ["x", "own"], ["r"])),
    )  # fmt: skip
    body = helper.make_graph([inner], "c", [], [value("r", None)], [constant("own", np.float32(1))])
    outer = helper.make_node(
        "If", ["test"], ["y"], name="outer", then_branch=body, else_branch=body
    )
    graph = model([outer], [value("x", (1,))], [value("y", (1,))])

    assert captured(outer) == {"flag", "deep", "x"}
    assert {k for k, nodes in consumers(graph.graph).items() if nodes} == {
        "test", "flag", "deep", "x",
    }  # fmt: skip

    rename_reads(outer, {"deep": "elsewhere", "own": "wrong", "test": "asked"})

    assert captured(outer) == {"flag", "elsewhere", "x"}
    assert list(outer.input) == ["asked"]


def test_small_and_empty_constants_are_no_nodes() -> None:
    """TorchScript writes a Resize's empty region as a node; it has no range to measure."""
    nodes = [
        helper.make_node("Constant", [], ["roi"], value=numpy_helper.from_array(np.float32([]))),
        helper.make_node(
            "Constant", [], ["scales"], value=numpy_helper.from_array(np.float32([1, 1, 2, 2]))
        ),
        helper.make_node("Resize", ["x", "roi", "scales"], ["y"]),
    ]
    graph = model(nodes, [value("x", [1, 3, 4, 4])], [value("y", [1, 3, 8, 8])])
    tidy = infer_shapes(normalise(graph))
    (resize,) = tidy.graph.node
    assert list(resize.input) == ["x", "", "scales"]
    assert [tensor.name for tensor in tidy.graph.initializer] == ["scales"]
    assert set(float_tensors(tidy)) == {"x", "y"} == set(float_tensors(infer_shapes(graph)))


def test_a_resize_to_sizes_is_left_no_empty_scales() -> None:
    """As opset 11 writes it; in float16 they were of another type and not known to be empty."""
    constants = [
        constant("roi", np.float32([])),
        constant("scales", np.float32([])),
        constant("sizes", np.array([1, 3, 7, 9])),
    ]
    nodes = [helper.make_node("Resize", ["x", "roi", "scales", "sizes"], ["y"])]
    graph = model(nodes, [value("x", [1, 3, 4, 4])], [value("y", [1, 3, 7, 9])], constants)
    tidy = normalise(graph)
    (resize,) = tidy.graph.node
    assert list(resize.input) == ["x", "", "", "sizes"]
    np.testing.assert_array_equal(computed(tidy, x=IMAGE)[0], computed(graph, x=IMAGE)[0])
