"""What is refused of a graph before anything is made of it, also within its sub-graphs, and what is not."""

import itertools
import logging

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from octavo import frontend
from octavo.errors import ModelError
from octavo.frontend import functions, inference, skeleton
from octavo.frontend.check import OLDEST_OPSET, check
from octavo.frontend.contrib import is_contributed
from octavo.frontend.quiet import quiet
from onnx import TensorProto, helper, numpy_helper

F = TensorProto.FLOAT
node = helper.make_node


def info(name, shape=None, kind=F):
    return helper.make_tensor_value_info(name, kind, shape)


def model_of(nodes, constants=None, opset=25, outputs=("y",), inputs=(("x", [4]),), functions=()):
    graph = helper.make_graph(
        nodes,
        "g",
        [info(*given) for given in inputs],
        [info(name) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), *([helper.make_opsetid("mine", 1)] if functions else [])]
    return helper.make_model(graph, opset_imports=imports, ir_version=10, functions=functions)


def branches(then, otherwise=None, constants=()):
    def graph(name, nodes):
        return helper.make_graph(nodes, name, [], [info(nodes[-1].output[0])], constants)

    return node(
        "If", ["c"], ["y"], name="if",
        then_branch=graph("then", then), else_branch=graph("else", otherwise or [node("Neg", ["x"], ["e"])]),
    )  # fmt: skip


def given(nodes, **more):
    return model_of(nodes, inputs=(("x", [4]), ("c", [], TensorProto.BOOL)), **more)


def test_sub_graphs_see_what_was_made_before_them():
    ordered = [node("Relu", ["x"], ["a"]), branches([node("Neg", ["a"], ["t"]), node("Abs", ["t"], ["z"])])]
    check(ir.from_proto(given(ordered)), 25, is_contributed)


LATER = node("Relu", ["x"], ["a"])
OUT_OF_ORDER = [
    node("Abs", ["u"], ["z"], name="n"),
    node("Neg", ["x"], ["u"]),
    node("Add", ["z", "u"], ["t"]),
]
PLAIN = [node("Neg", ["x"], ["t"])]


@pytest.mark.parametrize(
    ("nodes", "named"),
    [
        # a value of the outer graph that is made later
        ([branches([node("Neg", ["a"], ["t"], name="n")]), LATER], "node 'n' (Neg) reads 'a'"),
        # within a branch, out of order
        ([branches(OUT_OF_ORDER)], "node 'n' (Abs) reads 'u'"),
        # in the other branch
        ([branches(PLAIN, [node("Neg", ["q"], ["e"], name="n")])], "'q'"),
        # a value of the other branch
        ([branches(PLAIN, [node("Neg", ["t"], ["e"], name="n")])], "'t'"),
        # a value of a branch, read after it
        ([branches(PLAIN), node("Neg", ["t"], ["w"], name="n")], "'t'"),
        # two graphs deep
        ([branches([branches([node("Neg", ["a"], ["t"])]), node("Abs", ["y"], ["z"])]), LATER], "'a'"),
    ],
)
def test_order_within_sub_graphs(nodes, named):
    with pytest.raises(ModelError) as raised:
        frontend.load(given(nodes))
    assert named in str(raised.value)


def test_an_output_of_a_sub_graph_that_nothing_makes():
    wrong = branches([node("Neg", ["x"], ["t"])])
    wrong.attribute[0].g.output[0].name = "missing"
    with pytest.raises(ModelError, match="missing"):
        frontend.load(given([wrong]))


@pytest.mark.parametrize("opset", [OLDEST_OPSET, 25, 26])
def test_opsets_that_are_read(opset):
    model = frontend.load(model_of([node("Relu", ["x"], ["y"])], opset=opset))
    assert model.graph.opset_imports == {"": 25}


@pytest.mark.parametrize(("opset", "says"), [(6, "older than 7"), (1, "older than 7"), (99, "newer than")])
def test_opsets_that_are_not(opset, says):
    with pytest.raises(ModelError, match=says):
        frontend.load(model_of([node("Relu", ["x"], ["y"])], opset=opset))


