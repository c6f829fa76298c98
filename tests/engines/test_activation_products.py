"""QMatMul, the product of two activations, on every engine."""

import re

import numpy as np
import octavo
import pytest
from octavo.program import Value
from single_node import multipliers

SHAPES = [
    ((5, 7), (7, 3)),
    ((1, 1), (1, 1)),
    ((64, 32), (32, 64)),
    ((13, 65), (65, 17)),
    ((2, 9, 33), (2, 33, 40)),
    ((2, 3, 6, 12), (2, 3, 12, 130)),
    ((2, 3, 6, 12), (12, 5)),
    ((6, 12), (2, 3, 12, 5)),
    ((2, 1, 6, 12), (3, 12, 5)),
    ((3, 6, 12), (2, 1, 12, 5)),
    ((12,), (12,)),
    ((12,), (12, 5)),
    ((4, 12), (12,)),
    ((12,), (2, 3, 12, 5)),
    ((2, 3, 4, 12), (12,)),
    ((2, 1, 1, 300), (2, 1, 300, 1)),
    ((3, 0), (0, 4)),
    ((2, 0, 4), (2, 4, 3)),
    ((0, 3, 4), (0, 4, 3)),
]
ZEROS = [(0, 128), (128, 128), (131, 0), (255, 255), (7, 90), (0, 129)]


def product(build, rng, a, b, zeros, is_float):
    """A QMatMul whose sums of random operands land within bytes, mostly."""
    points = {"a_zero_point": zeros[0], "b_zero_point": zeros[1]}
    if is_float:
        return build.node(
            "QMatMul", [a, b], "f32", a_scale=np.float32(0.037), b_scale=np.float32(0.11), **points
        )
    lo, hi = sorted(int(v) for v in rng.choice([0, 7, 128, 200, 255], 2, replace=False))
    return build.node(
        "QMatMul", [a, b], y_zero_point=int(rng.integers(256)), multiplier=int(multipliers(rng, 1)[0]),
        shift=int(rng.integers(40, 47)), lo=lo, hi=hi, **points,
    )  # fmt: skip


def operands(build, rng, a_shape, b_shape):
    a = build.input("a", "u8", tuple(f"a{i}" for i in range(len(a_shape))))
    b = build.input("b", "u8", tuple(f"b{i}" for i in range(len(b_shape))))
    feeds = {"a": rng.integers(0, 256, a_shape), "b": rng.integers(0, 256, b_shape)}
    return a, b, {name: array.astype(np.uint8) for name, array in feeds.items()}


@pytest.mark.parametrize("zeros", ZEROS, ids=str)
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_shapes_broadcast_as_numpy_has_it(build, same, shapes, zeros):
    rng = np.random.default_rng(sum(zeros))
    a, b, feeds = operands(build, rng, *shapes)
    y = product(build, rng, a, b, zeros, is_float=False)
    f = product(build, rng, a, b, zeros, is_float=True)
    _, floats = same(build.program(y, f), feeds, batched=False)
    centred = [feeds[name].astype(np.int64) - zero for name, zero in zip("ab", zeros, strict=True)]
    assert (
        floats.tobytes()
        == (np.asarray(np.matmul(*centred), np.float32) * np.float32(0.037) * np.float32(0.11))
        .astype(np.float32)
        .tobytes()
    )


@pytest.mark.parametrize("seed", range(20))
def test_random_sizes(build, same, seed):
    rng = np.random.default_rng(seed)
    batch, m, k, n = (int(size) for size in rng.integers(1, [5, 80, 300, 150]))
    a, b, feeds = operands(build, rng, (batch, m, k), (batch, k, n))
    zeros = tuple(int(zero) for zero in rng.choice([0, 128, 255, int(rng.integers(256))], 2))
    same(build.program(product(build, rng, a, b, zeros, is_float=seed % 4 == 3)), feeds)


END_ZEROS = [(0, 0), (0, 128), (128, 0), (255, 255), (0, 255), (255, 0)]


def longest(zeros):
    """The most elements whose products cannot leave int32."""
    return (2**31 - 1) // (max(zeros[0], 255 - zeros[0]) * max(zeros[1], 255 - zeros[1]))


