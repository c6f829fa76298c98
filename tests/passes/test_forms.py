"""No-ops, Reshapes, Gemm, Softmax and duplicates: small passes, one table each."""

import numpy as np
from octavo.frontend import infer_shapes
from octavo.passes.duplicates import merge_duplicates, remove_unused
from octavo.passes.gemm import form_gemm
from octavo.passes.no_ops import remove_no_ops
from octavo.passes.reshapes import merge_reshapes
from octavo.passes.shapes import fix_shapes
from octavo.passes.slices import merge_slices
from octavo.passes.softmax import restore_softmax
from octavo.passes.sums import split_sums

F = np.float32
X = "float[N,3,4] x"


def ints(*numbers):
    return np.array(numbers, np.int64)


def test_no_ops(graphs):
    graphs.run(
        [remove_no_ops, remove_unused],
        [
            ("Identity", X, "a = Identity(x) b = Relu(a) y = Identity(b)", {}, "Relu"),
            ("Reshape", X, "a = Reshape(x, s) y = Relu(a)", {"s": ints(0, 3, -1)}, "Relu"),
            ("Cast", X, "a = Cast<to=1>(x) y = Relu(a)", {}, "Relu"),
            (
                "Slice",
                X,
                "a = Slice(x, b, e, i) y = Relu(a)",
                {"b": ints(0), "e": ints(99), "i": ints(1)},
                "Relu",
            ),
            ("Pad", X, "a = Pad(x, p) y = Relu(a)", {"p": ints(0, 0, 0, 0, 0, 0)}, "Relu"),
            ("Resize", "float[N,3,4,4] x", "a = Resize(x, , s) y = Relu(a)", {"s": np.ones(4, F)}, "Relu"),
            ("Expand", X, "a = Expand(x, s) y = Relu(a)", {"s": ints(1, 3, 1)}, "Relu"),
            ("Tile", X, "a = Tile(x, s) y = Relu(a)", {"s": ints(1, 1, 1)}, "Relu"),
            ("Concat of one", X, "a = Concat<axis=1>(x) y = Relu(a)", {}, "Relu"),
            ("Flatten", "float[N,7] x", "a = Flatten(x) y = Relu(a)", {}, "Relu"),
            (
                "numbers",
                X,
                "a = Mul(x, o) b = Add(z, a) c = Div(b, o) d = Sub(c, z) y = Relu(d)",
                {"o": F(1), "z": F(0)},
                "Relu",
            ),
        ],
    )


def test_no_no_ops(graphs):
    graphs.run(
        [remove_no_ops, remove_unused],
        [
            (
                "reversed",
                X,
                "y = Slice(x, b, e, i, s)",
                {"b": ints(-1), "e": ints(-99), "i": ints(1), "s": ints(-1)},
                "Slice",
            ),
            ("widened", X, "y = Mul(x, o)", {"o": np.ones((2, 1, 1, 1), F)}, "Mul"),
            ("one over", X, "y = Div(o, x)", {"o": F(1)}, "Div"),
            ("0 - x", X, "y = Sub(z, x)", {"z": F(0)}, "Sub"),
            ("Reshape by the batch", "float[N,4] x", "y = Reshape(x, s)", {"s": ints(4, -1)}, "Reshape"),
        ],
        batch=4,
    )


def test_graph_outputs_keep_their_names(graphs):
    body = "a = Relu(x) y = Identity(a) z = Identity(a) w = Identity(x)"
    before = graphs.build(X, body, "y,z,w")
    after = before.clone()
    remove_no_ops(after)
    graphs.check(before, after, "Relu Identity Identity")
    assert not remove_no_ops(after)


def test_a_constant_output_and_an_input_as_output(graphs):
    before = graphs.build(X, "y = Identity(c)", "y,x", c=np.ones(3, F))
    after = before.clone()
    remove_no_ops(after)
    remove_unused(after)
    graphs.check(before, after, "Identity")


