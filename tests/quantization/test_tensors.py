"""The weights of a quantized model, read back: beside the float model, and beside the numpy reference."""

from dataclasses import replace

import numpy as np
import octavo
import octavo.reference
import pytest
from octavo.program import Node, Program, Quant, Value
from octavo.program.integers import pack
from octavo.program.tensors import tensor, tensors
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


def packed(axis, block, shape, scales):
    rng = np.random.default_rng(2)
    integers = rng.integers(-8, 8, shape).astype(np.int8)
    scale = rng.uniform(0.1, 1, scales).astype(np.float32)
    attributes = {"axis": axis} | ({} if block is None else {"block": block})
    program = Program(
        ["x"],
        ["y"],
        {
            "x": Value("x", "f32", shape), "w": Value("w", "i4", shape), "s": Value("s", "f32", scales),
            "d": Value("d", "f32", shape), "y": Value("y", "f32", shape),
        },
        {"w": pack(integers, "i4"), "s": scale},
        [Node("Dequantize", "d", ("w", "s"), ("d",), attributes), Node("Add", "y", ("x", "d"), ("y",))],
    )  # fmt: skip
    return program, integers


@pytest.mark.parametrize(
    ("axis", "block", "scales"), [(0, None, (6,)), (1, None, (10,)), (1, 4, (6, 3)), (0, 3, (2, 10))]
)
def test_packed_integers_are_unpacked(axis, block, scales):
    program, integers = packed(axis, block, (6, 10), scales)
    held = tensor(program, "w")
    assert np.array_equal(held.integers, integers)
    assert (held.axis, held.block) == (axis, block)
    [wanted] = octavo.reference.run(program, {"x": np.zeros((6, 10), np.float32)})
    assert np.array_equal(held.dequantize(), wanted)


def test_one_scale_and_a_zero_point():
    array = np.array([0, 100, 255], np.uint8)
    quant = Quant(np.array([0.5], np.float32), np.array([100]))
    program = Program([], [], {"w": Value("w", "u8", (3,), quant)}, {"w": array}, [])
    assert tensor(program, "w").dequantize().tolist() == [-50.0, 0.0, 77.5]
    fraction = replace(quant, zero_point=np.array([99.5], np.float32))
    program = replace(program, values={"w": Value("w", "u8", (3,), fraction)})
    assert tensors(program)["w"].dequantize().tolist() == [-49.75, 0.25, 77.75]


def test_a_name_that_no_weights_have(quantized):
    with pytest.raises(octavo.ModelError, match="no constant called 'logits'"):
        quantized.tensor("logits")
    with pytest.raises(octavo.ModelError, match="close to it are"):
        quantized.tensor(next(iter(quantized.tensors()))[:-2])
    assert "\n" not in repr(next(iter(quantized.tensors().values())))
