"""Operators written out as their bodies compute what ONNX's own reference computes of them."""

import numpy as np
import onnx
import onnx.parser
import onnx.reference
import onnx_ir as ir
import pytest
from octavo import frontend
from octavo.errors import ModelError
from octavo.program.ops import signatures

RNG = np.random.default_rng(7)

# opset, nodes in ONNX's text form, inputs with their shapes, outputs
GRAPHS = {
    "plain": (13, "y = MeanVarianceNormalization(x)", ["x", [2, 3, 4, 5]], ["y"]),
    "attribute": (18, "y = MeanVarianceNormalization<axes = [1]>(x)", ["x", [3, 4]], ["y"]),
    "twice": (
        18,
        "y = MeanVarianceNormalization<axes = [0]>(x) z = MeanVarianceNormalization<axes = [1]>(y)",
        ["x", [3, 4]],
        ["z"],
    ),
    "outputs left out": (
        24,
        "y, , , s = Attention(q, k, v)",
        ["q", [1, 2, 3, 4], "k", [1, 2, 5, 4], "v", [1, 2, 5, 4]],
        ["y", "s"],
    ),
}


def model_of(opset, nodes, inputs, outputs):
    shapes = dict(zip(inputs[::2], inputs[1::2], strict=True))
    entries = ", ".join(f"float{shape} {name}" for name, shape in shapes.items())
    exits = ", ".join(f"float {name}" for name in outputs)
    text = f'<ir_version: 8, opset_import: ["": {opset}]> g ({entries}) => ({exits}) {{ {nodes} }}'
    feeds = {name: RNG.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return onnx.parser.parse_model(text), feeds


@pytest.mark.parametrize("graph", GRAPHS)
def test_bodies_compute_the_same(graph):
    model, feeds = model_of(*GRAPHS[graph])
    loaded = frontend.load(model)
    assert not {"MeanVarianceNormalization", "Attention"} & {node.op_type for node in loaded.graph}
    expected = onnx.reference.ReferenceEvaluator(model).run(None, feeds)
    given = onnx.reference.ReferenceEvaluator(ir.to_proto(loaded)).run(None, feeds)
    for e, g in zip(expected, given, strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-4, atol=1e-6)


def test_operators_that_octavo_has_stay():
    assert "Gelu" in signatures()
    assert onnx.defs.get_schema("Gelu", 20, "").has_context_dependent_function
    model, _ = model_of(20, "y = Gelu(x)", ["x", [3]], ["y"])
    assert [node.op_type for node in frontend.load(model).graph] == ["Gelu"]


def test_a_node_that_does_not_fit_its_operator_is_an_error():
    model, _ = model_of(24, "y = Attention(q, q, q)", ["q", [2, 3]], ["y"])
    with pytest.raises(ModelError):
        frontend.load(model)
