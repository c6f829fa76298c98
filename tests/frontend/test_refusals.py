"""What octavo cannot run is refused: every missing operator is listed, and what trains is called so."""

import numpy as np
import octavo
import pytest
from onnx import TensorProto, helper, numpy_helper

F = TensorProto.FLOAT
X = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
ADVICE = "call model.eval(), or export with training=TrainingMode.EVAL"


def node(op, inputs, outputs, name, **attributes):
    return helper.make_node(op, inputs, outputs, name=name, **attributes)


def model_of(nodes, constants=(), opset=15, inputs=(), outputs=(("y", F),), domains=()):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", F, X.shape), *inputs],
        [helper.make_tensor_value_info(name, dtype, None) for name, dtype in outputs],
        [numpy_helper.from_array(np.array(array), name) for name, array in dict(constants).items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def refusal(model):
    with pytest.raises(octavo.ModelError) as raised:
        octavo.Session(model)
    message = str(raised.value)
    assert "\n" not in message
    assert len(message) <= 1000
    return message


RATIO = {"r": np.float32(0.5)}
DROPS = {
    "opset 12": (["x", "r", "t"], {**RATIO, "t": True}, 12),
    "opset 13": (["x", "r", "t"], {**RATIO, "t": True}, 13),
    "opset 22": (["x", "r", "t"], {**RATIO, "t": True}, 22),
    "the default ratio": (["x", "", "t"], {"t": True}, 13),
}


@pytest.mark.parametrize("name", DROPS)
@pytest.mark.parametrize("outputs", [["y"], ["y", "mask"]])
def test_dropout_in_training_mode(name, outputs):
    inputs, constants, opset = DROPS[name]
    model = model_of([node("Dropout", inputs, outputs, "drop")], constants, opset)
    if len(outputs) > 1:
        model.graph.output.append(helper.make_tensor_value_info("mask", TensorProto.BOOL, None))
    message = refusal(model)
    assert message.startswith("node 'drop' (Dropout) drops at random: ")
    assert "exported in training mode" in message
    assert ADVICE in message


def test_dropout_whose_mode_is_not_constant():
    mode = helper.make_tensor_value_info("t", TensorProto.BOOL, [])
    model = model_of([node("Dropout", ["x", "r", "t"], ["y"], "drop")], RATIO, inputs=[mode])
    assert "'drop' (Dropout) drops at random where 't' is true: " in refusal(model)
    assert ADVICE in refusal(model)
    computed = [node("Not", ["f"], ["t"], "not"), node("Dropout", ["x", "r", "t"], ["y"], "drop")]
    assert "exported in training mode" in refusal(model_of(computed, {**RATIO, "f": False}))
    (kept,) = octavo.Session(model_of(computed, {**RATIO, "f": True})).run(None, {"x": X})
    assert np.array_equal(kept, X)


def test_all_that_drop_are_counted():
    nodes = [node("Dropout", ["x", "r", "t"], ["a"], ""), node("Dropout", ["a", "r", "t"], ["b"], "second")]
    nodes.append(node("Det", ["square"], ["d"], "det"))
    nodes.append(node("Add", ["b", "d"], ["y"], "add"))
    square = helper.make_tensor_value_info("square", F, [4, 4])
    message = refusal(model_of(nodes, {**RATIO, "t": True}, inputs=[square]))
    assert "octavo has no operator Det (node 'det'); " in message
    assert "(Dropout) and 1 more drop at random" in message


@pytest.mark.parametrize(
    ("inputs", "constants", "opset"),
    [
        (["x"], {}, 7),
        (["x"], {}, 10),
        (["x", "r"], RATIO, 12),
        (["x", "r", "t"], {**RATIO, "t": False}, 13),
        (["x", "r", "t"], {"r": np.float32(0), "t": True}, 13),
    ],
)
def test_dropout_at_inference_changes_nothing(inputs, constants, opset):
    for outputs in (["y"], ["y", "mask"]):
        model = model_of([node("Dropout", inputs, outputs, "drop")], constants, opset)
        assert np.array_equal(octavo.Session(model).run(None, {"x": X})[0], X)
    if opset >= 10:
        model.graph.output.append(helper.make_tensor_value_info("mask", TensorProto.BOOL, None))
        assert octavo.Session(model).run(["mask"], {"x": X})[0].all()


@pytest.mark.parametrize("opset", [7, 9])
def test_a_mask_of_another_type(opset):
    """Up to opset 9, which is the last that has it of floats."""
    model = model_of([node("Dropout", ["x"], ["y", "m"], "drop")], opset=opset, outputs=[("y", F), ("m", F)])
    assert "'drop' (Dropout) has a mask that is read" in refusal(model)


@pytest.mark.parametrize(
    ("opset", "outputs", "attributes"),
    [
        (7, ["y", "m", "v", "sm", "sv"], {}),
        (9, ["y", "m", "v", "sm", "sv"], {}),
        (13, ["y", "m", "v", "sm", "sv"], {}),
        (14, ["y", "m", "v"], {"training_mode": 1}),
        (15, ["y", "m", "v"], {"training_mode": 1}),
        (14, ["y"], {"training_mode": 1}),
        (15, ["y"], {"training_mode": 1}),
        (20, ["y", "m", "v"], {"training_mode": 1}),
    ],
)
def test_batch_normalization_in_training_mode(opset, outputs, attributes):
    norm = node("BatchNormalization", ["x", "s", "s", "s", "s"], outputs, "bn", **attributes)
    message = refusal(model_of([norm], {"s": np.ones(3, np.float32)}, opset))
    assert message.startswith("node 'bn' (BatchNormalization) takes the statistics of the batch: ")
    assert ADVICE in message
    assert "track_running_stats=False" in message


@pytest.mark.parametrize("opset", [7, 9, 13, 14, 20])
def test_batch_normalization_at_inference(opset):
    norm = node("BatchNormalization", ["x", "s", "s", "z", "s"], ["y"], "bn", epsilon=0.0)
    constants = {"s": np.ones(3, np.float32), "z": np.zeros(3, np.float32)}
    (y,) = octavo.Session(model_of([norm], constants, opset)).run(None, {"x": X})
    assert np.array_equal(y, X + 1)


def test_every_missing_operator_is_listed():
    square = helper.make_tensor_value_info("square", F, [4, 4])
    nodes = [
        node("RandomNormalLike", ["x"], ["a"], "noise"),
        node("Det", ["square"], ["b"], "det"),
        node("RandomNormalLike", ["x"], ["c"], "more"),
        node("RandomUniformLike", ["x"], ["d"], "last"),
        node("Sum", ["a", "b", "c", "d"], ["y"], "sum"),
    ]
    message = refusal(model_of(nodes, inputs=[square]))
    assert message == (
        "octavo has no operator RandomNormalLike (2 nodes, the first node 'noise'), Det (node 'det'), "
        "RandomUniformLike (node 'last')"
    )


def test_what_a_body_lacks_is_listed_too():
    body = helper.make_graph(
        [node("RandomNormalLike", ["x"], ["r"], "inside")],
        "b",
        [],
        [helper.make_tensor_value_info("r", F, X.shape)],
    )
    branch = node("If", ["c"], ["y"], "if", then_branch=body, else_branch=body)
    fed = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    message = refusal(model_of([branch], inputs=[fed]))
    assert message.startswith("octavo has no operator RandomNormalLike (2 nodes, the first node ")


def test_operators_of_other_domains_are_listed():
    nodes = [
        node("NhwcConv", ["x"], ["a"], "first", domain="com.microsoft"),
        node("NmsRotated", ["a"], ["b"], "", domain="mmdeploy"),
        node("NhwcConv", ["b"], ["y"], "last", domain="com.microsoft"),
    ]
    message = refusal(model_of(nodes, domains=["com.microsoft", "mmdeploy"]))
    assert (
        "com.microsoft::NhwcConv (2 nodes, the first node 'first'), mmdeploy::NmsRotated (the node of 'b')"
        in message
    )
    assert "export the model with standard ONNX operators" in message


def test_operators_that_the_opset_lacks_are_listed():
    nodes = [node("Upsample", ["x"], ["a"], "up"), node("Relux", ["a"], ["y"], "typo")]
    message = refusal(model_of(nodes))
    assert "ONNX opset 15 does not have the operators Upsample (node 'up'), Relux (node 'typo')" in message


def test_lists_are_bounded():
    nodes = [node(f"Op{i}" * 50, ["x"], [f"y{i}"], "n" * 5000, domain="d" * 99) for i in range(500)]
    message = refusal(model_of(nodes, outputs=[("y0", F)], domains=["d" * 99]))
    assert "494 more: export" in message


@pytest.mark.parametrize("count", [1, 2, 5, 6, 7, 8, 20])
def test_six_operators_are_named_and_the_rest_counted(count):
    """Each with its first node and how many there are; nothing is said of a rest of none."""
    nodes = [
        node(f"Op{index % count}", ["x"], [f"y{index}" if index else "y"], f"n{index}", domain="own")
        for index in range(2 * count - 1)
    ]
    message = refusal(model_of(nodes, domains=["own"]))
    for index in range(count):
        many = "2 nodes, the first " if index < count - 1 else ""
        assert (f"own::Op{index} ({many}node 'n{index}')" in message) == (index < 6)
    assert (f", {count - 6} more:" in message) == (count > 6)
    assert (" more" in message) == (count > 6)
