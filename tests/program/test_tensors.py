"""Integers read back as the reals that they stand for, beside the numpy reference and by hand."""

from dataclasses import replace

import numpy as np
import octavo
import octavo.reference
import pytest
from octavo.program import Node, Program, Quant, Value
from octavo.program.integers import pack
from octavo.program.tensors import tensor, tensors


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


def test_packed_zero_points():
    program, integers = packed(1, 4, (6, 10), (6, 3))
    zeros = np.random.default_rng(3).integers(-8, 8, (6, 3)).astype(np.int8)
    program.values["z"] = Value("z", "i4", (6, 3))
    program.constants["z"] = pack(zeros, "i4")
    program.nodes[0] = replace(program.nodes[0], inputs=("w", "s", "z"))
    held = tensor(program, "w")
    assert np.array_equal(held.zero_point, zeros)
    [wanted] = octavo.reference.run(program, {"x": np.zeros((6, 10), np.float32)})
    scales = program.constants["s"].repeat(4, 1)[:, :10]
    assert np.array_equal(wanted, scales * (integers - zeros.repeat(4, 1)[:, :10]).astype(np.float32))
    assert np.array_equal(held.dequantize(), wanted)


def test_one_scale_and_a_zero_point():
    array = np.array([0, 100, 255], np.uint8)
    quant = Quant(np.array([0.5], np.float32), np.array([100]))
    program = Program([], [], {"w": Value("w", "u8", (3,), quant)}, {"w": array}, [])
    assert tensor(program, "w").dequantize().tolist() == [-50.0, 0.0, 77.5]
    fraction = replace(quant, zero_point=np.array([99.5], np.float32))
    program = replace(program, values={"w": Value("w", "u8", (3,), fraction)})
    assert tensors(program)["w"].dequantize().tolist() == [-49.75, 0.25, 77.75]


def test_a_name_in_the_float_model_or_none():
    program, integers = packed(0, None, (6, 10), (6,))
    stored = replace(
        program,
        values={f"{name}_stored" if name == "w" else name: value for name, value in program.values.items()},
        constants={"w_stored": program.constants["w"], "s": program.constants["s"]},
        nodes=[replace(program.nodes[0], inputs=("w_stored", "s")), program.nodes[1]],
    )
    assert tensor(stored, "w").name == "w_stored"
    assert np.array_equal(tensor(stored, "w").integers, integers)
    with pytest.raises(octavo.ModelError, match="no constant called 'x' is held in integers"):
        tensor(stored, "x")
    with pytest.raises(octavo.ModelError, match="close to it are 'w_stored'"):
        tensor(stored, "w_store")
    assert "\n" not in repr(tensor(program, "w"))
