"""A factor, a mask and a softmax behind the product of two tensors: one step, the bits of its nodes."""

import numpy as np
import octavo
import pytest

F = np.float32
SHAPE = {"a": (2, 3, 21, 8), "b": (2, 3, 8, 37)}
LEAST = np.finfo(F).min


def scores(build, factor, mask_shape, axis=-1, seen=False):
    """The Program and its feeds; `factor` is an op and the place of its number."""
    rng = np.random.default_rng(1)
    feeds = {name: rng.standard_normal(shape).astype(F) for name, shape in SHAPE.items()}
    y = build.node("MatMul", [build.input(name, "f32", shape) for name, shape in SHAPE.items()], "f32")
    outputs = [y] if seen else []
    if factor:
        operands = [y, build.constant("factor", np.asarray(2.7, F))]
        y = build.node(factor[0], operands if factor[1] else operands[::-1], "f32")
    if mask_shape is not None:
        feeds["mask"] = np.where(rng.random(mask_shape) < 0.3, LEAST, F(0))
        y = build.node("Add", [build.input("mask", "f32", mask_shape), y], "f32")
    return build.program(build.node("Softmax", [y], "f32", axis=axis), *outputs), feeds


@pytest.mark.parametrize("factor", [None, ("Mul", 1), ("Mul", 0), ("Div", 1)])
@pytest.mark.parametrize(
    "mask", [None, (37,), (2, 1, 1, 37), (1, 1, 21, 37), (3, 1, 37), (2, 3, 21, 37), (2, 1, 21, 37)]
)
def test_one_step(build, same, factor, mask):
    program, feeds = scores(build, factor, mask)
    same(program, feeds, batched=False)
    rows = octavo.Session(program, threads=1).profile(feeds)
    assert [row.kernel == "pack" for row in rows] == [True, False]


@pytest.mark.parametrize(
    ("factor", "mask", "axis"),
    [
        *((factor, mask, -1) for factor in (("Div", 0), ("Sub", 0), ("Sub", 1)) for mask in (None, (37,))),
        *(
            (factor, mask, -1)
            for factor in (None, ("Div", 1))
            for mask in ((2, 3, 21, 1), (1,), (1, 2, 3, 21, 37))
        ),
        *(
            (factor, mask, axis)
            for factor in (None, ("Div", 1))
            for mask in (None, (37,))
            for axis in (0, 1, 2)
        ),
    ],
)
def test_what_is_no_attention_stays_as_it_is(build, same, factor, mask, axis):
    """The factor, the mask or the axis alone is none: nothing else keeps the nodes apart."""
    program, feeds = scores(build, factor, mask, axis)
    same(program, feeds, batched=False)


def test_a_product_that_others_see_stays_as_it_is(build, same):
    program, feeds = scores(build, ("Div", 1), (37,), seen=True)
    same(program, feeds, batched=False)


@pytest.mark.parametrize("length", [1, 5, 16, 64])
def test_rows_of_any_length(build, same, length):
    # More than the rows that stay in the first-level cache, and single elements, whose softmax is 1.
    rng = np.random.default_rng(2)
    x = build.input("x", "f32", ("N", "L", 4))
    turned = build.node("Transpose", [x], "f32", perm=[0, 2, 1])
    y = build.node("Softmax", [build.node("MatMul", [x, turned], "f32")], "f32", axis=2)
    same(build.program(y), {"x": rng.standard_normal((3, length, 4)).astype(F)})
