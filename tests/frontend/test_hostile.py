"""Files from anywhere: a graph, or an error of ours on one line that says what, where and what to do."""

import logging
import os
import time
import tracemalloc

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from octavo import frontend, passes
from octavo.errors import ModelError
from octavo.frontend import functions
from octavo.lowering import evaluate
from onnx import TensorProto, helper, numpy_helper

F = TensorProto.FLOAT


def model_of(nodes, constants=None, inputs=("x",), outputs=("y",), opset=25, **more):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, F, ["N", 4]) for name in inputs],
        [helper.make_tensor_value_info(name, F, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10, **more)


def refused(source, *words):
    with pytest.raises(ModelError) as caught:
        passes.simplify(frontend.load(source), evaluate)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


def survives(source):
    """A graph, or an error of ours."""
    message = ""
    try:
        passes.simplify(frontend.load(source), evaluate)
    except ModelError as error:
        message = str(error)
    assert "\n" not in message


RELU = helper.make_node("Relu", ["x"], ["y"], name="relu")


@pytest.mark.parametrize("source", ["path", "bytes", "bytearray", "proto", "graph", "pathlib"])
def test_what_a_model_can_come_from(tmp_path, source):
    proto = model_of([RELU])
    path = tmp_path / "model.onnx"
    onnx.save(proto, path)
    data = proto.SerializeToString()
    made = {"path": str(path), "pathlib": path, "bytes": data, "bytearray": bytearray(data), "proto": proto}
    made["graph"] = ir.from_proto(proto)
    model = frontend.load(made[source])
    assert [node.op_type for node in model.graph] == ["Relu"]
    assert proto == onnx.load(path)


def test_the_callers_graph_is_not_changed():
    theirs = ir.from_proto(model_of([helper.make_node("Dropout", ["x"], ["y"])], opset=13))
    passes.simplify(frontend.load(theirs), evaluate)
    assert theirs.graph.opset_imports == {"": 13}
    loaded = frontend.load(theirs)
    passes.simplify(loaded, evaluate)
    assert [node.op_type for node in loaded.graph] == ["Dropout"]


def test_not_a_model(tmp_path):
    for data in (b"", b"\0" * 64, b"GIF89a and so on", np.random.default_rng(4).bytes(4096), b"\x08\x0a"):
        refused(data, "not an ONNX model")
    empty = tmp_path / "empty.onnx"
    empty.touch()
    refused(empty, "empty.onnx", "not an ONNX model")
    refused(tmp_path / "absent.onnx", "absent.onnx", "No such file")
    refused(tmp_path, str(tmp_path), "directory")
    refused(7, "int")


def test_cut_anywhere():
    data = model_of(
        [helper.make_node("Add", ["x", "c"], ["y"])], {"c": np.ones(4, np.float32)}
    ).SerializeToString()
    for end in range(len(data)):
        survives(data[:end])


def test_flipped_bits():
    nodes = [helper.make_node("Conv", ["x4", "w"], ["a"]), helper.make_node("Relu", ["a"], ["y"])]
    nodes = [helper.make_node("Unsqueeze", ["x", "i"], ["x4"]), *nodes]
    constants = {"w": np.ones((2, 1, 3), np.float32), "i": np.array([1])}
    data = bytearray(model_of(nodes, constants, opset=17).SerializeToString())
    rng = np.random.default_rng(4)
    for _ in range(400):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), 2):
            damaged[place] ^= 1 << int(rng.integers(0, 8))
        survives(bytes(damaged))


def test_broken_graphs():
    node = helper.make_node
    refused(model_of([node("Relu", ["a"], ["y"]), node("Neg", ["y"], ["a"])]), "'a'")
    refused(model_of([node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["y"])]), "y")
    refused(model_of([node("Relu", ["nowhere"], ["y"], name="r")]), "nowhere")
    refused(model_of([node("Relu", ["x"], ["a"])]), "y")
    refused(model_of([node("Relu", ["x"], ["y"], name="r", alpha=1.0)]), "alpha")
    refused(
        model_of([node("Conv", ["x", "w"], ["y"], name="c")], {"w": np.ones((2, 3, 3, 3), np.float32)}), "c"
    )
    refused(model_of([node("MatMul", ["x", "w"], ["y"], name="m")], {"w": np.ones((5, 3), np.float32)}), "m")