@pytest.mark.parametrize("zeros", END_ZEROS, ids=str)
@pytest.mark.parametrize("value", [0, 255])
def test_sums_at_their_extremes(build, same, zeros, value):
    """As many elements as the bound allows, all at one end: no step saturates, and the sum does not wrap."""
    k = longest(zeros)
    a, b = build.input("a", "u8", (2, "K")), build.input("b", "u8", ("K", 3))
    f = build.node(
        "QMatMul", [a, b], "f32", a_zero_point=zeros[0], b_zero_point=zeros[1],
        a_scale=np.float32(1), b_scale=np.float32(1),
    )  # fmt: skip
    feeds = {"a": np.full((2, k), value, np.uint8), "b": np.full((k, 3), value, np.uint8)}
    [given] = same(build.program(f), feeds, batched=False)
    assert (given == np.float32((value - zeros[0]) * (value - zeros[1]) * k)).all()


@pytest.mark.parametrize("zeros", END_ZEROS, ids=str)
def test_a_sum_that_could_leave_int32_is_refused(build, zeros):
    a, b = build.input("a", "u8", (1, "K")), build.input("b", "u8", ("K", 1))
    program = build.program(product(build, np.random.default_rng(0), a, b, zeros, is_float=False))
    k = longest(zeros) + 1
    feeds = {"a": np.zeros((1, k), np.uint8), "b": np.zeros((k, 1), np.uint8)}
    for run in (
        lambda: octavo.reference.run(program, feeds),
        lambda: octavo.Session(program).run(None, feeds),
    ):
        with pytest.raises(octavo.RunError, match=re.escape(f"K = {k}")) as error:
            run()
        assert "n0" in str(error.value)


def test_shapes_that_do_not_multiply_are_refused(build):
    a, b = build.input("a", "u8", ("M", "K")), build.input("b", "u8", ("L", "N"))
    program = build.program(product(build, np.random.default_rng(0), a, b, (0, 128), is_float=False))
    feeds = {"a": np.zeros((2, 3), np.uint8), "b": np.zeros((4, 5), np.uint8)}
    with pytest.raises(octavo.RunError, match="n0"):
        octavo.Session(program).run(None, feeds)


def relayed(build, name, shape, table):
    """A tensor that a step makes: Transposes of inputs are copies of the caller's bytes first."""
    return build.node("Lookup", [build.input(name, "u8", shape), table])


@pytest.mark.parametrize("is_float", [False, True])
@pytest.mark.parametrize("zeros", [(131, 128), (12, 100)], ids=str)
@pytest.mark.parametrize("length", [1, 5, 33])
def test_attention_moves_no_element_before_or_after_its_products(build, same, zeros, length, is_float):
    """[N, L, heads * depth] in, Transposes in front of both sides and behind, as transformers have them."""
    rng = np.random.default_rng(length)
    heads, depth = 3, 10
    table = build.constant("table", rng.permutation(256).astype(np.uint8))
    split = build.constant("split", np.array([0, 0, heads, depth], np.int64))
    whole = build.constant("whole", np.array([0, 0, heads * depth], np.int64))
    parts = []
    for name in ("q", "k", "v"):
        x = relayed(build, name, ("N", "L", heads * depth), table)
        parts.append(build.node("Reshape", [x, split], allowzero=0))
    q = build.node("Transpose", [parts[0]], perm=[0, 2, 1, 3])
    k = build.node("Transpose", [parts[1]], perm=[0, 2, 3, 1])
    v = build.node("Transpose", [parts[2]], perm=[0, 2, 1, 3])
    scores = product(build, rng, q, k, zeros, is_float=False)
    context = product(build, rng, scores, v, zeros, is_float)
    dtype = "f32" if is_float else "u8"
    back = build.node("Transpose", [context], dtype, perm=[0, 2, 1, 3])
    program = build.program(build.node("Reshape", [back, whole], dtype, allowzero=0))
    feeds = {name: rng.integers(0, 256, (2, length, heads * depth)).astype(np.uint8) for name in "qkv"}
    same(program, feeds)
    rows = octavo.Session(program).profile(feeds)
    assert {row.op for row in rows} == {"Lookup", "QMatMul"}
    macs = 2 * heads * length * length * depth
    assert sum(row.macs for row in rows if row.op == "QMatMul") == 2 * macs


@pytest.mark.parametrize("perm", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)], ids=str)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_transposes_of_any_order(build, same, perm, place):
    rng = np.random.default_rng(place)
    table = build.constant("table", rng.permutation(256).astype(np.uint8))
    sides = [relayed(build, name, (6, 6, 6), table) for name in "ab"]
    if place < 2:
        sides[place] = build.node("Transpose", [sides[place]], perm=list(perm))
    y = product(build, rng, *sides, (130, 120), is_float=False)
    if place == 2:
        y = build.node("Transpose", [y], perm=list(perm))
    feeds = {name: rng.integers(0, 256, (6, 6, 6)).astype(np.uint8) for name in "ab"}
    same(build.program(y), feeds, batched=False)


