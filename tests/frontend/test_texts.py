"""Texts that are not UTF-8, wherever a file can have one: an error that says where it stands."""

import numpy as np
import octavo
import onnx
import onnx_ir as ir
import pytest
from octavo import frontend
from onnx import TensorProto, helper, numpy_helper

BAD = b"\xff\xfe"


def model_of(node, constants=None, functions=()):
    graph = helper.make_graph(
        [node],
        "thegraph",
        [helper.make_tensor_value_info("thevalue", TensorProto.FLOAT, ["thesymbol", 4, 4, 4], "thevaluedoc")],
        [helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()],
        doc_string="thegraphdoc",
    )
    imports = [helper.make_opsetid("", 25), helper.make_opsetid("thedomain", 1)]
    model = helper.make_model(
        graph,
        opset_imports=imports,
        ir_version=11,
        functions=functions,
        producer_name="theproducer",
        producer_version="theversion",
        domain="themodeldomain",
        doc_string="themodeldoc",
    )
    helper.set_model_props(model, {"thekey": "thetext"})
    return model


def message_of(source):
    messages = []
    for load in (
        frontend.load,
        octavo.Session,
        lambda m: octavo.quantize(m, np.ones((2, 4, 4, 4), np.float32)),
    ):
        with pytest.raises(octavo.ModelError) as raised:
            load(source)
        messages.append(str(raised.value))
    assert len(set(messages)) == 1
    assert messages[0].isprintable()
    return messages[0]


GRID = {"grid": np.zeros((1, 2, 2, 2), np.float32)}
SCATTER = {"i": np.array([[0]]), "u": np.ones((1, 4, 4, 4), np.float32)}


@pytest.mark.parametrize(
    ("op", "attribute", "constants"),
    [
        ("GridSample", "mode", GRID),
        ("GridSample", "padding_mode", GRID),
        ("DepthToSpace", "mode", {}),
        ("Gelu", "approximate", {}),
        ("ScatterND", "reduction", SCATTER),
        ("ScatterElements", "reduction", {"i": np.zeros((1, 1, 1, 1), np.int64), "u": np.ones((1, 1, 1, 1))}),
        *(
            ("Resize", attribute, {"roi": np.zeros(8, np.float32), "scales": np.ones(4, np.float32)})
            for attribute in (
                "mode", "coordinate_transformation_mode", "nearest_mode", "keep_aspect_ratio_policy",
            )
        ),
        ("Pad", "mode", {"pads": np.zeros(8, np.int64)}),
        ("Conv", "auto_pad", {"w": np.ones((1, 4, 1, 1), np.float32)}),
        ("MaxPool", "auto_pad", {}),
        ("Einsum", "equation", {}),
        ("Cast", "round_mode", {}),
        ("Cast", "saturate", {}),
        ("LSTM", "direction", {}),
        ("NoSuchOperator", "anything", {}),
    ],
)  # fmt: skip
def test_attributes(op, attribute, constants):
    node = helper.make_node(op, ["thevalue", *constants], ["y"], name="thenode")
    node.attribute.append(onnx.AttributeProto(name=attribute, type=onnx.AttributeProto.STRING, s=BAD))
    model = model_of(node, constants)
    expected = f"attribute '{attribute}' of node 'thenode' ({op}) is not UTF-8: {BAD!r}"
    for source in (model, model.SerializeToString(), ir.from_proto(model)):
        assert message_of(source).startswith(expected)


def test_lists_of_texts():
    node = helper.make_node("LSTM", ["thevalue"], ["y"], name="thenode", activations=["Tanh", BAD])
    assert message_of(model_of(node)).startswith(
        "attribute 'activations' of node 'thenode' (LSTM) is not UTF-8"
    )


def test_texts_within_sub_graphs():
    pool = helper.make_node("MaxPool", ["thevalue"], ["z"], name="inner", auto_pad=BAD, kernel_shape=[1, 1])
    branch = helper.make_graph([pool], "b", [], [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)])
    node = helper.make_node("If", ["c"], ["y"], name="outer", then_branch=branch, else_branch=branch)
    assert "attribute 'auto_pad' of node 'inner'" in message_of(model_of(node, {"c": np.array(True)}))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("thegraph", "model.graph.name"),
        ("thegraphdoc", "model.graph.doc_string"),
        ("themodeldoc", "model.doc_string"),
        ("themodeldomain", "model.domain"),
        ("theproducer", "model.producer_name"),
        ("theversion", "model.producer_version"),
        ("thekey", "model.metadata_props[0].key"),
        ("thetext", "model.metadata_props[0].value"),
        ("thenode", "model.graph.node[0].name"),
        ("thenodedoc", "model.graph.node[0].doc_string"),
        ("DepthToSpace", "model.graph.node[0].op_type"),
        ("blocksize", "model.graph.node[0].attribute[0].name"),
        ("theoutput", "model.graph.node[0].output[0]"),
        ("theweight", "model.graph.initializer[0].name"),
        ("thevaluedoc", "model.graph.input[0].doc_string"),
        ("thesymbol", "model.graph.input[0].type.tensor_type.shape.dim[0].dim_param"),
        ("thedomain", "model.opset_import[1].domain"),
        ("thefunction", "model.functions[0].name"),
        ("thelocal", "model.functions[0].output[0]"),
    ],
)
def test_names(text, place):
    relu = helper.make_node("Relu", ["local_x"], ["thelocal"])
    function = helper.make_function(
        "thedomain", "thefunction", ["local_x"], ["thelocal"], [relu], [helper.make_opsetid("", 25)]
    )
    node = helper.make_node(
        "DepthToSpace", ["thevalue"], ["theoutput"], name="thenode", blocksize=2, doc_string="thenodedoc"
    )
    model = model_of(node, {"theweight": np.ones(3, np.float32)}, [function])
    frontend.load(model)
    # Longer texts first keep their bytes: only the whole field is replaced, its length before it.
    whole = bytes([len(text)]) + text.encode()
    data = model.SerializeToString().replace(whole, bytes([len(text)]) + text.encode()[:-2] + BAD, 1)
    message = message_of(data)
    assert message.startswith(f"{place} is not UTF-8: b'{text[:-2]}"), message


def test_texts_of_a_graph_that_no_file_can_hold():
    model = ir.from_proto(model_of(helper.make_node("Relu", ["thevalue"], ["y"], name="thenode")))
    node = model.graph.node(0)
    node.name = "\udcff"
    assert r"'\udcff' at node" in message_of(model)
    node.name, node.outputs[0].name = "thenode", "\udcff"
    assert r"'\udcff' at node 'thenode'" in message_of(model)


def test_other_bytes_may_be_anything():
    model = model_of(helper.make_node("Relu", ["thevalue"], ["y"], name="größe"))
    model.graph.initializer.add(name="raw", data_type=TensorProto.UINT8, dims=[2], raw_data=BAD)
    assert [node.name for node in frontend.load(model).graph] == ["größe"]