def test_reshape_to_a_computed_shape(graphs):
    graphs.run(
        [fix_shapes, remove_unused],
        [
            (
                "flatten",
                X,
                "s = Shape(x) i = Gather(s, k) j = Unsqueeze(i, z) c = Concat<axis=0>(j, m) "
                "y = Reshape(x, c)",
                {"k": np.int64(0), "z": ints(0), "m": ints(-1)},
                "Reshape",
            ),
            (
                "split",
                "float[N,T,8] x",
                "s = Shape<start=0, end=2>(x) c = Concat<axis=0>(s, m) y = Reshape(x, c)",
                {"m": ints(2, 4)},
                "Reshape",
            ),
        ],
        batch=3,
    )


def test_reshapes_in_a_row(graphs):
    graphs.run(
        [merge_reshapes, remove_unused],
        [
            (
                "two",
                X,
                "a = Reshape(x, s) y = Reshape(a, t)",
                {"s": ints(-1, 12), "t": ints(-1, 2, 6)},
                "Reshape",
            ),
            (
                "Squeeze Flatten",
                "float[N,3,1,4] x",
                "a = Squeeze(x, s) y = Flatten(a)",
                {"s": ints(2)},
                "Reshape",
            ),
            ("Unsqueeze", X, "a = Flatten(x) y = Unsqueeze(a, s)", {"s": ints(-1)}, "Reshape"),
            (
                "two free axes",
                "float[N,T,4] x",
                "a = Reshape(x, s) y = Reshape(a, t)",
                {"s": ints(-1, 4), "t": ints(2, -1, 2)},
                "Reshape",
            ),
        ],
        batch=2,
    )


def test_slices_in_a_row(graphs):
    last, rows = {"i": ints(-1), "j": ints(1)}, {"b": ints(1), "e": ints(3), "f": ints(-9), "s": ints(-2)}
    graphs.run(
        [merge_slices, remove_unused],
        [
            ("two axes", X, "a = Slice(x, b, e, i) y = Slice(a, e, f, j, s)", last | rows, "Slice"),
            (
                "no axes",
                X,
                "a = Slice(x, z, o) y = Slice(a, b, e, i)",
                last | rows | {"z": ints(0), "o": ints(1)},
                "Slice",
            ),
            ("one axis", X, "a = Slice(x, b, e, i) y = Slice(a, b, e, i)", last | rows, "Slice Slice"),
        ],
    )


def test_the_batch_keeps_its_name_through_a_reshape(graphs):
    for name, inputs, target, kept in (
        ("flat", "float[N,3,1,4] x", (-1, 12), True),
        ("elsewhere", "float[N,3,1,4] x", (12, -1), False),
        ("folded in", "float[N,3,1,4] x", (-1, 6), False),
        ("two free", "float[N,T,4] x", (-1, 4), False),
    ):
        model = graphs.build(inputs, "y = Reshape(x, s)", s=ints(*target))
        assert fix_shapes(model) is kept, name
        infer_shapes(model)
        assert (model.graph.outputs[0].shape[0] == "N") is kept, name


def test_gemm(graphs, rng):
    w, b = rng.standard_normal((4, 5)).astype(F), rng.standard_normal(5).astype(F)
    graphs.run(
        [form_gemm, remove_unused],
        [
            ("MatMul Add", "float[N,4] x", "a = MatMul(x, w) y = Add(b, a)", {"w": w, "b": b}, "Gemm"),
            ("scalar", "float[N,4] x", "a = MatMul(x, w) y = Sub(a, b)", {"w": w, "b": F(2)}, "Gemm"),
            (
                "a column",
                "float[2,4] x",
                "a = MatMul(x, w) y = Add(a, b)",
                {"w": w, "b": np.ones((2, 1), F)},
                "MatMul Add",
            ),
            ("rank 3", "float[N,2,4] x", "a = MatMul(x, w) y = Add(a, b)", {"w": w, "b": b}, "MatMul Add"),
            (
                "wider",
                "float[N,4] x",
                "a = MatMul(x, w) y = Add(a, b)",
                {"w": w, "b": b.reshape(1, 1, 5)},
                "MatMul Add",
            ),
            (
                "alpha, beta",
                "float[N,4] x",
                "y = Gemm<alpha=0.5, beta=3.0>(x, w, b)",
                {"w": w, "b": b},
                "Gemm",
            ),
        ],
        batch=2,
    )


