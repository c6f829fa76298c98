"""Products by weights of few bits: few rows multiply by the integers, more by the floats they stand for."""

from itertools import product

import numpy as np
import octavo
import pytest
from octavo.program import DTYPES, PACKED, Value
from octavo.program.integers import limits, pack

LARGE = 2048
"""Rows and columns of a weight that several rows multiply by in its integers."""


SLOW = ("avx2", "avxvnni", "avx512vl")
"""The tiers on which one row by few weights is quicker in float."""


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def stored_weight(build, rng, dtype, shape, axis, block=None, zeros=None):
    """A weight that is dequantized; zeros: the dtype of its zero points. axis, block: those of its scales."""
    least, greatest = limits(dtype)
    of_scales = () if axis is None else (shape[axis],)
    if block is not None:
        of_scales = tuple(-(-d // block) if a == axis else d for a, d in enumerate(shape))
    integers = rng.integers(least, greatest, shape, endpoint=True)
    name = f"w{len(build.constants)}"
    constants = [(name, dtype, integers), (f"{name}_s", "f32", rng.uniform(0.01, 0.1, of_scales or (1,)))]
    if zeros is not None:
        points = rng.integers(*limits(dtype), of_scales or (1,), endpoint=True)
        constants.append((f"{name}_z", zeros, points))
    for of, kind, array in constants:
        build.values[of] = Value(of, kind, array.shape)
        build.constants[of] = pack(array, kind) if kind in PACKED else array.astype(DTYPES[kind])
    given = {"axis": axis, "block": block}
    attributes = {key: value for key, value in given.items() if value is not None}
    return build.node("Dequantize", [of for of, _, _ in constants], "f32", **attributes)


def kernels_of(program, feeds, isa=None):
    rows = octavo.Session(program, threads=1, isa=isa).profile(feeds)
    return [row.kernel for row in rows if row.op in ("MatMul", "Gemm")]


@pytest.mark.parametrize("dtype", ["i2", "u2", "i3", "u3", "i4", "u4", "i8", "u8"])
@pytest.mark.parametrize(("block", "zeros"), list(product([None, 8, 32, 100], [None, "i32", "own"])))
def test_one_row(build, same, rng, dtype, block, zeros):
    zeros = dtype if zeros == "own" else zeros
    w = stored_weight(build, rng, dtype, (75, 50), 1 if block is None else 0, block, zeros)
    y = build.node("MatMul", [build.input("x", "f32", ("n", 75)), w], "f32")
    program = build.program(y)
    for rows in (1, 2):
        same(program, {"x": rng.standard_normal((rows, 75)).astype(np.float32)})
    bits = "8" if dtype in ("i8", "u8") else "4"
    for isa in octavo.tiers():
        kernels = [kernels_of(program, {"x": np.zeros((rows, 75), np.float32)}, isa) for rows in (1, 2)]
        assert [f"f32u{bits}" in kernel for (kernel,) in kernels] == [isa not in SLOW, False]


@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize("rest", ["bias", "scaled", "none"])
def test_gemm(build, same, rng, turned, rest):
    shape = (50, 75) if turned else (75, 50)
    w = stored_weight(build, rng, "i4", shape, turned, 32)
    inputs = [build.input("x", "f32", ("n", 75)), w]
    if rest != "none":
        inputs.append(build.constant("b", rng.standard_normal(50).astype(np.float32)))
    scale = np.float32(0.5 if rest == "scaled" else 1.0)
    y = build.node("Gemm", inputs, "f32", transA=0, transB=turned, alpha=scale, beta=np.float32(1))
    program = build.program(build.node("Relu", [y], "f32"))
    for rows in (1, 3):
        same(program, {"x": rng.standard_normal((rows, 75)).astype(np.float32)})
    for isa in octavo.tiers():
        (kernel,) = kernels_of(program, {"x": np.zeros((1, 75), np.float32)}, isa)
        assert ("f32u4" in kernel) == (isa not in SLOW)


def test_several_rows_by_a_large_weight(build, same, rng):
    w = stored_weight(build, rng, "u4", (LARGE, LARGE), 0, 128, "u4")
    program = build.program(build.node("MatMul", [build.input("x", "f32", ("n", LARGE)), w], "f32"))
    found = []
    for rows in (1, 2, 4, 5):
        x = rng.standard_normal((rows, LARGE)).astype(np.float32)
        expected = np.concatenate([octavo.reference.run(program, {"x": row[None]})[0] for row in x[:1]])
        for isa, threads in product(octavo.tiers(), (1, 2)):
            if isa == "scalar" and rows > 1:
                continue
            (y,) = octavo.Session(program, threads=threads, isa=isa).run(None, {"x": x})
            np.testing.assert_array_equal(y[:1], expected)
        found.append(["f32u4" in kernels_of(program, {"x": x}, isa)[0] for isa in octavo.tiers()])
    assert found == [[is_stored] * len(octavo.tiers()) for is_stored in (True, True, True, False)]


def test_a_weight_of_two_products(build, same, rng):
    """One has many rows and needs the floats; those before and behind it multiply by the integers."""
    w = stored_weight(build, rng, "i4", (40, 40), 0, 32)
    x, many = build.input("x", "f32", (1, 40)), build.input("many", "f32", (9, 40))
    first = build.node("MatMul", [x, w], "f32")
    second = build.node("MatMul", [many, w], "f32")
    third = build.node("MatMul", [first, w], "f32")
    program = build.program(second, third)
    feeds = {"x": rng.standard_normal((1, 40)).astype(np.float32)}
    feeds["many"] = rng.standard_normal((9, 40)).astype(np.float32)
    same(program, feeds, batched=False)


def test_a_weight_that_others_see(build, same, rng):
    """An output, or what another operator reads, is dequantized."""
    w = stored_weight(build, rng, "i4", (40, 20), 0, 32)
    y = build.node("MatMul", [build.input("x", "f32", (1, 40)), w], "f32")
    feeds = {"x": rng.standard_normal((1, 40)).astype(np.float32)}
    for seen in (w, build.node("Neg", [w], "f32")):
        program = build.program(y, seen)
        same(program, feeds, batched=False)
        assert not any("f32u4" in kernel for kernel in kernels_of(program, feeds))


def test_a_product_behind_what_a_run_finds_out(build, same, rng):
    """The weight is dequantized before the stage that the product is in, or by none."""
    w = stored_weight(build, rng, "i4", (40, 20), 0, 32)
    x, shape = build.input("x", "f32", ("n",)), build.input("shape", "i64", (2,))
    y = build.node("MatMul", [build.node("Reshape", [x, shape], "f32", allowzero=0), w], "f32")
    program = build.program(y)
    for rows in (1, 7):
        feeds = {"x": rng.standard_normal(40 * rows).astype(np.float32), "shape": np.array([rows, 40])}
        same(program, feeds, batched=False)


def test_a_turned_left_side(build, same, rng):
    turned = build.node("Transpose", [build.input("x", "f32", (40, 1))], "f32", perm=[1, 0])
    w = stored_weight(build, rng, "i4", (40, 20), 0, 32)
    program = build.program(build.node("MatMul", [turned, w], "f32"))
    same(program, {"x": rng.standard_normal((40, 1)).astype(np.float32)}, batched=False)
