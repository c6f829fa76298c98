"""What a model is read from: kept apart from the caller's, or refused by its place and what it is instead."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from octavo import frontend
from octavo.errors import ModelError
from octavo.frontend.external import LocatedTensor
from octavo.frontend.source import read, read_proto
from octavo.lowering import lower
from octavo.program import artifact
from onnx import TensorProto, helper, numpy_helper


def model_of(nodes, functions=(), constants=(), ir_version=10):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        list(constants),
    )
    opsets = [helper.make_opsetid("", 21), *([helper.make_opsetid("mine", 1)] if functions else [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version, functions=functions)


RELU = model_of([helper.make_node("Relu", ["x"], ["y"], name="n")])


def refusals(data, path):
    """What is said of bytes and of a file that holds them, each with what the model is called."""
    path.write_bytes(data)
    for source, where in ((data, "the model"), (path, f"'{path}'"), (str(path), f"'{path}'")):
        with pytest.raises(ModelError) as raised:
            frontend.load(source)
        message = str(raised.value)
        assert message.startswith(f"{where} ")
        yield message.removeprefix(f"{where} ")


def test_an_artifact_is_told_from_a_model(tmp_path):
    data = artifact.to_bytes(lower(frontend.load(RELU)).program)
    for message in refusals(data, tmp_path / "a.onnx"):
        assert message.startswith("is an .octavo artifact, which runs as it is (octavo.Session, octavo run)")
        assert "give the float .onnx model that it was made of" in message
    weights = b"\x02\0\0\0\0\0\0\0{}"
    for message in refusals(weights, tmp_path / "a.octavo"):
        assert message.startswith("is not an ONNX model: it is a safetensors file of weights alone: ")


def test_a_file_that_begins_as_a_model_is_damaged_and_another_is_none(tmp_path):
    data = RELU.SerializeToString()[:-3]
    assert data[:1] == b"\x08"
    for message in refusals(data, tmp_path / "a.pt"):
        assert message == (
            f"is not an ONNX model, or is one that is cut short or damaged: {len(data):,} bytes, which begin "
            "as one; download or export it again"
        )
    for message in refusals(b"\xf3\0\xff\1", tmp_path / "a.onnx"):
        assert message == "is not an ONNX model: give an .onnx file"
    for message in refusals(b"\x08" + bytes(1500), tmp_path / "b.onnx"):
        assert ": 1,501 bytes, which begin" in message


def test_the_name_of_a_file_counts_where_its_bytes_say_nothing(tmp_path):
    of_bytes, *of_files = refusals(b"\xf3\0\xff\1", tmp_path / "a.tflite")
    assert of_bytes == "is not an ONNX model: give an .onnx file"
    for message in of_files:
        assert message.startswith("is not an ONNX model: it is a TensorFlow Lite model by its name: ")


def test_as_much_is_read_as_protobuf_does(monkeypatch, tmp_path):
    data = RELU.SerializeToString()
    monkeypatch.setattr(onnx.checker, "MAXIMUM_PROTOBUF", len(data) + 1)
    assert read(data).graph.node(0).op_type == "Relu"
    monkeypatch.setattr(onnx.checker, "MAXIMUM_PROTOBUF", len(data))
    for message in refusals(data, tmp_path / "a.onnx"):
        assert message == "is over 2 GB, more than protobuf reads: save its weights as external data"


@pytest.mark.parametrize("absent", ["graph", "ir_version"])
def test_the_file_without_a_graph_is_named(tmp_path, absent):
    proto = onnx.ModelProto()
    proto.CopyFrom(RELU)
    proto.ClearField(absent)
    for message in refusals(proto.SerializeToString(), tmp_path / "a.onnx"):
        assert message == "is not an ONNX model: it has no graph or no IR version; give an .onnx file"
    with pytest.raises(ModelError, match=r"a\.onnx' is not an ONNX model: it has no graph"):
        read_proto(tmp_path / "a.onnx")


def test_functions_of_a_graph_are_written_out_too():
    own = helper.make_function(
        "mine", "f", ["a"], ["b"], [helper.make_node("Neg", ["a"], ["b"])], [helper.make_opsetid("", 21)]
    )
    theirs = ir.from_proto(model_of([helper.make_node("f", ["x"], ["y"], domain="mine")], [own]))
    assert [node.op_type for node in read(theirs).graph] == ["Neg"]
    assert [node.op_type for node in theirs.graph] == ["f"]
    assert len(theirs.functions) == 1


def test_a_sparse_weight_of_a_file_has_the_file_s_name(tmp_path):
    proto = model_of([helper.make_node("Add", ["x", "s"], ["y"])])
    values = numpy_helper.from_array(np.ones(1, np.float32), "s")
    places = numpy_helper.from_array(np.zeros(1, np.int64))
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [4]))
    onnx.save(proto, tmp_path / "a.onnx")
    with pytest.raises(ModelError, match=rf"^initializer 's' of '{tmp_path}/a\.onnx' is sparse: "):
        frontend.load(tmp_path / "a.onnx")


def test_a_graph_remembers_its_files_and_what_its_tensors_say(tmp_path):
    (tmp_path / "w").write_bytes(np.arange(4, dtype=np.float32).tobytes())
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], doc_string="theirs")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "w", "offset": "0", "length": "16"}.items():
        tensor.external_data.add(key=key, value=value)
    proto = model_of([helper.make_node("Add", ["x", "w"], ["y"])], constants=[tensor])
    (tmp_path / "a.onnx").write_bytes(proto.SerializeToString())
    expected = (str(tmp_path / "a.onnx"), str(tmp_path / "w"))
    loaded = read(tmp_path / "a.onnx")
    again = read(loaded)  # a graph that was read before: both files, each once
    for model in (loaded, again):
        assert frontend.files_of(model) == expected
        found = model.graph.initializers["w"].const_value
        assert isinstance(found, LocatedTensor)
        assert (found.name, found.doc_string, found.location) == ("w", "theirs", "w")
        assert (found.offset, found.length, found.path) == (0, 16, expected[1])
    assert frontend.files_of(read(RELU)) == ()
