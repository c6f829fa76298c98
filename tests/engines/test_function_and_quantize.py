"""A float function and the Quantize that alone reads it: one step, and the bits of the nodes one by one."""

import numpy as np
import octavo
import pytest
from octavo.program import Value

F = np.float32
SCALE = {"scale": F(0.03), "zero_point": 9}
ROW = 4096
"""The longest row that both see within a block."""


def steps(program, feeds):
    return [row.name for row in octavo.Session(program).profile(feeds)]


def normal(*shape):
    x = np.random.default_rng(sum(shape)).standard_normal(shape).astype(F) * 4
    x.flat[:4] = [np.nan, np.inf, -np.inf, -0.0][: x.size]
    return x


def to_columns(build, y, width):
    """A Quantize of every element of a row, and of one in three once more."""
    columns = np.concatenate([np.arange(width), np.arange(width)[::3]])
    numbers = np.arange(columns.size, dtype=F)
    parts = [("s", 0.01 + numbers / 5000), ("z", F(100) - numbers % 7), ("c", columns)]
    return build.node("Quantize", [y, *(build.constant(name, part) for name, part in parts)])


@pytest.mark.parametrize(
    "shape", [(1, 1), (3, 40), (2, 5, 33), (2, ROW), (2, ROW + 1), (1, 40_000), (0, 7)], ids=str
)
@pytest.mark.parametrize("function", [("Gelu", {"approximate": "none"}), ("Relu", {}), ("Erf", {})])
@pytest.mark.parametrize("columns", [False, True])
def test_a_function_and_its_quantize_are_one_step(build, same, shape, function, columns):
    op, attributes = function
    x = build.input("x", "f32", ("N", *shape[1:]))
    y = build.node(op, [x], "f32", **attributes)
    q = to_columns(build, y, shape[-1]) if columns else build.node("Quantize", [y], **SCALE)
    program, feeds = build.program(q), {x: normal(*shape)}
    same(program, feeds)
    if shape[0] and (not columns or shape[-1] <= ROW):
        assert steps(program, feeds) == ["n0 + n1"]


@pytest.mark.parametrize("shape", [(1, 1), (70, 40), (2, 5, 33), (2, ROW), (2, ROW + 1), (0, 7)], ids=str)
@pytest.mark.parametrize("axis", [-1, 1])
def test_a_function_and_the_quantization_of_its_rows_are_one_step(build, same, shape, axis):
    x = build.input("x", "f32", ("N", *shape[1:]))
    y = build.node(
        "DynamicQuantize", [build.node("Gelu", [x], "f32", approximate="none")], count=3, axis=axis
    )
    numbers = {y.replace("_0", f"_{place}"): dtype for place, dtype in ((1, "f32"), (2, "u8"))}
    build.values |= {name: Value(name, dtype, None) for name, dtype in numbers.items()}
    program, feeds = build.program(y, *numbers), {x: normal(*shape)}
    same(program, feeds)
    is_row = axis == -1 or len(shape) == 2
    if shape[0]:
        assert steps(program, feeds) == (["n0 + n1"] if is_row and shape[-1] <= ROW else ["n0", "n1"])


def test_bounds_of_a_clip_are_taken_too(build, same):
    x = build.input("x", "f32", ("N", 40))
    bounds = [build.constant(name, np.array(bound, F)) for name, bound in (("lo", -1), ("hi", 2))]
    program = build.program(build.node("Quantize", [build.node("Clip", [x, *bounds], "f32")], **SCALE))
    same(program, {x: normal(3, 40)})


@pytest.mark.parametrize("seen", ["an output", "another reader", "two scales"])
def test_a_value_that_others_see_is_made(build, same, seen):
    x = build.input("x", "f32", ("N", 40))
    y = build.node("Tanh", [x], "f32")
    q = build.node("Quantize", [y], **SCALE)
    if seen == "two scales":
        more = build.node("Quantize", [y], scale=F(0.1), zero_point=0)
    else:
        more = y if seen == "an output" else build.node("Neg", [y], "f32")
    program, feeds = build.program(q, more), {x: normal(3, 40)}
    same(program, feeds)
    assert len(steps(program, feeds)) == len(program.nodes)


def test_an_image_gets_its_channels_last(build, same):
    """The Quantize moves it on the way to a convolution."""
    x = build.input("x", "f32", ("N", 3, 6, 7))
    q = build.node("Quantize", [build.node("Tanh", [x], "f32")], **SCALE)
    window = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0] * 4, "dilations": [1, 1], "ceil_mode": 0}
    y = build.node("MaxPool", [q], **window, storage_order=0)
    program, feeds = build.program(y), {x: normal(2, 3, 6, 7)}
    same(program, feeds)
    assert steps(program, feeds)[:2] == ["n0", "n1"]
