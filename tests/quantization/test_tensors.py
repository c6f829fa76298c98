"""The weights of a quantized model, read back: beside the float model, and what the runtime reads."""

from dataclasses import replace

import numpy as np
import octavo
import pytest
from octavo.session import load_program


@pytest.fixture(scope="module")
def floats(model):
    return load_program(model)


@pytest.mark.parametrize("recipe", ["int8", "weight-only"])
def test_weights_are_near_those_of_the_float_model(model, digits, floats, recipe):
    quantized = octavo.quantize(model, digits if recipe == "int8" else None, recipe)
    products = [node for node in floats.nodes if node.op in ("Conv", "Gemm")]
    found = quantized.tensors()
    assert len(found) == len(products) == 2
    for node in products:
        weight = floats.constants[node.inputs[1]]
        held = quantized.tensor(node.inputs[1])
        assert held.integers.dtype == np.int8
        assert found[held.name].name == held.name
        reals = held.dequantize()
        assert reals.dtype == np.float32
        across = weight if weight.shape == reals.shape else weight.T
        assert reals.shape == across.shape
        # GPTQ rounds to other integers than the nearest: a few steps away at the most.
        steps = held.scale.reshape([-1 if axis == held.axis else 1 for axis in range(reals.ndim)])
        assert np.all(np.abs(reals - across) <= 4 * steps)
        assert np.abs(reals - across).mean() < np.abs(across).mean() / 20
        assert len(held.scale) == reals.shape[held.axis]


def test_stored_weights_are_what_the_runtime_reads(model):
    quantized = octavo.quantize(model, recipe="weight-only")
    nodes = [node for node in quantized.program.nodes if node.op == "Dequantize"]
    made = replace(quantized.program, outputs=[node.outputs[0] for node in nodes])
    arrays = octavo.Session(made).run(None, {"input": np.zeros((1, 1, 28, 28), np.float32)})
    assert len(nodes) == 2
    for node, array in zip(nodes, arrays, strict=True):
        assert np.array_equal(quantized.tensors()[node.inputs[0]].dequantize(), array)


def test_a_name_that_no_weights_have(quantized):
    with pytest.raises(octavo.ModelError, match="no constant called 'logits'"):
        quantized.tensor("logits")
