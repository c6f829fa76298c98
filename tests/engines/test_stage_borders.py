"""What a plan that ends early hands to the next one: nodes fused across the border, tensors not moved yet.

And what is known before the run, where a node lacks an input, or where it would be too much to keep.
"""

import numpy as np
import octavo
import pytest

UNIT = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1}
GEMM = {"alpha": np.float32(1), "beta": np.float32(1), "transA": 0, "transB": 0}
BYTES = {"x_zero_point": 3, "y_zero_point": 128, "lo": 0, "hi": 255}


def normal(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def wait(build, feeds):
    """A node that waits for a fed shape, so that the nodes behind it are of another plan; what it makes."""
    feeds |= {"given": np.arange(6, dtype=np.float32), "shape": np.array([2, -1])}
    inputs = [build.input("given", "f32", (6,)), build.input("shape", "i64", (2,))]
    return build.node("Reshape", inputs, "f32", allowzero=0)


def qgemm(build, rng, x, k, n):
    constants = {"w": rng.integers(-127, 128, (k, n)).astype(np.int8)}
    constants |= {"b": np.zeros(n, np.int32), "m": np.full(n, 2**30 + 128, np.int32)}
    constants |= {"s": np.full(n, 40, np.int32)}
    return build.node("QGemm", [x, *(build.constant(*given) for given in constants.items())], **BYTES)


def fused(build, rng, kind, feeds):
    """Two nodes that are one step, between which another plan begins; the last value, and the border's."""
    if kind == "QGemm":
        feeds["x"] = rng.integers(0, 256, (3, 20)).astype(np.uint8)
        y = qgemm(build, rng, build.input("x", "u8", (3, 20)), 20, 7)
        border = wait(build, feeds)
        table = build.constant("t", rng.integers(0, 256, 256).astype(np.uint8))
        return build.node("Lookup", [y, table]), border
    if kind in ("Conv", "Depthwise"):
        group = 6 if kind == "Depthwise" else 1
        feeds["x"] = normal(rng, 2, 6, 5, 4)
        w = build.constant("w", normal(rng, 6, 6 // group, 1, 1))
        y = build.node("Conv", [build.input("x", "f32", (2, 6, 5, 4)), w], "f32", **UNIT | {"group": group})
    elif kind in ("Gemm", "MatMul"):
        feeds["x"] = normal(rng, 3, 20)
        inputs = [build.input("x", "f32", (3, 20)), build.constant("w", normal(rng, 20, 7))]
        y = build.node(kind, inputs, "f32", **GEMM if kind == "Gemm" else {})
    else:
        feeds |= {"x": normal(rng, 2, 3, 5, 4), "w": normal(rng, 2, 3, 4, 6)}
        sides = [build.input(name, "f32", feeds[name].shape) for name in "xw"]
        y = build.node("Exp", sides[:1], "f32") if kind == "chain" else build.node("MatMul", sides, "f32")
    border = wait(build, feeds)
    if kind == "turned":
        return build.node("Transpose", [y], "f32", perm=[0, 2, 1, 3]), border
    if kind == "softened":
        return build.node("Softmax", [y], "f32", axis=-1), border
    return build.node("Relu", [y], "f32"), border


@pytest.mark.parametrize(
    "kind", ["QGemm", "Conv", "Depthwise", "Gemm", "MatMul", "chain", "turned", "softened"]
)
def test_what_is_fused_across_a_border_is_made_once(build, same, kind):
    """The product's plan has made the last value already: the next plan must neither make nor miss it."""
    feeds = {}
    y, border = fused(build, np.random.default_rng(1), kind, feeds)
    program = build.program(y, build.node("Neg", [border], "f32"))
    same(program, feeds, batched=False)
    session = octavo.Session(program, threads=1)
    rows = [row for row in session.profile(feeds) if row.kernel != "pack"]
    names = [name for row in rows for name in row.name.split(" + ")]
    assert names.count("n0") == names.count("n2") == 1


@pytest.mark.parametrize("dtype", ["f32", "u8"])
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("perm", [[1, 0, 2], [0, 2, 1], [2, 1, 0], [1, 2, 0]])
def test_a_transpose_that_a_later_plan_reads(build, same, dtype, place, perm):
    """A product would have read it where it lies; the product is of the next plan, which gets it moved."""
    rng, feeds = np.random.default_rng(2), {}
    x = rng.integers(0, 256, (5, 5, 5))
    feeds["x"] = x.astype({"f32": np.float32, "u8": np.uint8}[dtype])
    turned = build.node("Transpose", [build.input("x", dtype, (5, 5, 5))], dtype, perm=perm)
    border = wait(build, feeds)
    feeds["r"] = feeds["x"][::-1].copy()
    sides = [turned, build.input("r", dtype, (5, 5, 5))]
    if dtype == "f32":
        y = build.node("MatMul", sides[:: 1 - 2 * place], dtype)
    else:
        given = {"a_zero_point": 3, "b_zero_point": 200, "y_zero_point": 128, "lo": 0, "hi": 255}
        y = build.node("QMatMul", sides[:: 1 - 2 * place], **given, multiplier=2**30 + 128, shift=44)
    same(build.program(y, build.node("Neg", [border], "f32")), feeds, batched=False)


@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize(("lo", "hi"), [(None, 3), (-2, None), (None, None)])
def test_a_clip_that_lacks_a_bound(build, same, is_known, lo, hi):
    """Also where the whole node is known before the run: what is left out stays in its place."""
    numbers = np.array([-5, -1, 0, 2, 9], np.float32)
    x = build.constant("c", numbers) if is_known else build.input("c", "f32", (5,))
    bounds = ["" if n is None else build.constant(f"b{n}", np.float32(n)) for n in (lo, hi)]
    fed = build.input("x", "f32", (5,))
    y = build.node("Mul", [build.node("Clip", [x, *bounds], "f32"), fed], "f32")
    feeds = {"x": np.ones(5, np.float32)} | ({} if is_known else {"c": numbers})
    [given] = same(build.program(y), feeds, batched=False)
    assert (
        given.tolist()
        == np.clip(numbers, -np.inf if lo is None else lo, np.inf if hi is None else hi).tolist()
    )


@pytest.mark.parametrize("kind", ["constant", "of a shape", "fed"])
def test_a_slice_without_axes_but_with_steps(build, same, kind):
    if kind == "constant":
        x, feeds = build.constant("c", np.arange(12).reshape(3, 4)), {}
    else:
        x, feeds = build.input("c", "i64", (3, 4)), {"c": np.arange(12).reshape(3, 4)}
    numbers = {"starts": [2], "ends": [-10], "steps": [-1]}
    if kind == "of a shape":
        x, numbers = build.node("Shape", [x], "i64", start=0), {"starts": [1], "ends": [-9], "steps": [-1]}
    starts, ends, steps = (build.constant(name, np.array(given)) for name, given in numbers.items())
    y = build.node("Slice", [x, starts, ends, "", steps], "i64")
    fed = build.input("x", "i64", (1,))
    total = build.node("Add", [y, fed], "i64")
    [given] = same(build.program(total), feeds | {"x": np.array([100])}, batched=False)
    expected = np.array([4, 3]) if kind == "of a shape" else np.arange(12).reshape(3, 4)[::-1]
    assert np.array_equal(given, expected + 100)


def test_what_is_too_much_to_know_is_made_by_the_run(build):
    """Eight tensors of 2^25 bytes fill what a plan keeps; others are as good, but made by steps."""
    count = 1 << 22
    one, shape = build.constant("one", np.array([3])), build.constant("shape", np.array([count]))
    last = build.constant("last", np.array([count - 1]))
    picked = [
        build.node("Gather", [build.node("Expand", [one, shape], "i64"), last], "i64", axis=0)
        for _ in range(10)
    ]
    x = build.input("x", "i64", (1,))
    program = build.program(build.node("Concat", [*picked, x], "i64", axis=0))
    [given] = octavo.Session(program, threads=1).run(None, {"x": np.array([7])})
    assert given.tolist() == [3] * 10 + [7]
