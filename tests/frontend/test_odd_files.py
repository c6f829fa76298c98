"""Files that are odd in one place: what they say is told, what they cannot mean is refused by its place."""

import numpy as np
import octavo
import onnx
import onnx_ir as ir
import pytest
from octavo import frontend
from octavo.errors import ModelError
from octavo.frontend.check import check
from octavo.frontend.contrib import is_contributed
from octavo.frontend.source import read
from octavo.frontend.texts import check_proto
from onnx import TensorProto, helper, numpy_helper

F = TensorProto.FLOAT
node = helper.make_node


def model_of(nodes, constants=(), inputs=(("x", F, [4]),), outputs=("y",), opset=21, kind=F):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(*given) for given in inputs],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        list(constants),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


RELU = [node("Relu", ["x"], ["y"], name="n")]


def refused(source, says, load=frontend.load):
    with pytest.raises(ModelError) as raised:
        load(source)
    assert says in str(raised.value), raised.value


def test_a_model_has_a_graph_and_an_ir_version():
    for name in ("graph", "ir_version"):
        proto = model_of(RELU)
        proto.ClearField(name)
        for source in (proto, proto.SerializeToString()):
            refused(source, "the model is not an ONNX model: it has no graph or no IR version")
    refused(onnx.ModelProto(), "it has no graph or no IR version")


@pytest.mark.parametrize("source", [None, 3, ["model.onnx"], np.zeros(3)])
def test_what_is_no_model(source):
    refused(
        source,
        f"bytes, an onnx.ModelProto or an onnx_ir.Model, not {type(source).__name__}",
    )


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_of_every_kind(kind):
    loaded = frontend.load(kind(model_of(RELU).SerializeToString()))
    assert [made.op_type for made in loaded.graph] == ["Relu"]


def test_a_path_that_is_none(tmp_path):
    refused("a\0b", "cannot be the path of a file")
    refused(tmp_path / "none.onnx", "cannot read the model")
    refused(tmp_path, "is not an ONNX model: it is a directory")


def test_a_graph_that_is_the_callers_stays_as_it_is():
    model = ir.from_proto(model_of(RELU))
    model.meta["own"] = 1
    loaded = read(model)
    assert loaded is not model
    assert loaded.meta["own"] == 1
    loaded.graph.node(0).op_type = "Abs"
    assert model.graph.node(0).op_type == "Relu"


def test_sparse_weights_are_refused():
    proto = model_of([node("Add", ["x", "s"], ["y"])])
    sparse = onnx.SparseTensorProto(dims=[4])
    sparse.values.CopyFrom(numpy_helper.from_array(np.ones(1, np.float32), "s"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.zeros(1, np.int64), "i"))
    proto.graph.sparse_initializer.append(sparse)
    refused(proto, "initializer 's' of the model is sparse: export the model with dense weights")


