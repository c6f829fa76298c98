"""`octavo export`: an artifact as an ONNX file."""

import numpy as np
import onnx
import onnxruntime


def test_the_file_answers_as_the_artifact_does(octavo, folder, tmp_path):
    path = tmp_path / "qdq.onnx"
    ended = octavo("export", "model.octavo", "-o", path, cwd=folder)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith(f"{path}: ")
    assert "opset 21" in ended.out
    proto = onnx.load(path)
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in proto.graph.node}
    facts = octavo("export", "model.octavo", "-o", path, "--json", cwd=folder).json()
    assert facts == {
        "file": str(path),
        "bytes": path.stat().st_size,
        "opset": 21,
        "nodes": len(proto.graph.node),
    }
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    [port] = session.get_inputs()
    shape = [size if isinstance(size, int) else 2 for size in port.shape]
    [answer] = session.run(None, {port.name: np.zeros(shape, np.float32)})
    assert np.isfinite(answer).all()


def test_what_cannot_be_exported_is_told(octavo, folder, tmp_path):
    for arguments, hint in (
        (("model.onnx", "-o", tmp_path / "qdq.onnx"), "is no .octavo file: quantize the model first"),
        (("model.octavo", "-o", "model.octavo"), "is not overwritten"),
        (("absent.octavo", "-o", tmp_path / "qdq.onnx"), "absent.octavo"),
        (("model.octavo", "-o", tmp_path / "nowhere" / "qdq.onnx"), "nowhere"),
    ):
        ended = octavo("export", *arguments, cwd=folder)
        assert (ended.status, ended.out) == (1, "")
        assert ended.err.count("\n") == 1
        assert hint in ended.err
    assert not (tmp_path / "qdq.onnx").exists()
