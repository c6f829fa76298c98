"""What a file says of itself is told as it stands, whether octavo can run it or not."""

import numpy as np
import onnx
import pytest
from octavo import ModelError, frontend
from onnx import TensorProto, helper, numpy_helper


def saved(path, nodes, initializers=(), inputs=("x",), **model):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3, None]) for name in inputs],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, None)],
        list(initializers),
    )
    opsets = [helper.make_opsetid("", 11), helper.make_opsetid("com.example", 2)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=6, **model), path)
    return path


def test_the_file_s_own_words(tmp_path):
    weight = numpy_helper.from_array(np.zeros((3, 5), np.float16), "w")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Odd", ["a"], ["b"], domain="com.example"),
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.zeros(7, np.int64))),
        helper.make_node("MatMul", ["b", "c"], ["y"]),
    ]
    path = saved(
        tmp_path / "a.onnx", nodes, [weight], ("x", "w"), producer_name="maker", producer_version="1.2"
    )
    facts = frontend.facts(path)
    assert (facts.ir_version, facts.producer) == (6, "maker 1.2")
    assert facts.opsets == {"ai.onnx": 11, "com.example": 2}
    assert (facts.nodes, facts.ops) == (4, {"Constant": 1, "MatMul": 2, "com.example::Odd": 1})
    assert facts.weight_bytes == 15 * 2 + 7 * 8
    assert [(port.name, port.type, port.shape) for port in facts.inputs] == [
        ("x", "tensor(float)", ["N", 3, "?"])
    ]
    assert [(port.name, port.type, port.shape) for port in facts.outputs] == [("y", "tensor(double)", None)]
    assert facts.external_data == {}


def test_nodes_of_sub_graphs_count(tmp_path):
    inner = helper.make_graph(
        [
            helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.zeros(5, np.int64))),
            helper.make_node("Relu", ["x"], ["r"]),
        ],
        "inner",
        [],
        [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.zeros(3, np.float32), "w")],
    )
    node = helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    facts = frontend.facts(saved(tmp_path / "a.onnx", [node]))
    assert (facts.nodes, facts.ops) == (5, {"Constant": 2, "If": 1, "Relu": 2})
    assert facts.weight_bytes == 2 * (5 * 8 + 3 * 4)
    assert facts.producer == "not stated"


def test_external_data_are_named_and_not_looked_for_outside(tmp_path):
    def external(name, location):
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4])
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        return tensor

    (tmp_path / "inside.bin").write_bytes(bytes(16))
    for folder in (tmp_path / "model-old", tmp_path / "model"):
        folder.mkdir()
        (folder / "w.bin").write_bytes(bytes(16))
    (folder / "folder.bin").mkdir()
    outside = ("../inside.bin", "../model-old/w.bin", "/etc/passwd")
    names = ("w.bin", "gone.bin", "folder.bin", *outside)
    tensors = [external(f"t{index}", name) for index, name in enumerate(names)]
    facts = frontend.facts(saved(folder / "a.onnx", [helper.make_node("Relu", ["x"], ["y"])], tensors))
    assert facts.external_data == {"w.bin": 16, **dict.fromkeys(names[1:])}
    assert facts.weight_bytes == 16 * len(names)


def test_what_is_no_model(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"<html>")
    with pytest.raises(ModelError, match="web page"):
        frontend.facts(tmp_path / "a.onnx")


HOSTILE = "a\x1b[2J\nb"
SHOWN = "a\\x1b[2J\\nb"


def test_no_text_of_a_file_reaches_a_terminal_as_it_is(tmp_path):
    proto = onnx.load(saved(tmp_path / "a.onnx", [helper.make_node("Relu", ["x"], ["y"])]))
    proto.producer_name = HOSTILE
    proto.opset_import.append(helper.make_opsetid(HOSTILE, 3))
    proto.graph.input.append(helper.make_tensor_value_info(HOSTILE, TensorProto.FLOAT, [HOSTILE]))
    proto.graph.output.append(helper.make_tensor_sequence_value_info(HOSTILE, TensorProto.FLOAT, None))
    for op, domain in ((HOSTILE, ""), ("Odd", HOSTILE)):
        proto.graph.node.append(helper.make_node(op, ["x"], ["z"], domain=domain))
    weight = proto.graph.initializer.add(name="w", data_type=TensorProto.FLOAT, dims=[1])
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=HOSTILE)
    onnx.save(proto, tmp_path / "a.onnx")
    facts = frontend.facts(tmp_path / "a.onnx")
    assert facts.producer == SHOWN
    assert facts.opsets[SHOWN] == 3
    assert facts.ops == {SHOWN: 1, f"{SHOWN}::Odd": 1, "Relu": 1}
    assert facts.external_data == {SHOWN: None}
    assert (facts.inputs[-1].name, facts.inputs[-1].shape, facts.outputs[-1].name) == (SHOWN, [SHOWN], SHOWN)


def test_onnx_s_own_domain_has_two_names(tmp_path):
    domains = ("", "ai.onnx", "ai.onnx.ml")
    nodes = [helper.make_node("Relu", ["x"], ["y"], domain=domain) for domain in domains]
    facts = frontend.facts(saved(tmp_path / "a.onnx", nodes))
    assert facts.ops == {"Relu": 2, "ai.onnx.ml::Relu": 1}


def test_operators_and_files_are_in_the_order_of_their_names(tmp_path):
    def external(location, **entries):
        tensor = TensorProto(name=location, data_type=TensorProto.FLOAT, dims=[4])
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"offset": "0", "location": location, "length": "16", **entries}.items():
            tensor.external_data.add(key=key, value=value)
        return tensor

    inside = external("unused")  # what it says of a file counts for nothing: its bytes are in the model
    inside.data_location = TensorProto.DEFAULT
    inside.raw_data = bytes(16)
    nodes = [helper.make_node(op, ["x"], ["y"]) for op in ("Tanh", "Abs", "Relu", "Neg", "Abs")]
    path = saved(tmp_path / "a.onnx", nodes, [*map(external, "qbkzace"), inside])
    facts = frontend.facts(path)
    assert list(facts.ops.items()) == [("Abs", 2), ("Neg", 1), ("Relu", 1), ("Tanh", 1)]
    assert list(facts.external_data) == [*"abcekqz"]
    assert facts.weight_bytes == 8 * 16


def test_of_nodes_constants_alone_hold_weights(tmp_path):
    filled = helper.make_node("ConstantOfShape", ["x"], ["a"], value=numpy_helper.from_array(np.ones(1)))
    assert frontend.facts(saved(tmp_path / "a.onnx", [filled])).weight_bytes == 0
