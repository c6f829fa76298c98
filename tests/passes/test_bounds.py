"""Both sides of what a small pass may do: neutral numbers, signs, axes and sizes, one at a time."""

import numpy as np
import pytest
from octavo.passes.duplicates import remove_unused
from octavo.passes.gemm import form_gemm
from octavo.passes.no_ops import remove_no_ops
from octavo.passes.padding import fold_padding
from octavo.passes.slices import merge_slices
from octavo.passes.sums import split_sums

F = np.float32
X = "float[N,3,4] x"
IMAGE = "float[N,2,6,5] x"
NEUTRAL = {"Add": 0.0, "Sub": 0.0, "Mul": 1.0, "Div": 1.0, "Pow": 1.0}


def ints(*numbers):
    return np.array(numbers, np.int64)


@pytest.mark.parametrize("op", NEUTRAL)
def test_a_neutral_number_is_one_on_its_own_side_alone(graphs, op):
    before = "p = Abs(x)"  # powers of negative numbers are none
    neutral, kept = F(NEUTRAL[op]), f"Abs {op} Neg"
    left = "Abs Neg" if op in ("Add", "Mul") else kept
    cases = [
        ("right", f"a = {op}(p, k)", neutral, "Abs Neg"),
        ("left", f"a = {op}(k, p)", neutral, left),
        ("all of a vector", f"a = {op}(p, k)", np.full(4, neutral), "Abs Neg"),
        ("all but one", f"a = {op}(p, k)", np.array([neutral] * 3 + [F(2)]), kept),
        ("another number", f"a = {op}(p, k)", neutral + F(1), kept),
    ]
    graphs.run(
        [remove_no_ops, remove_unused],
        [(name, X, f"{before} {body} y = Neg(a)", {"k": k}, expected) for name, body, k, expected in cases],
    )


@pytest.mark.parametrize("op", NEUTRAL)
def test_a_neutral_tensor_gives_way_to_the_other(graphs, op):
    """Of the answer's own shape, so that it could pass for the answer."""
    k = np.full((2, 3, 4), NEUTRAL[op], F)
    for order in ("p, k", "k, p") if op in ("Add", "Mul") else ("p, k",):
        body = f"p = Abs(x) a = {op}({order}) y = Neg(a)"
        graphs.run([remove_no_ops, remove_unused], [(order, "float[2,3,4] x", body, {"k": k}, "Abs Neg")])


@pytest.mark.parametrize(
    ("body", "weights", "gone"),
    [
        ("a = Cast<to=1>(x)", {}, True),
        ("b = Cast<to=11>(x) a = Cast<to=1>(b)", {}, False),
        ("a = Transpose<perm=[0,1,2]>(x)", {}, True),
        ("a = Transpose<perm=[0,2,1]>(x)", {}, False),
        ("a = Pad(x, p)", {"p": ints(0, 0, 0, 0, 0, 0)}, True),
        ("a = Pad(x, p)", {"p": ints(0, 0, 1, 0, 0, -1)}, False),
        ("a = Tile(x, p)", {"p": ints(1, 1, 1)}, True),
        ("a = Tile(x, p)", {"p": ints(1, 2, 1)}, False),
        ("a = Max(x)", {}, True),
        ("a = Sum(x, x)", {}, False),
        ("a = Slice(x, b, e, i)", {"b": ints(0), "e": ints(3), "i": ints(1)}, True),
        ("a = Slice(x, b, e, i)", {"b": ints(0), "e": ints(2), "i": ints(1)}, False),
    ],
)
def test_what_gives_back_its_input(graphs, body, weights, gone):
    before = graphs.build(X, f"{body} y = Relu(a)", **weights)
    after = before.clone()
    remove_no_ops(after)
    assert (" ".join(graphs.ops(after)) == "Relu") == gone
    feeds = graphs.feeds_of(before)
    for want, got in zip(graphs.answers(before, feeds), graphs.answers(after, feeds), strict=True):
        assert np.array_equal(want, got)


@pytest.mark.parametrize("place", range(8))
def test_pads_of_batch_or_channels_stay(graphs, place):
    """[batch, channels, height, width], begins and then ends: the last two of each alone go in."""
    pads = [0] * 8
    pads[place] = 1
    weight = np.ones((2, 3 if place in (1, 5) else 2, 3, 3), F)
    spatial = place in (2, 3, 6, 7)
    graphs.run(
        [fold_padding, remove_unused],
        [(str(place), IMAGE, "a = Pad(x, p) y = Conv(a, w)", {"p": ints(*pads), "w": weight},
          "Conv" if spatial else "Pad Conv")],
    )  # fmt: skip


