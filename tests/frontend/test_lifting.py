"""What moves integers moves reals instead, where that makes pairs of what quantizes and dequantizes them."""

import numpy as np
import octavo
import onnx
import onnx.parser
import onnxruntime
import pytest
from octavo import frontend

X = np.random.default_rng(0).standard_normal((2, 4, 6, 6)).astype(np.float32) * 9

MOVES = {
    "Flatten": "m = Flatten(q)",
    "Reshape": "m = Reshape(q, shape)",
    "Transpose": "m = Transpose<perm = [0, 2, 3, 1]>(q)",
    "MaxPool": "m = MaxPool<kernel_shape = [2, 2], pads = [1, 1, 1, 1]>(q)",
    "several": "a = MaxPool<kernel_shape = [2, 2]>(q) b = Transpose<perm = [0, 2, 3, 1]>(a) "
    "m = Reshape(b, flat)",
}


def model_of(nodes, outputs="float[] y"):
    text = f"""<ir_version: 8, opset_import: ["": 13]> g (float[N,4,6,6] x) => ({outputs})
        <float s = {{0.1}}, float other = {{0.2}}, float less = {{-0.1}}, uint8 z = {{100}},
         int64[2] shape = {{-1, 24}}, int64[2] flat = {{0, -1}}>
        {{ q = QuantizeLinear(x, s, z) {nodes} }}"""
    proto = onnx.parser.parse_model(text)
    for value in proto.graph.output:
        value.type.tensor_type.ClearField("shape")
    return proto


def order_of(proto):
    return [node.op_type for node in frontend.load(proto).graph]


def agree(proto):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    for ours, theirs in zip(
        octavo.Session(proto).run(None, {"x": X}), session.run(None, {"x": X}), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("moves", MOVES)
def test_a_pair_closes_before_what_moves(moves):
    proto = model_of(MOVES[moves] + " r = DequantizeLinear(m, s, z) y = Relu(r)")
    assert order_of(proto)[:2] == ["QuantizeLinear", "DequantizeLinear"]
    agree(proto)


def test_integers_that_others_read_are_moved_too():
    nodes = "m = Flatten(q) y = DequantizeLinear(m, s, z) v = DequantizeLinear(m, other, z)"
    proto = model_of(nodes, "float[] y, float[] v, uint8[] m")
    agree(proto)


def test_a_negative_scale_stays_behind_the_greatest():
    proto = model_of("m = MaxPool<kernel_shape = [2, 2]>(q) y = DequantizeLinear(m, less, z)")
    order = order_of(proto)
    assert order.index("MaxPool") < order.index("Cast")
    agree(proto)
