"""A name that says no more than "free" ties no axes together, a real one does, a made-up one is new."""

import numpy as np
import octavo
import onnx
import onnxruntime
import pytest
from octavo import frontend, passes
from octavo.lowering import evaluate
from onnx import TensorProto, helper

F, I64 = TensorProto.FLOAT, TensorProto.INT64
PLACEHOLDERS = (
    "?",
    "",
    "*",
    "-1",
    "None",
    "NONE",
    "unk",
    "<unk>",
    "unknown",
    "dynamic",
    "dynamic_dim",
    "dim",
    "N/A",
)
REAL = ("N", "batch", "batch_size", "seq", "unk__0", "DynamicDimension.0", "dim_0", "x")


def model_of(nodes, inputs, outputs):
    def values(shapes):
        return [helper.make_tensor_value_info(name, dtype, shape) for name, (dtype, shape) in shapes.items()]

    graph = helper.make_graph(nodes, "g", values(inputs), values(outputs))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def peer(model, feeds):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)


def same_answers(model, feeds):
    session = octavo.Session(model, threads=1)
    for ours, theirs in zip(session.run(None, feeds), peer(model, feeds), strict=True):
        assert ours.shape == theirs.shape
        assert np.array_equal(ours, theirs)
    return session


def ones(*shape):
    return np.ones(shape, np.float32)


def two_inputs(name):
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["z"], ["w"])]
    shapes = {"x": (F, [name, 3, name, name]), "z": (F, [name, name])}
    return model_of(nodes, shapes, {"y": (F, [name, 3, name, name]), "w": (F, [name, 7])})


@pytest.mark.parametrize("name", PLACEHOLDERS)
def test_a_placeholder_ties_nothing(name):
    session = same_answers(two_inputs(name), {"x": ones(1, 3, 8, 10), "z": ones(5, 7)})
    assert [value.shape for value in session.get_inputs()] == [["x_0", 3, "x_2", "x_3"], ["z_0", "z_1"]]
    assert [value.shape for value in session.get_outputs()] == [["x_0", 3, "x_2", "x_3"], ["z_0", "z_1"]]


@pytest.mark.parametrize("name", REAL)
def test_a_name_ties(name):
    session = octavo.Session(two_inputs(name), threads=1)
    session.run(None, {"x": ones(2, 3, 2, 2), "z": ones(2, 2)})
    with pytest.raises(octavo.RunError, match="as in 'x': axes that may differ need names of their own"):
        session.run(None, {"x": ones(2, 3, 2, 2), "z": ones(3, 2)})


def test_placeholders_of_equal_tensors_are_not_taken_for_equal_shapes():
    """[?, 1] + [?, 1] may broadcast; what the sum is reshaped to does not follow from either."""
    nodes = [
        helper.make_node("Add", ["x", "z"], ["s"]),
        helper.make_node("Shape", ["x"], ["n"]),
        helper.make_node("Expand", ["s", "n"], ["y"]),
    ]
    inputs = {"x": (F, ["?", "?"]), "z": (F, ["?", "?"])}
    model = model_of(nodes, inputs, {"y": (F, ["?", "?"])})
    for x, z in (((3, 1), (1, 1)), ((3, 2), (1, 2)), ((3, 1), (3, 1)), ((3, 4), (1, 1))):
        same_answers(model, {"x": ones(*x), "z": ones(*z)})


def test_made_up_names_are_new():
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["z"], ["w"])]
    inputs = {"x": (F, ["?", "x_0", None]), "z": (F, ["x_2", "?", -1])}
    model = model_of(nodes, inputs, {"y": (F, ["z_1", "?", "?"]), "w": (F, None)})
    session = same_answers(model, {"x": ones(1, 4, 3), "z": ones(2, 5, 7)})
    found = [value.shape for value in session.get_inputs()]
    assert found == [["x_0_", "x_0", "x_2_"], ["x_2", "z_1_", "z_2"]]
    assert [value.shape for value in session.get_outputs()] == found


def test_names_stay_as_they_are_when_shapes_are_inferred_again():
    model = frontend.load(two_inputs("?"))
    before = [str(value.shape) for value in model.graph.inputs]
    after = passes.simplify(model, evaluate)
    assert [str(value.shape) for value in after.graph.inputs] == before


@pytest.mark.parametrize("claim", [["N", 4], [1, 4], ["x_0", 4], ["?", 4], ["N.0", "?"]])
@pytest.mark.parametrize("axis", ["N", "?", 1])
def test_the_stated_shape_of_an_output_is_shown_and_not_believed(axis, claim):
    """The batch's name on an output that has more rows than the batch: exporters write what they are told."""
    nodes = [helper.make_node("Expand", ["x", "shape"], ["y"])]
    model = model_of(nodes, {"x": (F, [axis, 4]), "shape": (I64, ["r"])}, {"y": (F, claim)})
    session = same_answers(model, {"x": ones(1, 4), "shape": np.array([3, 4])})
    (output,) = session.get_outputs()
    assert output.shape == ["y.0" if claim[0] == "?" else claim[0], 4 if claim[1] == 4 else "y.1"]


def test_a_symbol_that_octavo_makes_up_for_an_output_is_not_an_inputs():
    nodes = [helper.make_node("Expand", ["x", "shape"], ["y"])]
    model = model_of(nodes, {"x": (F, ["y.0", 4]), "shape": (I64, ["r"])}, {"y": (F, ["?", 4])})
    session = same_answers(model, {"x": ones(1, 4), "shape": np.array([3, 4])})
    assert [value.shape for value in session.get_outputs()] == [["y.0_", 4]]


def test_placeholders_in_a_loop_body():
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["goes"]),
            helper.make_node("Concat", ["a", "a"], ["b"], axis=0),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", I64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("a", F, ["?", "?"]),
        ],
        [
            helper.make_tensor_value_info("goes", TensorProto.BOOL, []),
            helper.make_tensor_value_info("b", F, ["?", "?"]),
        ],
    )
    nodes = [helper.make_node("Loop", ["n", "", given], [made], body=body) for given, made in ("xm", "my")]
    model = frontend.load(model_of(nodes, {"n": (I64, []), "x": (F, ["?", "?"])}, {"y": (F, ["?", "?"])}))
    inner = [loop.attributes["body"].as_graph().inputs[2] for loop in model.graph]
    names = [[str(axis) for axis in value.shape] for value in inner]
    assert names == [
        ["a_0", "x_1"],
        ["a_2_0", "x_1"],
    ]  # the rows grow from trip to trip, whatever the file says


def test_a_quantized_model_is_not_tied_either():
    weight = onnx.numpy_helper.from_array(np.ones((2, 3, 3, 3), np.float32), "w")
    model = model_of(
        [helper.make_node("Conv", ["x", "w"], ["y"])], {"x": (F, ["?", 3, "?", "?"])}, {"y": (F, None)}
    )
    model.graph.initializer.append(weight)
    data = np.random.default_rng(0).standard_normal((4, 3, 8, 10)).astype(np.float32)
    session = octavo.Session(octavo.quantize(model, data), threads=1)
    assert session.run(None, {"x": data[:1]})[0].shape == (1, 2, 6, 8)
    assert session.run(None, {"x": data[:2, :, :5]})[0].shape == (2, 2, 3, 8)
