"""Real models: simpler afterwards, with the same answers."""

import collections

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from octavo import frontend, passes
from octavo.lowering import evaluate
from octavo.program import OPSET

EXPECTED = {
    "autoencoder": "Gemm 10 Relu 9",
    "dscnn": "Transpose 1 Conv 9 Relu 9 AveragePool 1 Flatten 1 Gemm 1 Softmax 1",
    "mnist-cnn": "Conv 1 Relu 1 MaxPool 1 Flatten 1 Gemm 1",
    "mobilenetv2": "Conv 52 Clip 35 Add 10 GlobalAveragePool 1 Flatten 1 Gemm 1",
    "resnet20-cifar": "Conv 19 Relu 19 Add 9 Slice 2 Pad 2 GlobalAveragePool 1 Flatten 1 Gemm 1",
    "resnet8": "Transpose 1 Conv 9 Relu 7 Add 3 AveragePool 1 Reshape 1 Gemm 1 Softmax 1",
    "squeezenet": "Conv 26 Relu 26 MaxPool 3 Concat 8 GlobalAveragePool 1 Flatten 1",
    "superres": "Conv 4 Relu 3 DepthToSpace 1",
    "ultraface": "Conv 52 Relu 37 Concat 5 Add 3 Transpose 8 Reshape 8 Softmax 1 Slice 4 "
    "Mul 3 Exp 1 Div 1 Sub 1",
    "vww": "Transpose 1 Conv 27 Relu 27 AveragePool 1 Reshape 1 Gemm 1 Softmax 1",
}
OTHERS = ("silero-vad", "silero-vad-op15")


def session_of(source):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def feeds_of(session, batch, name):
    rng = np.random.default_rng(5)
    feeds = {}
    for value in session.get_inputs():
        shape = [axis if isinstance(axis, int) else batch for axis in value.shape]
        if name.startswith("silero") and value.name == "input":
            shape = [batch, 576]
        made = rng.standard_normal(shape).astype(np.float32)
        feeds[value.name] = np.array(16000) if value.type == "tensor(int64)" else made
    return feeds


@pytest.mark.parametrize("name", [*EXPECTED, *OTHERS])
def test_same_answers(data_dir, name):
    path = data_dir / "models" / f"{name}.onnx"
    model = passes.simplify(frontend.load(path), evaluate)
    assert model.graph.opset_imports == {"": OPSET}
    assert not model.functions
    for value in model.graph.outputs:
        if value.shape is None:  # the checker wants one: what the file states
            value.shape = ir.Shape(frontend.claimed_shape(model.graph, value.name))
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    proto.ir_version = 10
    before, after = session_of(str(path)), session_of(proto.SerializeToString())
    assert [value.name for value in after.get_inputs()] == [value.name for value in before.get_inputs()]
    assert [value.name for value in after.get_outputs()] == [value.name for value in before.get_outputs()]
    for batch in (1,) if name in ("ultraface", "superres") else (1, 2):
        feeds = feeds_of(before, batch, name)
        for want, got in zip(before.run(None, feeds), after.run(None, feeds), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * float(np.abs(want).max()))


@pytest.mark.parametrize("name", EXPECTED)
def test_operators_left(data_dir, name):
    model = passes.simplify(frontend.load(data_dir / "models" / f"{name}.onnx"), evaluate)
    words = EXPECTED[name].split()
    assert collections.Counter(node.op_type for node in model.graph) == {
        op: int(count) for op, count in zip(words[::2], words[1::2], strict=True)
    }
    for node in model.graph:
        assert node.domain == ""
        assert all(value.shape is not None and value.dtype is not None for value in node.outputs)


def test_the_paddings_of_a_shortcut_are_constant(data_dir):
    model = passes.simplify(frontend.load(data_dir / "models" / "resnet20-cifar.onnx"), evaluate)
    pads = [node for node in model.graph if node.op_type == "Pad"]
    assert [node.inputs[1].const_value.numpy().tolist() for node in pads] == [
        [0, 8, 0, 0, 0, 8, 0, 0],
        [0, 16, 0, 0, 0, 16, 0, 0],
    ]


@pytest.mark.parametrize("name", EXPECTED)
def test_the_batch_keeps_its_name(data_dir, name):
    model = passes.simplify(frontend.load(data_dir / "models" / f"{name}.onnx"), evaluate)
    batch = model.graph.inputs[0].shape[0]
    assert all(value.shape[0] == batch for value in model.graph.outputs)


def test_simplifying_twice_is_simplifying_once(data_dir):
    for name in ("resnet20-cifar", "ultraface", "silero-vad-op15"):
        once = passes.simplify(frontend.load(data_dir / "models" / f"{name}.onnx"), evaluate)
        twice = passes.simplify(once, evaluate)
        assert [node.op_type for node in once.graph.all_nodes()] == [
            node.op_type for node in twice.graph.all_nodes()
        ]