def test_unknown_operators():
    def imports(*domains):
        return [helper.make_opsetid("", 25), *(helper.make_opsetid(domain, 1) for domain in domains)]

    fused = model_of([helper.make_node("NhwcFusedConv", ["x"], ["y"], name="f", domain="com.microsoft")])
    fused.opset_import.extend(imports("com.microsoft")[1:])
    refused(fused, "f", "NhwcFusedConv", "com.microsoft", "export")
    refused(model_of([helper.make_node("Relux", ["x"], ["y"], name="r")]), "r", "Relux")
    unused = model_of([RELU])
    unused.opset_import.extend(imports("com.microsoft", "ai.onnx.ml", "mine")[1:])
    assert frontend.load(unused).graph.opset_imports == {"": 25}


def test_no_opset():
    proto = model_of([RELU])
    del proto.opset_import[:]
    refused(proto, "opset")


def function(name, *calls):
    nodes = [helper.make_node(call, ["a"], [f"b{i}"], domain="mine") for i, call in enumerate(calls)]
    nodes += [helper.make_node("Sum", [f"b{i}" for i in range(len(calls))] or ["a"], ["b"])]
    return helper.make_function("mine", name, ["a"], ["b"], nodes, imports_of())


def imports_of():
    return [helper.make_opsetid("", 25), helper.make_opsetid("mine", 1)]


def test_functions_are_written_out():
    proto = model_of([helper.make_node("f1", ["x"], ["y"], domain="mine")])
    proto.opset_import.extend(imports_of()[1:])
    proto.functions.extend([function("f0"), function("f1", "f0", "f0")])
    assert {node.op_type for node in frontend.load(proto).graph} == {"Sum"}


def test_functions_that_explode_or_loop():
    deep = model_of([helper.make_node("f40", ["x"], ["y"], domain="mine")])
    deep.opset_import.extend(imports_of()[1:])
    deep.functions.extend(
        [function("f0"), *(function(f"f{i}", f"f{i - 1}", f"f{i - 1}") for i in range(1, 41))]
    )
    refused(deep, str(functions.MAX_NODES))
    loop = model_of([helper.make_node("f0", ["x"], ["y"], domain="mine")])
    loop.opset_import.extend(imports_of()[1:])
    loop.functions.extend([function("f0", "f1"), function("f1", "f0")])
    refused(loop, "calls itself")


def test_tensors_that_lie():
    short = model_of([helper.make_node("Add", ["x", "c"], ["y"])], {"c": np.ones(4, np.float32)})
    short.graph.initializer[0].raw_data = b"\0" * 12
    refused(short, "c")
    short.graph.initializer[0].raw_data = b"\0" * 16
    short.graph.initializer[0].dims[0] = 1 << 40
    refused(short, "c")
    short.graph.initializer[0].dims[0] = -4
    refused(short, "c")


def test_sparse_weights():
    proto = model_of([helper.make_node("Add", ["x", "c"], ["y"])])
    values = numpy_helper.from_array(np.ones(1, np.float32), "c")
    proto.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, numpy_helper.from_array(np.array([2])), [4])
    )
    refused(proto, "c", "sparse")


def external(folder, location, data=b"\0" * 16, **entries):
    """A model beside `location`, which holds (or does not) its one weight."""
    proto = model_of([helper.make_node("Add", ["x", "c"], ["y"])], {"c": np.ones(4, np.float32)})
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    if data is not None:
        (folder / location).write_bytes(data)
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def test_external_data(tmp_path, monkeypatch):
    path = external(tmp_path, "weights", np.arange(6, dtype=np.float32).tobytes(), offset=4, length=16)
    for source in (path, str(path)):
        tensor = frontend.load(source).graph.initializers["c"].const_value
        np.testing.assert_array_equal(tensor.numpy(), [1, 2, 3, 4])
    monkeypatch.chdir(tmp_path)
    assert frontend.load("model.onnx").graph.initializers["c"].const_value.numpy()[0] == 1
    refused(path.read_bytes(), "c", "weights", "path")
    refused(onnx.load(path, load_external_data=False), "c", "weights")


