"""Transposes cancel, and graphs with channels last lose theirs."""

import itertools

import numpy as np
import pytest
from octavo.frontend import infer_shapes
from octavo.passes.duplicates import remove_unused
from octavo.passes.no_ops import remove_no_ops
from octavo.passes.transposes import cancel_transposes

F = np.float32
LAST, FIRST = "<perm=[0,2,3,1]>", "<perm=[0,3,1,2]>"
X = "float[N,3,4,5] x"


def until_still(model):
    for _ in range(10):
        changed = cancel_transposes(model)
        changed |= remove_no_ops(model)
        changed |= remove_unused(model)
        infer_shapes(model)
        if not changed:
            return
    raise AssertionError("the pass does not come to rest")


def between(op, extra=""):
    """x, an operator that runs with channels last, and a pointwise Conv on either side."""
    return f"p = Conv(x, w) q = Transpose{LAST}(p) {extra} r = {op} s = Transpose{FIRST}(r) y = Conv(s, v)"


def test_through_operators(graphs, rng):
    w = rng.standard_normal((4, 3, 1, 1)).astype(F)
    v = rng.standard_normal((2, 4, 1, 1)).astype(F)
    both = {"w": w, "v": v}
    row = {"c": rng.standard_normal(4).astype(F)}
    graphs.run(
        [until_still],
        [
            ("pair", X, f"a = Transpose{LAST}(x) y = Transpose{FIRST}(a)", {}, "Identity"),
            ("rotation", X, f"a = Transpose{LAST}(x) y = Transpose{LAST}(a)", {}, "Transpose"),
            ("identity", X, "a = Transpose<perm=[0,1,2,3]>(x) y = Relu(a)", {}, "Relu"),
            ("default", "float[2,3] x", "a = Transpose(x) y = Transpose(a)", {}, "Identity"),
            ("Relu", X, between("Relu(q)"), both, "Conv Relu Conv"),
            ("Clip", X, between("Clip(q, l, h)"), {**both, "l": F(0), "h": F(1)}, "Conv Clip Conv"),
            ("row", X, between("Mul(c, q)"), {**both, **row}, "Conv Mul Conv"),
            ("residual", X, between("Add(q, t)", "t = Sigmoid(q)"), both, "Conv Sigmoid Add Conv"),
            (
                "Concat",
                X,
                between("Concat<axis=3>(q, t)", "t = Neg(q)"),
                {"w": w, "v": np.concatenate([v, v], 1)},
                "Conv Neg Concat Conv",
            ),
            ("Concat of heights", X, between("Concat<axis=-3>(q, q)"), both, "Conv Concat Conv"),
            (
                "Pad",
                X,
                between("Pad(q, m)"),
                {**both, "m": np.array([0, 1, 2, 0, 0, 3, 0, 0], np.int64)},
                "Conv Pad Conv",
            ),
            (
                "Slice",
                X,
                between("Slice(q, b, e, m)"),
                {
                    **both,
                    "b": np.array([1], np.int64),
                    "e": np.array([3], np.int64),
                    "m": np.array([2], np.int64),
                },
                "Conv Slice Conv",
            ),
            ("Softmax", X, between("Softmax<axis=-1>(q)"), both, "Conv Softmax Conv"),
            (
                "mean, axes kept",
                X,
                between("ReduceMean(q, m)"),
                {**both, "m": np.array([1, 2], np.int64)},
                "Conv ReduceMean Conv",
            ),
            ("PRelu", X, between("PRelu(q, c)"), {**both, **row}, "Conv PRelu Conv"),
        ],
    )


def test_what_cannot_cancel_moves_to_the_end(graphs, rng):
    w = rng.standard_normal((4, 3, 1, 1)).astype(F)
    graphs.run(
        [until_still],
        [
            (
                "output",
                X,
                f"p = Conv(x, w) q = Transpose{LAST}(p) y = Relu(q)",
                {"w": w},
                "Conv Relu Transpose",
            ),
            (
                "mean",
                X,
                f"p = Conv(x, w) q = Transpose{LAST}(p) y = ReduceMean<keepdims=0>(q, m)",
                {"w": w, "m": np.array([1, 2], np.int64)},
                "Conv ReduceMean",
            ),
            (
                "sum over channels",
                X,
                f"p = Conv(x, w) q = Transpose{LAST}(p) y = ReduceSum<keepdims=0>(q, m)",
                {"w": w, "m": np.array([1], np.int64)},
                "Conv ReduceSum Transpose",
            ),
            (
                "Squeeze",
                "float[N,3,1,5] x",
                f"p = Conv(x, w) q = Transpose{LAST}(p) y = Squeeze(q, m)",
                {"w": w, "m": np.array([1], np.int64)},
                "Conv Squeeze Transpose",
            ),
            (
                "flat after pooling",
                X,
                f"p = GlobalAveragePool(x) q = Transpose{LAST}(p) y = Reshape(q, m)",
                {"m": np.array([-1, 3], np.int64)},
                "GlobalAveragePool Reshape",
            ),
            (
                "flat before",
                X,
                f"p = Conv(x, w) q = Transpose{LAST}(p) y = Reshape(q, m)",
                {"w": w, "m": np.array([-1, 80], np.int64)},
                "Conv Transpose Reshape",
            ),
        ],
    )