def external(location="w", length=16, offset=0, dims=(4,), **more):
    tensor = TensorProto(name="w", data_type=F, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, "offset": offset, "length": length, **more}.items():
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    return tensor


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({}, None),
        ({"length": None}, None),
        ({"offset": None}, None),
        ({"offset": 16}, None),
        ({"offset": 17}, "cannot be read"),
        ({"length": 12}, "has 12 bytes from 0, but declares 16"),
        ({"length": 20}, "has 20 bytes from 0, but declares 16"),
        ({"length": 0}, "has 0 bytes from 0, but declares 16"),
        ({"location": "none"}, "cannot be read: "),
        ({"location": "folder"}, "is not a regular file"),
        ({"location": "folder/../w"}, None),
        ({"location": "../x/w"}, "is outside of the model's folder"),
        ({"location": "/w"}, "is outside of the model's folder"),
    ],
)
@pytest.mark.parametrize("where", ["initializer", "attribute", "attributes"])
def test_external_data(tmp_path, entries, says, where):
    """As a weight, as a Constant, and in a list of tensors."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "w").write_bytes(np.arange(8, dtype=np.float32).tobytes())
    tensor = external(**entries)
    if where == "initializer":
        proto, called = model_of([node("Add", ["x", "w"], ["y"])], [tensor]), "initializer 'w'"
    elif where == "attribute":
        nodes = [node("Constant", [], ["w"], name="c", value=tensor), node("Add", ["x", "w"], ["y"])]
        proto, called = model_of(nodes), "attribute 'value' of node 'c' (Constant)"
    else:
        proto, called = (
            model_of([node("Odd", ["x"], ["y"], name="c", values=[tensor])]),
            "attribute 'values' of node 'c'",
        )
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    if says is not None and where == "attributes" and "outside" not in says:
        return  # the operator is refused first
    if says is None:
        if where == "attributes":
            assert frontend.source_files(path) == (str(path), str(tmp_path / "w"))
        else:
            start = (entries.get("offset") or 0) // 4
            (y,) = octavo.Session(path).run(None, {"x": np.zeros(4, np.float32)})
            assert y.tolist() == [*range(start, start + 4)]
        return
    refused(path, says)
    refused(path, called)


def test_folders_that_begin_alike_are_two(tmp_path):
    (tmp_path / "model2").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model2" / "w").write_bytes(bytes(16))
    (tmp_path / "model" / "w").symlink_to("../model2/w")
    path = tmp_path / "model" / "m.onnx"
    path.write_bytes(model_of([node("Add", ["x", "w"], ["y"])], [external()]).SerializeToString())
    refused(path, "outside of the model's folder: put a copy of the file there")


def test_an_initializer_without_a_value_and_attributes_that_refer():
    model = ir.from_proto(
        model_of([node("Add", ["x", "k"], ["y"])], [numpy_helper.from_array(np.ones(4, np.float32), "k")])
    )
    model.graph.initializers["k"].const_value = None
    refused(model, "initializer 'k' has no value", lambda given: check(given, 25, is_contributed))
    proto = model_of([node("Elu", ["x"], ["y"], name="n")])
    proto.graph.node[0].attribute.add(name="alpha", type=onnx.AttributeProto.FLOAT, ref_attr_name="a")
    refused(
        proto, "attribute 'alpha' of node 'n' (Elu) refers to a function's attribute outside of a function"
    )


@pytest.mark.parametrize("field", ["name", "doc_string", "key", "value"])
@pytest.mark.parametrize("of", ["initializer", "attribute"])
def test_texts_of_tensors(field, of):
    tensor = TensorProto(name="thename", doc_string="thedoc", data_type=F, dims=[4], raw_data=b"\xff" * 16)
    tensor.external_data.add(key="thekey", value="thevalue")
    nodes = [node("Constant", [], ["k"], name="c", value=tensor), *RELU] if of == "attribute" else RELU
    proto = model_of(nodes, [] if of == "attribute" else [tensor])
    check_proto(proto)
    text = {"name": b"thename", "doc_string": b"thedoc", "key": b"thekey", "value": b"thevalue"}[field]
    data = proto.SerializeToString().replace(text, text[:-1] + b"\xff")
    place = "graph.initializer[0]" if of == "initializer" else "graph.node[0].attribute[0].t"
    place += f".external_data[0].{field}" if field in ("key", "value") else f".{field}"
    refused(data, f"model.{place} is not UTF-8")


def test_made_up_names_avoid_each_other():
    inputs = (("x", F, ["?", "x_0", "x_0_", "x_0__"]), ("x_0", F, ["?", "?"]))
    nodes = [node("Relu", ["x"], ["y"]), node("Relu", ["x_0"], ["z"])]
    loaded = frontend.load(model_of(nodes, inputs=inputs, outputs=("y", "z")))
    names = [str(axis) for value in loaded.graph.inputs for axis in value.shape]
    assert names == ["x_0___", "x_0", "x_0_", "x_0__", "x_0_0", "x_0_1"]


TYPES = {
    "FLOAT": 32, "DOUBLE": 64, "FLOAT16": 16, "BFLOAT16": 16, "INT64": 64, "UINT8": 8, "BOOL": 8,
    "COMPLEX128": 128, "INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2,
}  # fmt: skip


@pytest.mark.parametrize("kind", TYPES)
def test_bytes_of_weights_of_each_type(tmp_path, kind):
    """Those of four and of two bits lie two and four to a byte, the last one of an odd number alone."""
    tensor = TensorProto(name="w", data_type=TensorProto.DataType.Value(kind), dims=[3, 5])
    empty = TensorProto(name="e", data_type=F, dims=[3, 0])
    odd = TensorProto(name="o", data_type=F, dims=[-3, 5])
    unknown = TensorProto(name="u", data_type=999, dims=[3])
    number = TensorProto(name="n", data_type=F)
    onnx.save(model_of(RELU, [tensor, empty, odd, unknown, number]), tmp_path / "a.onnx")
    assert frontend.facts(tmp_path / "a.onnx").weight_bytes == -(-15 * TYPES[kind] // 8) + 4


def test_facts_of_inputs_that_are_no_tensors(tmp_path):
    proto = model_of(
        RELU, [numpy_helper.from_array(np.ones(1, np.float32), "k")], (("x", F, [4]), ("k", F, [1]))
    )
    proto.graph.input.append(helper.make_tensor_sequence_value_info("s", F, None))
    proto.graph.input.add(name="nothing")
    proto.graph.input.add(name="odd").type.tensor_type.elem_type = 999
    scalar = helper.make_tensor_value_info("scalar", TensorProto.BOOL, [])
    axes = helper.make_tensor_value_info("axes", F, [0, "N", None, 7])
    proto.graph.input.extend([scalar, axes])
    inner = helper.make_graph(RELU, "inner", [], [helper.make_tensor_value_info("y", F, None)])
    lists = node("Odd", ["x"], ["q"])
    lists.attribute.append(helper.make_attribute("graphs", [inner, inner]))
    proto.graph.node.append(lists)
    onnx.save(proto, tmp_path / "a.onnx")
    facts = frontend.facts(tmp_path / "a.onnx")
    assert [(port.name, port.type, port.shape) for port in facts.inputs] == [
        ("x", "tensor(float)", [4]),
        ("s", "sequence", None),
        ("nothing", "unknown", None),
        ("odd", "tensor(unknown)", None),
        ("scalar", "tensor(bool)", []),
        ("axes", "tensor(float)", [0, "N", "?", 7]),
    ]
    assert (facts.nodes, facts.ops) == (4, {"Odd": 1, "Relu": 3})


@pytest.mark.parametrize("op", ["RotaryEmbedding", "Attention"])
def test_bodies_of_halves_compute_in_float32_and_round_once(op):
    """As the same model of float32 does between casts of every input and of the output."""
    rng = np.random.default_rng(4)
    rest = (1, 3, 2) if op == "RotaryEmbedding" else (1, 2, 3, 4)
    feeds = {
        name: rng.standard_normal(s).astype("f2")
        for name, s in zip("abc", ((1, 2, 3, 4), rest, rest), strict=True)
    }

    def run(kind, made):
        shapes = [(name, kind, array.shape) for name, array in feeds.items()]
        model = model_of([node(op, list(feeds), ["y"])], (), shapes, opset=24, kind=kind)
        return octavo.Session(model).run(None, {name: array.astype(made) for name, array in feeds.items()})[0]

    half, whole = run(TensorProto.FLOAT16, np.float16), run(F, np.float32)
    assert half.dtype == np.float16
    assert np.array_equal(half, whole.astype(np.float16))
