"""Outputs of no axes and of no elements, and files of no bytes, are shown as what they are."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper


def save(path, nodes, outputs, constants=()):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs],
        list(constants),
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)


@pytest.mark.parametrize("rows", [2, 0])
def test_outputs_of_a_run(octavo, tmp_path, rows):
    nodes = [
        helper.make_node("Neg", ["x"], ["all"]),
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        helper.make_node("NonZero", ["x"], ["places"]),
    ]
    kinds = [("all", TensorProto.FLOAT), ("total", TensorProto.FLOAT), ("places", TensorProto.INT64)]
    save(tmp_path / "m.onnx", nodes, kinds)
    x = np.arange(3 * rows, dtype=np.float32).reshape(rows, 3)
    np.save(tmp_path / "x.npy", x)
    ended = octavo("run", "m.onnx", "--input", "x.npy", "--output", "total=t.npy", "--json", cwd=tmp_path)
    assert ended.status == 0, ended.err
    every, total, places = ended.json()["outputs"]
    ends = {"min": -5.0, "max": 0.0} if rows else {"min": None, "max": None}
    assert every == {"name": "all", "dtype": "float32", "shape": [rows, 3], "file": None, **ends}
    summed = {"min": float(x.sum()), "max": float(x.sum())}
    assert total == {"name": "total", "dtype": "float32", "shape": [], "file": "t.npy", **summed}
    ends = {"min": 0, "max": 2} if rows else {"min": None, "max": None}
    shape = [2, max(3 * rows - 1, 0)]
    assert places == {"name": "places", "dtype": "int64", "shape": shape, "file": None, **ends}
    assert np.load(tmp_path / "t.npy").shape == ()
    shown = octavo("run", "m.onnx", "--input", "x.npy", cwd=tmp_path).out.splitlines()
    assert shown[0].split() == ["name", "dtype", "shape", "min", "max", "file"]
    assert shown[1].split()[-1] == "-"


@pytest.mark.parametrize(("size", "shown"), [(None, "missing"), (0, "0.0 kB"), (1000, "1.0 kB")])
def test_external_data_of_any_size(octavo, tmp_path, size, shown):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[(size or 0) // 4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="w.bin")
    if size is not None:
        (tmp_path / "w.bin").write_bytes(bytes(size))
    save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], [("y", TensorProto.FLOAT)], [tensor])
    ended = octavo("inspect", "m.onnx", cwd=tmp_path)
    assert f"external data: w.bin ({shown})" in ended.out.splitlines()
    assert octavo("inspect", "m.onnx", "--json", cwd=tmp_path).json()["external_data"] == {"w.bin": size}
