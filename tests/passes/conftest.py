"""Tiny graphs from text, and the check that a pass leaves their answers alone."""

import collections
import re

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import onnxruntime
import pytest
from octavo import frontend
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator


def build(inputs, body, outputs="y", **weights):
    """A graph of one line of inputs (`float[N,3] x`) and a body in ONNX's text form, with shapes inferred."""
    known = {declared.split()[1]: declared for declared in re.split(r", (?=[a-z])", inputs)}
    results = ", ".join(
        known.get(name, name if " " in name else f"float {name}") for name in outputs.split(",")
    )
    text = f'<ir_version: 10, opset_import: ["" : 25]> g ({inputs}) => ({results}) {{ {body} }}'
    proto = onnx.parser.parse_model(text)
    for value in proto.graph.output:
        if value.name not in {source.name for source in proto.graph.input}:
            value.type.tensor_type.ClearField("shape")
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    for index, node in enumerate(proto.graph.node):
        node.name = node.name or f"node{index}"
    model = ir.from_proto(proto)
    frontend.infer_shapes(model)
    return model


def feeds_of(model, batch=2, seed=0):
    rng = np.random.default_rng(seed)
    feeds = {}
    for value in model.graph.inputs:
        shape = [axis if isinstance(axis, int) else batch for axis in value.shape]
        feeds[value.name] = np.asarray(2 * rng.standard_normal(shape)).astype(value.dtype.numpy())
    return feeds


def answers(model, feeds):
    """What ONNX Runtime makes of the graph as it stands, or onnx.reference where that lacks an operator."""
    proto = ir.to_proto(model)
    proto.ir_version = 10
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
        return ReferenceEvaluator(proto).run(None, feeds)
    return session.run(None, feeds)


def ops(model):
    return dict(collections.Counter(node.op_type for node in model.graph))


def check(before, after, expected, batch=2, rtol=1e-5, atol=1e-5):
    """The graph after a pass has these operators, the same names outside, and the same answers."""
    if isinstance(expected, str):
        expected = dict(collections.Counter(expected.split()))
    assert ops(after) == expected
    assert [v.name for v in after.graph.inputs] == [v.name for v in before.graph.inputs]
    assert [v.name for v in after.graph.outputs] == [v.name for v in before.graph.outputs]
    onnx.checker.check_model(ir.to_proto(after), full_check=True)
    for n in {1, batch}:
        feeds = feeds_of(before, n)
        for want, got in zip(answers(before, feeds), answers(after, feeds), strict=True):
            assert want.dtype == got.dtype
            np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)


@pytest.fixture
def rng():
    return np.random.default_rng(1)


class Cases:
    """Runs a table of (name, inputs, body, weights, expected operators) and reports all that fail."""

    def run(self, passes, cases, **tolerance):
        failed = []
        for name, inputs, body, weights, expected in cases:
            before = build(inputs, body, **weights)
            after = before.clone()
            try:
                for run in passes:
                    run(after)
                frontend.infer_shapes(after)
                check(before, after, expected, **tolerance)
            except AssertionError as error:
                failed.append(f"{name}: {error}")
        assert not failed, "\n\n".join(failed)

    build = staticmethod(build)
    check = staticmethod(check)
    answers = staticmethod(answers)
    feeds_of = staticmethod(feeds_of)
    ops = staticmethod(ops)


@pytest.fixture(scope="session")
def graphs():
    return Cases()