@pytest.mark.parametrize(("amount", "folded"), [(1, True), (2, True), (3, False)])
def test_pads_as_wide_as_a_pools_window_stay(graphs, amount, folded):
    pads = ints(0, 0, amount, 0, 0, 0, 0, 0)
    body = "a = Pad(x, p) y = AveragePool<kernel_shape=[3,3]>(a)"
    after = graphs.build(IMAGE, body, p=pads)
    fold_padding(after)
    remove_unused(after)
    assert ("Pad" not in graphs.ops(after)) == folded


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("m = MatMul(x, w) y = Add(m, b)", "Gemm"),
        ("m = MatMul(x, w) y = Add(b, m)", "Gemm"),
        ("m = MatMul(x, w) y = Sub(m, b)", "Gemm"),
        ("m = MatMul(x, w) y = Sub(b, m)", "MatMul Sub"),
        ("m = MatMul(x, w) a = Add(m, b) y = Sub(a, m)", "MatMul Add Sub"),
    ],
)
def test_a_bias_behind_a_product(graphs, rng, body, expected):
    weights = {"w": rng.normal(size=(4, 5)).astype(F), "b": rng.normal(size=5).astype(F)}
    graphs.run([form_gemm, remove_unused], [("", "float[N,4] x", body, weights, expected)])


@pytest.mark.parametrize(
    ("alpha", "beta"), [(0.5, 1.0), (1.0, 0.5), (0.5, 3.0), (1.0, 1.0)], ids=lambda number: str(number)
)
def test_alpha_scales_weights_and_beta_the_bias(graphs, rng, alpha, beta):
    weights = {"w": rng.normal(size=(4, 5)).astype(F), "b": rng.normal(size=5).astype(F)}
    before = graphs.build("float[N,4] x", f"y = Gemm<alpha={alpha}, beta={beta}>(x, w, b)", **weights)
    after = before.clone()
    assert form_gemm(after) == ((alpha, beta) != (1.0, 1.0))
    remove_unused(after)
    (node,) = after.graph
    assert np.array_equal(node.inputs[1].const_value.numpy(), weights["w"] * F(alpha))
    assert np.array_equal(node.inputs[2].const_value.numpy(), weights["b"] * F(beta))
    graphs.check(before, after, "Gemm")


def test_cuts_of_the_same_axis_stay_two(graphs):
    first = {"b": ints(1), "e": ints(99), "i": ints(2)}
    body = "a = Slice(x, b, e, i) y = Slice(a, c, f, j)"
    for axis, expected in ((1, "Slice"), (-2, "Slice"), (2, "Slice Slice"), (-1, "Slice Slice")):
        second = {"c": ints(0), "f": ints(2), "j": ints(axis)}
        graphs.run([merge_slices, remove_unused], [(str(axis), X, body, first | second, expected)])
    turned = {"b": ints(-1), "e": ints(-99), "i": ints(2), "k": ints(-2)}
    body = "a = Slice(x, b, e, i, k) y = Slice(a, c, f, j)"
    graphs.run(
        [merge_slices, remove_unused],
        [("steps", X, body, turned | {"c": ints(0), "f": ints(2), "j": ints(1)}, "Slice")],
    )


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("op", ["Sum", "Mean"])
def test_terms_are_added_from_the_first_to_the_last(graphs, op, count):
    names = "abcd"[:count]
    before = graphs.build(", ".join(f"float[N,3] {n}" for n in names), f"y = {op}({', '.join(names)})")
    after = before.clone()
    split_sums(after)
    feeds = {
        name: np.array([[v]] * 1, F).repeat(3, 1) for name, v in zip(names, (1e8, 1, -1e8, 1), strict=False)
    }
    total = np.zeros((1, 3), F)
    for index, name in enumerate(names):
        total = feeds[name] if index == 0 else total + feeds[name]
    want = total / F(count) if op == "Mean" else total
    assert np.array_equal(graphs.answers(after, feeds)[0], want)
    assert graphs.ops(after) == {"Add": count - 1} | ({"Div": 1} if op == "Mean" else {})
