"""Float products of two tensors of the run: broadcast, transposed, of no elements, on every engine."""

import numpy as np
import octavo
import pytest
from octavo.errors import RunError


def normal(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def product(build, a, b):
    return build.node("MatMul", [build.input("a", "f32", a), build.input("b", "f32", b)], "f32")


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((2, 3, 5, 7), (7, 9)),
        ((2, 3, 5, 7), (2, 3, 7, 9)),
        ((2, 1, 5, 7), (3, 7, 9)),
        ((2, 3, 40, 37), (1, 3, 37, 70)),
        ((5, 7), (4, 3, 7, 33)),
        ((2, 7), (7,)),
        ((7,), (2, 7, 5)),
        ((7,), (7,)),
        ((3, 2, 7), (7,)),
        ((2, 3, 0), (2, 0, 4)),
        ((2, 0, 3), (2, 3, 4)),
        ((0, 2, 3), (0, 3, 4)),
        ((2, 2, 3), (2, 3, 0)),
        ((2, 2, 1), (2, 1, 3)),
    ],
)
def test_products_broadcast(build, same, a, b):
    rng = np.random.default_rng(1)
    same(build.program(product(build, a, b)), {"a": normal(rng, *a), "b": normal(rng, *b)}, batched=False)


@pytest.mark.parametrize("left", [[0, 1, 2, 3], [0, 2, 1, 3], [1, 0, 2, 3], [0, 1, 3, 2], [3, 2, 1, 0]])
@pytest.mark.parametrize("right", [[0, 1, 2, 3], [0, 2, 1, 3], [0, 2, 3, 1], [3, 1, 2, 0]])
@pytest.mark.parametrize("made", [[0, 1, 2, 3], [0, 2, 1, 3], [2, 0, 1, 3], [1, 0, 2, 3], [0, 1, 3, 2]])
def test_transposes_around_a_product(build, same, left, right, made):
    # As an attention has them: operands and product in any order of their dimensions.
    rng = np.random.default_rng(2)
    shapes = {"a": (2, 3, 6, 5), "b": (2, 3, 5, 18)}
    feeds, operands = {}, []
    for (name, shape), perm in zip(shapes.items(), (left, right), strict=True):
        feeds[name] = normal(rng, *(shape[perm.index(d)] for d in range(4)))
        x = build.input(name, "f32", feeds[name].shape)
        operands.append(build.node("Transpose", [x], "f32", perm=perm))
    y = build.node("MatMul", operands, "f32")
    program = build.program(build.node("Transpose", [y], "f32", perm=made))
    same(program, feeds, batched=False)
    steps = [row.op for row in octavo.Session(program).profile(feeds)]
    moved = (left[3] != 3) + (made[3] != 3)
    assert steps.count("Transpose") == moved


@pytest.mark.parametrize("perm", [[0, 2, 1, 3], [1, 0, 2, 3], [2, 0, 1, 3], [0, 1, 3, 2]])
@pytest.mark.parametrize("shape", [(5, 18), (1, 5, 18), (1, 1, 5, 18), (3, 5, 18), (2, 1, 5, 18), (5,)])
@pytest.mark.parametrize("fed", [True, False])
def test_a_turned_left_side_by_fewer_right_ones(build, same, perm, shape, fed):
    """Its rows lie apart from matrix to matrix: one right side does not make one matrix of them all."""
    rng = np.random.default_rng(6)
    x = normal(rng, *((2, 3, 6, 5)[perm.index(d)] for d in range(4)))
    turned = build.node("Transpose", [build.input("a", "f32", x.shape)], "f32", perm=perm)
    w = normal(rng, *shape)
    right = build.input("b", "f32", shape) if fed else build.constant("b", w)
    program = build.program(build.node("MatMul", [turned, right], "f32"))
    same(program, {"a": x} | ({"b": w} if fed else {}), batched=False)


@pytest.mark.parametrize("perm", [[0, 2, 1, 3], [0, 2, 3, 1], [1, 0, 2, 3]])
@pytest.mark.parametrize("shape", [(4, 6), (1, 1, 4, 6), (3, 4, 6), (2, 1, 4, 6), (6,)])
def test_a_turned_right_side_by_fewer_left_ones(build, same, perm, shape):
    rng = np.random.default_rng(7)
    feeds = {"a": normal(rng, *shape), "b": normal(rng, *((2, 3, 6, 5)[perm.index(d)] for d in range(4)))}
    x, w = (build.input(name, "f32", array.shape) for name, array in feeds.items())
    turned = build.node("Transpose", [w], "f32", perm=perm)
    same(build.program(build.node("MatMul", [x, turned], "f32")), feeds, batched=False)


def test_a_transpose_that_others_read_too_is_moved(build, same):
    rng = np.random.default_rng(3)
    x = build.input("x", "f32", ("N", 4, 6))
    turned = build.node("Transpose", [x], "f32", perm=[0, 2, 1])
    y = build.node("MatMul", [x, turned], "f32")
    negative = build.node("Neg", [turned], "f32")
    same(build.program(y, negative), {"x": normal(rng, 2, 4, 6)})
    same(build.program(y, turned), {"x": normal(rng, 2, 4, 6)})


def test_a_transpose_that_waits_for_a_later_stage(build, same):
    # The plan ends between the transpose and the product, for the shape in between is fed.
    rng = np.random.default_rng(4)
    x = build.input("x", "f32", (2, 4, 6))
    shape = build.input("shape", "i64", (3,))
    turned = build.node("Transpose", [x], "f32", perm=[0, 2, 1])
    other = build.node("Reshape", [x, shape], "f32", allowzero=0)
    feeds = {"x": normal(rng, 2, 4, 6), "shape": np.array([2, 4, -1])}
    same(build.program(build.node("MatMul", [turned, other], "f32")), feeds, batched=False)


def test_one_left_side_for_many_rows(build, same):
    # Few rows in each of many batches.
    rng = np.random.default_rng(5)
    program = build.program(product(build, (50, 1, 16), (16, 20)))
    same(program, {"a": normal(rng, 50, 1, 16), "b": normal(rng, 16, 20)}, batched=False)


@pytest.mark.parametrize(("a", "b"), [((2, 3), (4, 5)), ((2, 2, 3), (3, 3, 4)), ((), (3,)), ((3,), (4,))])
def test_shapes_that_do_not_multiply(build, a, b):
    program = build.program(product(build, a, b))
    with pytest.raises(RunError, match=r"MatMul node .n0."):
        octavo.Session(program).run(None, {"a": np.ones(a, np.float32), "b": np.ones(b, np.float32)})