def test_a_tensor_times_its_own_transpose(build, same):
    rng = np.random.default_rng(1)
    table = build.constant("table", rng.permutation(256).astype(np.uint8))
    x = relayed(build, "a", ("N", 20, 20), table)
    turned = build.node("Transpose", [x], perm=[0, 2, 1])
    feeds = {"a": rng.integers(0, 256, (3, 20, 20)).astype(np.uint8)}
    y = product(build, rng, x, turned, (100, 100), is_float=False)
    z = product(build, rng, turned, y, (100, 100), is_float=False)
    square = build.node("Transpose", [z], perm=[0, 2, 1])
    same(build.program(product(build, rng, square, square, (9, 9), is_float=True)), feeds)


def test_residuals_and_tables_behind_a_product(build, same):
    rng = np.random.default_rng(3)
    a, b, feeds = operands(build, rng, (2, 5, 12), (2, 12, 30))
    y = product(build, rng, a, b, (3, 120), is_float=False)
    other = product(build, rng, a, b, (77, 128), is_float=False)
    total = build.node(
        "QAdd", [other, y], a_zero_point=4, b_zero_point=200, y_zero_point=99, a_multiplier=3000,
        b_multiplier=-9000, shift=13, lo=0, hi=255,
    )  # fmt: skip
    table = build.constant("table", rng.permutation(256).astype(np.uint8))
    program = build.program(build.node("Lookup", [total, table]))
    same(program, feeds)
    assert {row.op for row in octavo.Session(program).profile(feeds)} == {"Copy", "QMatMul"}


def test_a_plan_that_stops_between_a_transpose_and_its_product(build, same):
    rng = np.random.default_rng(4)
    table = build.constant("table", rng.permutation(256).astype(np.uint8))
    x = relayed(build, "a", (2, 9, 6), table)
    turned = build.node("Transpose", [x], perm=[0, 2, 1])
    size = build.input("size", "i64", (3,))
    flat = build.input("b", "u8", (96,))
    right = build.node("Reshape", [flat, build.node("Add", [size, size], "i64")], allowzero=0)
    y = product(build, rng, right, turned, (40, 128), is_float=True)
    feeds = {"a": rng.integers(0, 256, (2, 9, 6)).astype(np.uint8), "size": np.array([1, 4, 3])}
    feeds["b"] = rng.integers(0, 256, 96).astype(np.uint8)
    same(build.program(y), feeds, batched=False)


def exponentials(build, x):
    """The digits of the exponentials and their sums."""
    e = build.node("QExponentials", [x], count=2)
    sums = e.replace("_0", "_1")
    build.values[sums] = Value(sums, "i32", None)
    return e, sums


@pytest.mark.parametrize(
    "mask", [None, (), (1,), (9,), (7, 1), (2, 1, 1, 9), (1, 3, 7, 9), (2, 3, 7, 9)], ids=str
)
def test_masked_exponentials_of_attention_are_one_step(build, same, mask):
    rng = np.random.default_rng(8)
    table = build.constant("table", rng.permutation(256).astype(np.uint8))
    q, k = relayed(build, "q", ("N", 3, 7, 20), table), relayed(build, "k", ("N", 3, 20, 9), table)
    y = build.node(
        "QMatMul", [q, k], "f32", a_zero_point=120, b_zero_point=90, a_scale=np.float32(0.01),
        b_scale=np.float32(0.02),
    )  # fmt: skip
    feeds = {"q": rng.integers(0, 256, (2, 3, 7, 20)), "k": rng.integers(0, 256, (2, 3, 20, 9))}
    feeds = {name: array.astype(np.uint8) for name, array in feeds.items()}
    if mask is not None:
        far = -np.inf if len(mask) % 2 else -1e4
        feeds["mask"] = np.where(rng.random(mask) < 0.3, far, 0.5).astype(np.float32)
        operands = [build.input("mask", "f32", mask), y]
        y = build.node("Add", operands[:: 1 if len(mask) % 2 else -1], "f32")
    program = build.program(*exponentials(build, y))
    e, sums = same(program, feeds, batched=False)
    assert (e.reshape(*e.shape[:-1], 2, 9).sum(-1, dtype=np.int64) == sums).all()
    assert {row.op for row in octavo.Session(program).profile(feeds)} == {"Lookup", "QMatMul"}