def test_the_newest_opset_is_the_callers():
    model = ir.from_proto(model_of([node("Relu", ["x"], ["y"])], opset=20))
    check(model, 20, is_contributed)
    with pytest.raises(ModelError, match="is in ONNX opset 20, newer than 19"):
        check(model, 19, is_contributed)


@pytest.mark.parametrize(
    ("domain", "op", "says"),
    [("mine", "Neg", "operators mine::Neg"), ("", "Frobnicate", "Frobnicate"), ("", "Upsample", "Upsample")],
)
def test_operators_of_sub_graphs_are_known_too(domain, op, says):
    proto = given([branches([node(op, ["x"], ["t"], name="n", domain=domain)])])
    proto.opset_import.append(helper.make_opsetid("mine", 1))
    with pytest.raises(ModelError, match=says):
        frontend.load(proto)


def test_tensors_of_sub_graphs_hold_what_they_declare():
    weight = numpy_helper.from_array(np.ones(4, np.float32), "k")
    weight.raw_data = b"\0" * 12
    inner = branches([node("Add", ["x", "k"], ["t"])], constants=[weight])
    with pytest.raises(ModelError, match="initializer 'k' cannot be read"):
        frontend.load(given([inner]))
    constant = node("Constant", [], ["k"], name="c", value=weight)
    with pytest.raises(ModelError, match=r"'value' of node 'c' .* cannot be read"):
        frontend.load(model_of([constant, node("Add", ["x", "k"], ["y"])]))


def calls(count):
    """A model that calls a function of two nodes so many times."""
    body = [node("Neg", ["a"], ["m"]), node("Abs", ["m"], ["b"])]
    own = helper.make_function("mine", "f", ["a"], ["b"], body, [helper.make_opsetid("", 25)])
    names = ["x", *(f"t{i}" for i in range(count - 1)), "y"]
    nodes = [node("f", [a], [b], domain="mine") for a, b in itertools.pairwise(names)]
    return model_of(nodes, functions=[own])


def test_functions_write_out_to_a_bounded_number_of_nodes(monkeypatch):
    monkeypatch.setattr(functions, "MAX_NODES", 12)
    assert len(list(frontend.load(calls(5)).graph)) == 10
    assert [len(list(frontend.load(calls(n)).graph)) for n in (1, 2, 3, 6)] == [2, 4, 6, 12]
    with pytest.raises(ModelError, match="has 14 nodes once its functions are written out; 12 at most"):
        frontend.load(calls(7))


@pytest.mark.parametrize(("length", "follows"), [(1, True), (1024, True), (1025, False)])
def test_values_of_shapes_are_followed_while_every_vector_is_short(monkeypatch, length, follows):
    """Reshape's target follows from Shape: known where inference follows it."""
    asked, infer = [], inference._infer

    def told(proto, *, follow_values):
        asked.append(follow_values)
        return infer(proto, follow_values=follow_values)

    monkeypatch.setattr(inference, "_infer", told)
    nodes = [node("Shape", ["x"], ["s"]), node("Reshape", ["w", "s"], ["y"]), node("Relu", ["v"], ["z"])]
    inputs = (("x", [2, 3]), ("w", [6, 1]), ("v", [length]))
    model = ir.from_proto(model_of(nodes, outputs=("y", "z"), inputs=inputs))
    inference.infer_shapes(model)
    assert asked == [False, True][: 1 + follows]
    (shape,) = [value.shape for value in model.graph.outputs if value.name == "y"]
    assert (list(shape) == [2, 3]) == follows


@pytest.mark.parametrize(("size", "kept"), [(255, True), (256, True), (257, False)])
def test_weights_are_left_out_of_a_skeleton(size, kept):
    proto = model_of([node("Add", ["x", "k"], ["y"])], {"k": np.ones(size, np.float32)})
    model = ir.from_proto(proto)
    made = skeleton.skeleton(model)
    assert [tensor.name for tensor in made.graph.initializer] == (["k"] if kept else [])
    assert [value.name for value in made.graph.input] == (["x"] if kept else ["x", "k"])
    if not kept:
        assert [d.dim_value for d in made.graph.input[1].type.tensor_type.shape.dim] == [size]
        assert made.graph.input[1].type.tensor_type.elem_type == F
    assert model.graph.initializers["k"].const_value.nbytes == 4 * size