def test_external_data_outside_of_the_folder(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"\0" * 16)
    folder = tmp_path / "models"
    folder.mkdir()
    refused(external(folder, "../secret", None), "c", "../secret")
    refused(external(folder, str(secret), None), "secret")
    (folder / "link").symlink_to(secret)
    refused(external(folder, "link", None), "c", "link")
    (folder / "sub").symlink_to(tmp_path)
    refused(external(folder, "sub/secret", None), "c", "sub/secret")
    refused(external(folder, "absent", None), "c", "absent")
    refused(external(folder, ".", None), "c")
    os.mkfifo(folder / "pipe")
    refused(external(folder, "pipe", None), "c", "pipe", "regular")


def test_external_data_that_lies(tmp_path):
    refused(external(tmp_path, "w", b"\0" * 15), "c", "w")
    refused(external(tmp_path, "w", b"\0" * 16, offset=8), "c", "w")
    refused(external(tmp_path, "w", b"\0" * 16, length=8), "c", "w")
    refused(external(tmp_path, "w", b"\0" * 16, offset=-4), "'c'")
    refused(external(tmp_path, "w", b"\0" * 16, offset="x"), "'x'")


@pytest.mark.parametrize("opset", [9, 17, 20, 25])
def test_three_gigabytes_of_weights_stay_on_disk(tmp_path, opset):
    side = 28_000
    with open(tmp_path / "weights", "wb") as file:
        file.truncate(4 * side * side)
    proto = model_of(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": np.ones((1, 1), np.float32)}, opset=opset
    )
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = side
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.dims[:] = [side, side]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights")
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    started, resident = time.perf_counter(), resident_bytes()
    tracemalloc.start()
    model = passes.simplify(frontend.load(path), evaluate)
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()
    assert resident_bytes() - resident < 1 << 27
    assert time.perf_counter() - started < 10
    assert model.graph.initializers["w"].const_value.nbytes == 4 * side * side


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_branches_and_loops_are_kept():
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["again"]),
            helper.make_node("Mul", ["carried", "c"], ["scaled"]),
            helper.make_node("Relu", ["scaled"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", F, None),
        ],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", F, None),
        ],
    )
    constants = {"n": np.array(3), "t": np.array(True), "c": np.array(2, np.float32)}
    proto = model_of([helper.make_node("Loop", ["n", "t", "x"], ["y"], body=body)], constants)
    model = passes.simplify(frontend.load(proto), evaluate)
    assert "Loop" in [node.op_type for node in model.graph]
    feeds = {"x": np.array([[-1, 2, 3, 4]], np.float32)}
    for graph in (proto, ir.to_proto(model)):
        got = onnx.reference.ReferenceEvaluator(graph).run(None, feeds)[0]
        np.testing.assert_array_equal(got, [[0, 16, 24, 32]])


def test_constant_branches_are_chosen():
    def branch(op, out):
        return helper.make_graph(
            [helper.make_node(op, ["x"], [out])], op, [], [helper.make_tensor_value_info(out, F, None)]
        )

    chosen = helper.make_node(
        "If", ["t"], ["y"], then_branch=branch("Relu", "a"), else_branch=branch("Neg", "b")
    )
    model = passes.simplify(frontend.load(model_of([chosen], {"t": np.array(False)})), evaluate)
    assert [node.op_type for node in model.graph] == ["Neg"]


def test_nothing_is_logged_or_printed(caplog, capfd):
    nodes = [helper.make_node("Clip", ["x"], ["a"], min=0.0), helper.make_node("Dropout", ["a"], ["y"])]
    with caplog.at_level(logging.DEBUG):
        passes.simplify(frontend.load(model_of(nodes, opset=9)), evaluate)
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("onnxscript").level == logging.NOTSET


def test_an_axis_without_a_name_gets_one():
    proto = model_of([RELU])
    proto.graph.input[0].type.tensor_type.shape.dim[0].Clear()
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = -1
    model = frontend.load(proto)
    assert [str(axis) for axis in model.graph.inputs[0].shape] == ["x_0", "x_1"]
    assert model.graph.outputs[0].shape == model.graph.inputs[0].shape


def test_claimed_shapes_of_inner_values_are_not_believed():
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Neg", ["a"], ["y"])]
    proto = model_of(nodes)
    proto.graph.value_info.append(helper.make_tensor_value_info("a", F, [7, 7, 7]))
    model = frontend.load(proto)
    assert [str(axis) for axis in model.graph.node(0).outputs[0].shape] == ["N", "4"]
