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


def test_the_file_is_read_again_without_data(octavo, folder, tmp_path):
    """Quantized as it stands, inspected and compared."""
    path, again = tmp_path / "qdq.onnx", tmp_path / "again.octavo"
    octavo("export", "model.octavo", "-o", path, cwd=folder)
    ended = octavo("quantize", path, "-o", again)
    assert (ended.status, ended.err) == (0, "")
    assert "as the model gives them: 4 tensors' scales, 2 products' weights" in ended.out
    own, back = (
        octavo("run", model, "--input", "input=image.npy", "--json", cwd=folder).json()["outputs"]
        for model in ("model.octavo", again)
    )
    assert own == back
    facts = octavo("inspect", path, "--json").json()["int8"]
    assert facts["integer_macs"] == facts["macs"] == 93_288
    refused = octavo("quantize", path, "--recipe", "dynamic", "-o", tmp_path / "no.octavo")
    assert refused.status == 1
    assert "quantized already, and the recipe 'dynamic' is for float models" in refused.err
    compared = octavo("compare", path, again, "--data", "calibration.npz", "--json", cwd=folder)
    assert compared.status == 0