def test_the_libraries_speak_again_when_the_last_one_is_out():
    names = ("onnx_ir", "onnxscript")
    before = [logging.getLogger(name).level for name in names]
    try:
        logging.getLogger("onnx_ir").setLevel(logging.INFO)
        with quiet():
            with quiet():
                assert not any(logging.getLogger(name).isEnabledFor(logging.CRITICAL) for name in names)
            assert not any(logging.getLogger(name).isEnabledFor(logging.CRITICAL) for name in names)
        assert logging.getLogger("onnx_ir").level == logging.INFO
        with pytest.raises(KeyError), quiet():
            raise KeyError
        assert logging.getLogger("onnx_ir").level == logging.INFO
    finally:
        for name, level in zip(names, before, strict=True):
            logging.getLogger(name).setLevel(level)


def test_an_error_s_innermost_message_is_one_line():
    inner = ValueError("deep\n\tdown \x1b[31m red")
    outer = RuntimeError("above")
    outer.__cause__ = inner
    assert frontend.one_line(outer) == "deep down \x1b[31m red"
    assert frontend.one_line(ValueError()) == "ValueError"


def test_damage_that_trips_a_library_is_an_error_of_ours(monkeypatch):
    def trip(source):
        raise RecursionError("far too deep")

    monkeypatch.setattr(frontend, "read", trip)
    with pytest.raises(ModelError, match=r"^the model is damaged or invalid: far too deep$"):
        frontend.load(onnx.ModelProto())


@pytest.mark.parametrize("cycle", ["f f", "f g f", "f g g", "f g h g", "f g h h"])
def test_functions_that_call_themselves_are_named(cycle):
    """At once, by way of others, or further in: the one that is called again."""
    names = cycle.split()
    opsets = [helper.make_opsetid("", 25), helper.make_opsetid("mine", 1)]
    functions = [
        helper.make_function("mine", a, ["a"], ["b"], [node(b, ["a"], ["b"], domain="mine")], opsets)
        for a, b in itertools.pairwise(names)
    ]
    model = model_of([node("f", ["x"], ["y"], domain="mine")], functions=functions)
    with pytest.raises(ModelError, match=rf"function '{names[-1]}' \(domain 'mine'\) calls itself"):
        frontend.load(model)


def test_a_node_without_a_name_or_outputs_is_called_by_nothing():
    proto = model_of([node("Relu", ["x"], ["y"]), node("Odd", ["x"], [], domain="mine")])
    proto.opset_import.append(helper.make_opsetid("mine", 1))
    with pytest.raises(ModelError, match=r"operators mine::Odd \(node ''\): export"):
        frontend.load(proto)


def test_tensors_in_a_list_hold_what_they_declare():
    short = numpy_helper.from_array(np.ones(4, np.float32), "k")
    short.raw_data = bytes(12)
    whole = numpy_helper.from_array(np.ones(4, np.float32), "w")
    for tensors, says in (([whole, short], "'list' of node 'n' .Relu. cannot be read"), ([whole], "list")):
        proto = model_of([node("Relu", ["x"], ["y"], name="n", list=tensors)])
        with pytest.raises(ModelError, match=says) as raised:
            frontend.load(proto)
        assert ("breaks ONNX's rules" in str(raised.value)) == (tensors == [whole])


def test_weights_of_sub_graphs_are_the_main_graph_s_once_loaded():
    """There they are left out of what is handed to ONNX, which takes two gigabytes at most."""
    weight = numpy_helper.from_array(np.ones(4, np.float32), "k")
    loaded = frontend.load(given([branches([node("Add", ["x", "k"], ["t"])], constants=[weight])]))
    (own, *inner) = loaded.graphs()
    assert len(own.initializers) == len(inner) == 2  # each branch has it
    assert [list(graph.initializers) for graph in inner] == [[], []]


def test_shapes_that_do_not_fit_together_are_told_as_such():
    proto = model_of([node("MatMul", ["x", "k"], ["y"], name="n")], {"k": np.ones((5, 2), np.float32)})
    with pytest.raises(ModelError, match=r"^the model's shapes do not fit together: .*node name: n\b"):
        frontend.load(proto)
