"""What scales give of a product is not in its artifact, and comes back the same in both languages."""

from dataclasses import replace

import numpy as np
import octavo
import pytest
from hypothesis import given
from hypothesis import strategies as st
from octavo.program import Node, Program, Quant, Value, artifact
from octavo.program.arithmetic import multipliers_shifts, residual_multipliers_shifts
from octavo.program.derived import left_out

CHANNELS = 16
SCALES = st.floats(2.0**-40, 2.0**20, width=32)
ATTRIBUTES = {"x_zero_point": 0, "y_zero_point": 0, "lo": 0, "hi": 255}


def quant(scale, *, of_weights=False):
    zeros = np.zeros(len(scale), np.int64)
    return Quant(np.array(scale, np.float32), zeros, 1 if of_weights or len(scale) > 1 else None)


def program_of(x, w, y, r=None):
    """A QGemm of one weight a channel, with a residual where r is a scale; None where it cannot be."""
    sums = np.float64(x) * w.astype(np.float64)
    multiplier, shift = multipliers_shifts(sums / np.float64(y))
    joined = None if r is None else residual_multipliers_shifts(np.float64(r) / sums)
    if not multiplier.all() or (r is not None and joined is None):
        return None
    constants = {
        "w": np.full((1, CHANNELS), 127, np.int8),
        "bias": np.arange(CHANNELS, dtype=np.int32) * 1234567 % 100003,
        "multiplier": multiplier,
        "shift": shift,
    }
    inputs, reads, attributes = ["x"], ["x", "w", "bias", "multiplier", "shift"], dict(ATTRIBUTES)
    forms = {"w": quant(w, of_weights=True)}
    values = {"x": Value("x", "u8", ("N", 1), quant([x])), "y": Value("y", "u8", ("N", CHANNELS), quant([y]))}
    if joined is not None:
        constants |= dict(zip(("r_multiplier", "r_shift"), joined, strict=True))
        values["r"] = Value("r", "u8", ("N", CHANNELS), quant([r]))
        inputs.append("r")
        reads += ["r", "r_multiplier", "r_shift"]
        attributes["r_zero_point"] = 0
    dtypes = {np.dtype("i1"): "i8", np.dtype("i4"): "i32"}
    for name, array in constants.items():
        values[name] = Value(name, dtypes[array.dtype], array.shape, forms.get(name))
    return Program(
        inputs, ["y"], values, constants, [Node("QGemm", "gemm", tuple(reads), ("y",), attributes)]
    )


@given(SCALES, st.lists(SCALES, min_size=CHANNELS, max_size=CHANNELS), SCALES, st.none() | SCALES)
def test_both_languages_derive_what_was_left_out(x, w, y, r):
    program = program_of(np.float32(x), np.array(w, np.float32), np.float32(y), r and np.float32(r))
    if program is None:
        return
    names = {name for name in program.constants if "multiplier" in name or "shift" in name}
    assert left_out(program) == names
    data = artifact.to_bytes(program)
    again = artifact.from_bytes(data)
    for name, array in program.constants.items():
        assert again.constants[name].tobytes() == array.tobytes()
    feeds = {"x": np.array([[0], [1], [7], [255]], np.uint8)}
    if r is not None:
        feeds["r"] = np.arange(4 * CHANNELS, dtype=np.uint8).reshape(4, CHANNELS) * 4
    expected = octavo.reference.run(program, feeds)[0]
    assert octavo.Session(data, threads=1).run(None, feeds)[0].tobytes() == expected.tobytes()


def test_a_multiplier_near_half_of_its_power_of_two():
    """Where (9b) rounds up to 2^15, which is halved."""
    ratio = np.float32(1 - 2.0**-20)
    program = program_of(np.float32(1), np.ones(CHANNELS, np.float32), np.float32(600), ratio)
    assert set(program.constants["r_multiplier"]) == {1 << 14}
    feeds = {"x": np.full((1, 1), 255, np.uint8), "r": np.full((1, CHANNELS), 255, np.uint8)}
    expected = octavo.reference.run(program, feeds)[0]
    assert octavo.Session(program, threads=1).run(None, feeds)[0].tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", ["multiplier", "shift"])
def test_what_is_read_elsewhere_is_stored(name):
    program = program_of(np.float32(0.5), np.ones(CHANNELS, np.float32), np.float32(2))
    assert name in left_out(program)
    assert name not in left_out(replace(program, outputs=["y", name]))
    values = program.values | {"more": Value("more", "i32", (CHANNELS,))}
    more = replace(program, values=values, nodes=[*program.nodes, Node("Neg", "n", (name,), ("more",))])
    assert name not in left_out(more)


def test_another_product_of_the_same_weights_keeps_its_own():
    program = program_of(np.float32(0.5), np.ones(CHANNELS, np.float32), np.float32(2))
    (node,) = program.nodes
    second = replace(node, name="second", inputs=(*node.inputs[:3], "m", "s"), outputs=("z",))
    values, constants = dict(program.values), dict(program.constants)
    for name, like in (("m", "multiplier"), ("s", "shift"), ("z", "y")):
        values[name] = replace(values[like], name=name)
    constants |= {"m": constants["multiplier"], "s": constants["shift"]}
    both = Program(["x"], ["y", "z"], values, constants, [node, second])
    assert left_out(both) == {"multiplier", "shift"}
    assert artifact.from_bytes(artifact.to_bytes(both)).constants["m"].tobytes() == constants["m"].tobytes()
    octavo.Session(both, threads=1)