def test_a_transposed_input_keeps_its_transpose_in_front(graphs, rng):
    w = rng.standard_normal((4, 3, 1, 1)).astype(F)
    mean = rng.standard_normal(3).astype(F)
    graphs.run(
        [until_still],
        [
            (
                "first",
                "float[N,4,5,3] x",
                f"a = Transpose{FIRST}(x) y = Conv(a, w)",
                {"w": w},
                "Transpose Conv",
            ),
            (
                "first, Relu",
                "float[N,4,5,3] x",
                f"a = Transpose{FIRST}(x) b = Relu(a) y = Conv(b, w)",
                {"w": w},
                "Transpose Relu Conv",
            ),
            (
                "preprocessed",
                "float[N,4,5,3] x",
                f"a = Sub(x, m) b = Div(a, s) c = Transpose{FIRST}(b) y = Conv(c, w)",
                {"w": w, "m": mean, "s": F(2)},
                "Transpose Sub Div Conv",
            ),
        ],
    )
    model = graphs.build(
        "float[N,4,5,3] x", f"a = Sub(x, m) c = Transpose{FIRST}(a) y = Conv(c, w)", w=w, m=mean
    )
    until_still(model)
    assert next(iter(model.graph)).op_type == "Transpose"


def test_two_different_layouts_are_left(graphs):
    body = f"p = Relu(x) q = Neg(x) a = Transpose{LAST}(p) b = Transpose{FIRST}(q) y = Add(a, b)"
    graphs.run([until_still], [("two", "float[N,3,3,3] x", body, {}, "Relu Neg Transpose Transpose Add")])


PERMS = [list(perm) for perm in itertools.permutations(range(3))]
BETWEEN = {
    "nothing": "b = Identity(a)",
    "a function": "b = Tanh(a)",
    "a function without a table": "b = Atan(a)",
    "a function that changes the type": "t = IsNaN(a) u = Not(t) b = Cast<to=1>(u)",
    "a constant": "b = Mul(a, c)",
    "a sum": "t = Neg(a) b = Add(t, a)",
    "Concat": "b = Concat<axis=1>(a, a)",
    "Softmax": "b = Softmax<axis=-1>(a)",
    "ReduceSum": "b = ReduceSum(a, one)",
    "Pad": "b = Pad(a, pads)",
    "Slice": "b = Slice(a, one, two, one)",
    "Transpose": "b = Transpose<perm=[1,2,0]>(a)",
}


@pytest.mark.parametrize("name", BETWEEN)
def test_every_order_of_three_axes(graphs, rng, name):
    """Permutations do not commute: (1, 2, 0) then (0, 2, 1) is another one than the other way around."""
    for inner, outer in itertools.product(PERMS, PERMS):
        sizes = [(2, 3, 5)[axis] for axis in inner]
        constants = {
            "w": rng.standard_normal((4, 5)).astype(F),
            "c": rng.standard_normal(sizes).astype(F),
            "one": np.array([1]),
            "two": np.array([2]),
            "pads": np.array([1, 0, 2, 0, 3, 0]),
        }
        body = (
            f"m = MatMul(x, w) a = Transpose<perm={inner}>(m) {BETWEEN[name]} y = Transpose<perm={outer}>(b)"
        )
        before = graphs.build("float[2,3,4] x", body, **constants)
        after = before.clone()
        until_still(after)
        feeds = graphs.feeds_of(before)
        (want,), (got,) = graphs.answers(before, feeds), graphs.answers(after, feeds)
        assert want.shape == got.shape, (inner, outer)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
        assert sum(node.op_type == "Transpose" for node in after.graph) <= 1, (inner, outer)
