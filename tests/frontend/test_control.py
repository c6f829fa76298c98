"""If, Loop and Scan of every opset, beside ONNX Runtime; what is settled of them when a model is loaded."""

import numpy as np
import octavo
import onnxruntime
import pytest
from octavo.program import all_nodes
from octavo.session import load_program
from onnx import TensorProto, helper, numpy_helper

F, I64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
X = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
node, info = helper.make_node, helper.make_tensor_value_info


def model_of(nodes, inputs, outputs, opset, constants=None):
    graph = helper.make_graph(
        nodes,
        "g",
        [info(name, *of) for name, of in inputs.items()],
        [info(name, *of) for name, of in outputs.items()],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def same_as_runtime(model, feeds):
    """octavo's answers, which are the reference's and near to ONNX Runtime's."""
    wanted = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)
    program = load_program(model)
    given = octavo.Session(program, threads=1).run(None, feeds)
    for w, g, r in zip(wanted, given, octavo.reference.run(program, feeds), strict=True):
        assert (g.dtype, g.shape, g.tobytes()) == (r.dtype, r.shape, r.tobytes())
        assert w.shape == g.shape
        np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-6)
    return given


def branch(op, output):
    """Both have values of the same names."""
    nodes = [node(op, ["x"], ["inside"]), node("Identity", ["inside"], [output])]
    return helper.make_graph(nodes, op, [], [info(output, F, [2, 3, 4])])


def chosen(opset, constants=None):
    nodes = [node("If", ["c"], ["y"], then_branch=branch("Exp", "t"), else_branch=branch("Neg", "t"))]
    inputs = {"x": (F, ["n", 3, 4])} | ({} if constants else {"c": (BOOL, [])})
    return model_of(nodes, inputs, {"y": (F, ["n", 3, 4])}, opset, constants)


@pytest.mark.parametrize("opset", [7, 10, 11, 13, 16, 19, 21])
@pytest.mark.parametrize("condition", [True, False])
def test_a_branch(opset, condition):
    same_as_runtime(chosen(opset), {"x": X, "c": np.array(condition)})


@pytest.mark.parametrize("condition", [True, False])
def test_a_constant_condition_leaves_one_branch(condition):
    program = load_program(chosen(17, {"c": np.array(condition)}))
    assert {each.op for each in all_nodes(program.nodes)} <= {"Exp" if condition else "Neg", "Identity"}
    (y,) = octavo.Session(program).run(None, {"x": X})
    np.testing.assert_allclose(y, np.exp(X) if condition else -X, rtol=1e-6)


def looped(opset, trips, condition):
    body = helper.make_graph(
        [
            node("Add", ["s", "x"], ["s2"]),
            node("ReduceMax", ["s2"], ["most"], keepdims=0),
            node("Sub", ["end", "most"], ["room"]),
            node("Relu", ["room"], ["positive"]),
            node("Cast", ["positive"], ["goes"], to=BOOL),
        ],
        "body",
        [info("i", I64, []), info("c", BOOL, []), info("s", F, [2, 3, 4])],
        [info("goes", BOOL, []), info("s2", F, [2, 3, 4]), info("most", F, [])],
    )
    nodes = [node("Loop", [trips, condition, "x"], ["y", "all"], body=body)]
    constants = {"end": np.float32(6), "n": np.array(5), "yes": np.array(True)}
    outputs = {"y": (F, [2, 3, 4]), "all": (F, ["trips"])}
    return model_of(nodes, {"x": (F, [2, 3, 4])}, outputs, opset, constants)


@pytest.mark.parametrize("opset", [7, 10, 11, 13, 16, 19, 21])
@pytest.mark.parametrize(("trips", "condition"), [("n", ""), ("", "yes"), ("n", "yes"), ("", "")])
def test_a_loop(opset, trips, condition):
    same_as_runtime(looped(opset, trips, condition), {"x": np.abs(X)})


def scanned(opset, lengths="", **attributes):
    """The running sum of what is scanned from either end, and a state."""
    body = helper.make_graph(
        [
            node("Add", ["s", "a"], ["s2"]),
            node("Mul", ["s2", "b"], ["p"]),
            node("Identity", ["s2"], ["q"]),
        ],
        "body",
        [info("s", F, [4]), info("a", F, [4]), info("b", F, [4])],
        [info("s2", F, [4]), info("p", F, [4]), info("q", F, [4])],
    )
    is_batch = opset == 8
    inputs = ([lengths] if is_batch else []) + ["first", "x", "x"]
    nodes = [node("Scan", inputs, ["last", "ps", "qs"], body=body, num_scan_inputs=2, **attributes)]
    shape = [2, 3, 4] if is_batch else [3, 4]
    fed = {"first": (F, [2, 4] if is_batch else [4]), "x": (F, shape)}
    if lengths:
        fed[lengths] = (I64, [2])
    free = [None] * len(shape)
    outputs = {"last": (F, fed["first"][1]), "ps": (F, free), "qs": (F, free)}
    return model_of(nodes, fed, outputs, opset)


@pytest.mark.parametrize("opset", [9, 11, 16, 19, 21])
@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"scan_input_directions": [1, 0]},
        {"scan_output_directions": [0, 1]},
        {"scan_output_axes": [1, 0], "scan_input_directions": [1, 1], "scan_output_directions": [1, 1]},
    ],
    ids=str,
)
def test_a_scan(opset, attributes):
    feeds = {"first": np.ones(4, np.float32), "x": X[0]}
    same_as_runtime(scanned(opset, **attributes), feeds)


def test_a_scan_along_another_axis():
    model = scanned(16, scan_input_axes=[1, 1])
    model.graph.input[1].type.tensor_type.shape.dim[0].dim_value = 4
    model.graph.input[1].type.tensor_type.shape.dim[1].dim_value = 3
    same_as_runtime(model, {"first": np.ones(4, np.float32), "x": np.ascontiguousarray(X[0].T)})


@pytest.mark.parametrize("directions", [[0, 0], [1, 0]])
def test_a_scan_of_a_batch(directions):
    feeds = {"first": np.ones((2, 4), np.float32), "x": X}
    same_as_runtime(scanned(8, directions=directions), feeds)


def test_a_scan_of_a_batch_of_lengths():
    feeds = {"first": np.ones((2, 4), np.float32), "x": X, "lengths": np.array([3, 1])}
    last, ps, _ = same_as_runtime(scanned(8, "lengths"), feeds)
    assert np.array_equal(last[1], X[1, 0] + 1)
    assert not ps[1, 1:].any()


def test_the_same_file_gives_the_same_program():
    for model in (chosen(16), looped(13, "n", "yes"), scanned(8), scanned(16)):
        first, second = (octavo.program.artifact.to_bytes(load_program(model)) for _ in range(2))
        assert first == second