@pytest.mark.parametrize("perm", [(0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
@pytest.mark.parametrize("places", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("zero", [3, 128])
def test_sides_that_are_turned(build, same, perm, places, zero):
    """On either side, and one turned tensor on both: read where it lies, or moved first."""
    rng = np.random.default_rng(3)
    a, b, feeds = operands(build, rng, (7, 7, 7), (7, 7, 7))
    turned = build.node("Transpose", [a], perm=list(perm))
    sides = [turned if place in places else b for place in (0, 1)]
    given = {"a_zero_point": zero, "b_zero_point": 131 - zero, "y_zero_point": 128, "lo": 0, "hi": 255}
    y = build.node("QMatMul", sides, multiplier=2**30 + 128, shift=44, **given)
    f = build.node(
        "QMatMul",
        [build.node("Transpose", [a], perm=list(perm)) if place in places else b for place in (0, 1)],
        "f32",
        a_zero_point=zero,
        b_zero_point=131 - zero,
        a_scale=np.float32(0.01),
        b_scale=np.float32(0.02),
    )
    same(build.program(y, f), {name: feeds[name] for name in build.inputs}, batched=False)


@pytest.mark.parametrize(
    ("rows", "columns", "axis", "mask"),
    [
        (3, 4096, 2, (1,)),
        (3, 4097, 2, (1,)),
        (40, 130, 2, (40, 1)),
        (40, 130, 2, (40, 130)),
        (40, 130, 2, (4, 1, 130)),
        (6, 6, 1, (6,)),
        (5, 1, 2, (4, 5, 2)),
    ],
)
def test_shares_of_any_size(build, same, rows, columns, axis, mask):
    """One step or several, by what fits into a block, by the axis, and by what the mask broadcasts to."""
    rng = np.random.default_rng(rows)
    a, b, feeds = operands(build, rng, (4, rows, 11), (4, 11, columns))
    y = build.node(
        "QMatMul", [a, b], "f32", a_zero_point=120, b_zero_point=128, a_scale=np.float32(0.01),
        b_scale=np.float32(0.02),
    )  # fmt: skip
    feeds["mask"] = rng.standard_normal(mask).astype(np.float32)
    y = build.node("Add", [y, build.input("mask", "f32", mask)], "f32")
    same(build.program(*exponentials(build, y)), feeds, batched=False)


@pytest.mark.parametrize("shape", [(1,), (37,), (3, 5, 40), (3, 5, 1), (3, 0), (0, 4), (2, 5000)], ids=str)
def test_exponentials_by_themselves(build, same, shape):
    x = build.input("x", "f32", shape)
    feeds = {"x": (np.random.default_rng(2).standard_normal(shape) * 4).astype(np.float32)}
    feeds["x"].reshape(-1)[:3] = np.array([np.nan, -np.inf, np.inf], np.float32)[: feeds["x"].size]
    same(build.program(*exponentials(build, x)), feeds, batched=False)


def weighed(build, e, sums, v, zero):
    return build.node("QMatMul", [e, v, sums], "f32", b_zero_point=zero, b_scale=np.float32(0.037))


@pytest.mark.parametrize("zero", [0, 128, 201])
@pytest.mark.parametrize(("a_shape", "b_shape"), SHAPES, ids=str)
def test_rows_are_weighed_by_their_sums(build, same, a_shape, b_shape, zero):
    """The digits and the sums are fed: of any numbers, 0 among them."""
    rng = np.random.default_rng(zero)
    a, b, feeds = operands(build, rng, (*a_shape[:-1], 2 * a_shape[-1]), b_shape)
    sums = build.input("sums", "i32", (*a_shape[:-1], 2))
    feeds["sums"] = rng.integers(0, [10**2, 10**8], (*a_shape[:-1], 2)).astype(np.int32)
    feeds["sums"].reshape(-1)[:2] = 0
    y = weighed(build, a, sums, b, zero)
    same(build.program(y), feeds, batched=False)


@pytest.mark.parametrize("is_quantized", [False, True])
@pytest.mark.parametrize(
    ("perm", "depth"), [(None, 10), ((0, 2, 1, 3), 10), ((1, 0, 2, 3), 10), ((0, 2, 1, 3), 5000)]
)
@pytest.mark.parametrize("length", [1, 33, 500])
def test_attention_from_scores_to_bytes(build, same, perm, depth, length, is_quantized):
    """Masked scores, exponentials, the product by their sums, Quantize, Transpose: two steps and packing."""
    if length * depth > 10**5:
        length = 9
    rng = np.random.default_rng(length)
    table = build.constant("table", rng.permutation(256).astype(np.uint8))
    q, k = relayed(build, "q", (2, 3, length, 20), table), relayed(build, "k", (2, 3, 20, length), table)
    v = relayed(build, "v", (2, 3, length, depth), table)
    y = build.node(
        "QMatMul", [q, k], "f32", a_zero_point=120, b_zero_point=90, a_scale=np.float32(0.01),
        b_scale=np.float32(0.002),
    )  # fmt: skip
    y = build.node("Add", [y, build.input("mask", "f32", (2, 1, 1, length))], "f32")
    y = weighed(build, *exponentials(build, y), v, 100)
    dtype = "f32"
    if is_quantized:
        y, dtype = build.node("Quantize", [y], scale=np.float32(0.05), zero_point=131), "u8"
    if perm is not None:
        y = build.node("Transpose", [y], dtype, perm=list(perm))
    feeds = {name: rng.integers(0, 256, build.values[name].shape).astype(np.uint8) for name in "qkv"}
    feeds["mask"] = np.where(rng.random((2, 1, 1, length)) < 0.3, -np.inf, 0).astype(np.float32)
    feeds["mask"][0, ..., 0] = 0
    feeds["mask"][1] = -np.inf  # no row of it has a maximum
    program = build.program(y)
    same(program, feeds, batched=False)
    steps = [row for row in octavo.Session(program).profile(feeds) if row.macs]
    assert len(steps) == 2
    if depth == 10:
        assert {row.op for row in octavo.Session(program).profile(feeds)} == {"Lookup", "QMatMul"}


def test_rows_are_weighed_by_the_sums_of_others(build, same):
    """Those of a left side's own elements are not these."""
    rng = np.random.default_rng(5)
    scores = [build.input(name, "f32", ("N", 6, 9)) for name in "xy"]
    (e, sums), (others, _) = (exponentials(build, name) for name in scores)
    v = build.input("v", "u8", ("N", 9, 20))
    feeds = {name: rng.standard_normal((2, 6, 9)).astype(np.float32) for name in scores}
    feeds["v"] = rng.integers(0, 256, (2, 9, 20)).astype(np.uint8)
    same(build.program(weighed(build, others, sums, v, 3), weighed(build, e, sums, v, 3)), feeds)


def test_sums_of_another_shape_are_refused(build):
    a, b, feeds = operands(build, np.random.default_rng(0), (3, 14), (7, 5))
    program = build.program(weighed(build, a, build.input("sums", "i32", ("S", "T")), b, 7))
    for rows, columns in ((7, 2), (1, 2), (3, 1)):
        wrong = rf"n0.*sums are of shape \[{rows}, {columns}\], not \[3, 2\]"
        with pytest.raises(octavo.RunError, match=wrong):
            octavo.Session(program).run(None, feeds | {"sums": np.ones((rows, columns), np.int32)})


def test_rows_of_half_a_number_are_refused(build):
    a, b, feeds = operands(build, np.random.default_rng(0), (3, 7), (3, 5))
    feeds["sums"] = np.ones((3, 2), np.int32)
    program = build.program(weighed(build, a, build.input("sums", "i32", (3, 2)), b, 7))
    for run in (
        lambda: octavo.Session(program).run(None, feeds),
        lambda: octavo.reference.run(program, feeds),
    ):
        with pytest.raises(octavo.RunError, match=r"n0.*rows of 7 bytes are not of two digits each"):
            run()


@pytest.mark.parametrize("perm", [(1, 0, 2), (2, 1, 0)])
def test_digits_and_sums_that_are_turned(build, same, perm):
    """They lie in one piece: what is turned is moved first."""
    rng = np.random.default_rng(6)
    shapes = [tuple(np.array(shape)[np.argsort(perm)].tolist()) for shape in ((4, 6, 10), (4, 6, 2))]
    a, b, feeds = operands(build, rng, shapes[0], (4, 5, 20))
    sums = build.input("sums", "i32", shapes[1])
    feeds["sums"] = rng.integers(1, 10**4, shapes[1]).astype(np.int32)
    turned = build.node("Transpose", [a], perm=list(perm))
    of_turned = build.node("Transpose", [sums], "i32", perm=list(perm))
    same(build.program(weighed(build, turned, of_turned, b, 9)), feeds, batched=False)