def test_alpha_and_beta_are_one_afterwards(graphs, rng):
    w, b = rng.standard_normal((4, 5)).astype(F), rng.standard_normal(5).astype(F)
    model = graphs.build("float[N,4] x", "y = Gemm<alpha=0.5, beta=3.0>(x, w, b)", w=w, b=b)
    form_gemm(model)
    (node,) = model.graph
    assert node.attributes.get_float("alpha", 1.0) == node.attributes.get_float("beta", 1.0) == 1


def test_softmax_from_its_plane(graphs):
    def plane(axis):
        return f"a = Flatten<axis={axis}>(x) b = Softmax(a) s = Shape(x) y = Reshape(b, s)"

    graphs.run(
        [restore_softmax, remove_unused],
        [
            ("last", X, plane(2), {}, "Softmax"),
            ("squeezed", "float[N,5,1,1] x", plane(1), {}, "Softmax"),
            ("leading ones", "float[N,1,5] x", plane(1), {}, "Softmax"),
            ("a true plane", X, plane(1), {}, "Flatten Softmax Shape Reshape"),
            ("from the first axis on", "float[N,5,1,1] x", plane(1).replace("<axis=1>", ""), {}, "Softmax"),
            ("a plane anyhow", X, plane(1).replace("<axis=1>", ""), {}, "Flatten Softmax Shape Reshape"),
            ("from the end", X, plane(-1), {}, "Softmax"),
        ],
    )


def test_sums(graphs):
    graphs.run(
        [split_sums],
        [
            ("two", X, "a = Relu(x) y = Sum(a, x)", {}, "Relu Add"),
            ("three of unequal shapes", X, "y = Sum(c, x, r)", {"c": F([1, 2, 3, 4]), "r": F(2)}, "Add Add"),
            ("the same twice", X, "y = Sum(x, x)", {}, "Add"),
            ("mean", X, "a = Relu(x) y = Mean(a, x, x)", {}, "Relu Add Add Div"),
            ("one", X, "y = Sum(x)", {}, "Sum"),
        ],
    )


def test_duplicates(graphs, rng):
    w = rng.standard_normal((3, 4)).astype(F)
    graphs.run(
        [merge_duplicates, remove_unused],
        [
            ("nodes", X, "a = Relu(x) b = Relu(x) y = Add(a, b)", {}, "Relu Add"),
            ("constants", X, "a = Mul(x, c) b = Mul(x, d) y = Add(a, b)", {"c": w, "d": w.copy()}, "Mul Add"),
            ("different", X, "a = Elu<alpha=1.0>(x) b = Elu<alpha=2.0>(x) y = Add(a, b)", {}, "Elu Elu Add"),
        ],
    )


def test_what_merges_duplicates_says_so(graphs, rng):
    """Nodes alone, constants alone, both, and neither: who is told of no change looks no further."""
    w = rng.standard_normal((3, 4)).astype(F)
    for body, other, changed in (
        ("a = Relu(x) b = Relu(x) c = Add(a, k) y = Mul(b, l) z = Neg(c)", w + F(1), True),
        ("a = Relu(x) b = Neg(x) c = Add(a, k) y = Mul(b, l) z = Neg(c)", w.copy(), True),
        ("a = Relu(x) b = Relu(x) c = Add(a, k) y = Mul(b, l) z = Neg(c)", w.copy(), True),
        ("a = Relu(x) b = Neg(x) c = Add(a, k) y = Mul(b, l) z = Neg(c)", w + F(1), False),
    ):
        model = graphs.build(X, body, "y,z", k=w, l=other)
        assert merge_duplicates(model) is changed
        assert not merge_duplicates(model)
