"""Graphs that look like what a pass changes, and must be left: another answer would come of it."""

import itertools

import numpy as np
import pytest
from octavo.frontend import infer_shapes
from octavo.passes.affine import fold_affine
from octavo.passes.chains import merge_chains
from octavo.passes.duplicates import remove_unused
from octavo.passes.gemm import form_gemm
from octavo.passes.no_ops import remove_no_ops
from octavo.passes.norms import name_norms
from octavo.passes.padding import fold_padding
from octavo.passes.reshapes import merge_reshapes
from octavo.passes.shapes import fix_shapes
from octavo.passes.slices import merge_slices
from octavo.passes.softmax import restore_softmax
from octavo.passes.transposes import cancel_transposes

F = np.float32
IMAGE = "float[N,4,6,5] x"
P = np.array([0, 0, 1, 0, 0, 0, 0, 2])


def ints(*numbers):
    return np.array(numbers, np.int64)


def some(*shape, seed=3):
    return np.random.default_rng(seed).uniform(0.5, 2, shape).astype(F)


NORM = {"g": some(4), "b": some(4), "m": some(4), "v": some(4)}
W = some(4, 4, 3, 3)
FED = "float[4] k"
LEFT = {
    "a norm that trains": (
        fold_affine,
        IMAGE,
        "c = Conv(x, w) y, s, t = BatchNormalization<training_mode=1>(c, g, b, m, v)",
        NORM | {"w": W},
    ),
    "a norm by what is fed": (
        fold_affine,
        f"{IMAGE}, {FED}",
        "c = Conv(x, w) y = BatchNormalization(c, k, b, m, v)",
        NORM | {"w": W},
    ),
    "a norm without a variance": (
        fold_affine,
        IMAGE,
        "c = Conv(x, w) y = BatchNormalization<epsilon=0.0>(c, g, b, m, v)",
        NORM | {"w": W, "v": np.zeros(4, F)},
    ),
    "a scale by what is fed": (fold_affine, f"{IMAGE}, float k", "c = Conv(x, w) y = Mul(c, k)", {"w": W}),
    "weights that are fed": (
        fold_affine,
        f"{IMAGE}, float[4,4,3,3] k",
        "c = Conv(x, k) y = Mul(c, two)",
        {"two": F(2)},
    ),
    "a bias that is fed": (
        fold_affine,
        f"{IMAGE}, {FED}",
        "c = Conv(x, w, k) y = Mul(c, two)",
        {"w": W, "two": F(2)},
    ),
    "a bias that is fed behind": (
        fold_affine,
        f"{IMAGE}, {FED}",
        "a = Mul(x, two) y = Conv(a, w, k)",
        {"w": W, "two": F(2)},
    ),
    "a scale behind a bias of rows": (
        fold_affine,
        "float[4,4] x",
        "c = Gemm(x, w, b) y = Mul(c, two)",
        {"w": some(4, 4), "b": some(4, 1), "two": F(2)},
    ),
    "a scale of the height": (fold_affine, IMAGE, "c = Conv(x, w) y = Mul(c, s)", {"w": W, "s": some(4, 1)}),
    "a scale of the batch": (
        fold_affine,
        "float[4,4,6,5] x",
        "c = Conv(x, w) y = Mul(c, s)",
        {"w": W, "s": some(4, 1, 1, 1)},
    ),
    "a scale of the batch in front": (
        fold_affine,
        "float[4,4,6,5] x",
        "a = Mul(x, s) y = Conv(a, w)",
        {"w": W, "s": some(4, 1, 1, 1)},
    ),
    "a scale of the height in front": (
        fold_affine,
        "float[4,4,4,4] x",
        "a = Mul(x, s) y = Conv(a, w)",
        {"w": W, "s": some(4, 1)},
    ),
    "read by an output too": (
        fold_affine,
        IMAGE,
        "c = Conv(x, w) y = Mul(c, two)",
        {"w": W, "two": F(2)},
        "y,c",
    ),
    "offsets before a window that is padded": (
        fold_affine,
        IMAGE,
        'a = Add(x, two) y = Conv<auto_pad="SAME_LOWER">(a, w)',
        {"w": W, "two": F(2)},
    ),
    "offsets before one padded place": (
        fold_affine,
        IMAGE,
        "a = Add(x, two) y = Conv<pads=[0,0,0,1]>(a, w)",
        {"w": W, "two": F(2)},
    ),
    "scale and offset": (merge_chains, IMAGE, "a = Mul(x, two) y = Add(a, two)", {"two": F(2)}),
    "a chain that is read twice": (
        merge_chains,
        IMAGE,
        "a = Mul(x, two) b = Mul(a, two) y = Add(a, b)",
        {"two": F(2)},
    ),
    "a column and a row": (
        merge_chains,
        "float[4,4] x",
        "a = Mul(x, r) y = Mul(a, c)",
        {"r": some(4), "c": some(4, 1)},
    ),
    "a bias of rows": (
        form_gemm,
        "float[4,4] x",
        "m = MatMul(x, w) y = Add(m, c)",
        {"w": some(4, 4), "c": some(4, 1)},
    ),
    "a scaled product": (
        form_gemm,
        "float[4,4] x",
        "m = MatMul(x, w) y = Mul(m, c)",
        {"w": some(4, 4), "c": some(4)},
    ),
    "a product that is read twice": (
        form_gemm,
        "float[4,4] x",
        "m = MatMul(x, w) a = Add(m, c) y = Mul(a, m)",
        {"w": some(4, 4), "c": some(4)},
    ),
    "a pad of the batch": (
        fold_padding,
        IMAGE,
        "a = Pad(x, p) y = Conv(a, w)",
        {"p": ints(1, 0, 0, 0, 0, 0, 0, 0), "w": W},
    ),
    "a pad with what is fed": (
        fold_padding,
        f"{IMAGE}, float k",
        "a = Pad(x, p, k) y = Conv(a, w)",
        {"w": W, "p": P},
    ),
    "a reflection": (fold_padding, IMAGE, 'a = Pad<mode="edge">(x, p) y = Conv(a, w)', {"w": W, "p": P}),
    "a mean of padding that does not count": (
        fold_padding,
        IMAGE,
        "a = Pad(x, p) y = AveragePool<kernel_shape=[3,3], pads=[0,0,0,1]>(a)",
        {"p": P},
    ),
    "a pad as wide as a window": (
        fold_padding,
        IMAGE,
        "r = Relu(x) a = Pad(r, p) y = MaxPool<kernel_shape=[2,2]>(a)",
        {"p": P},
    ),
    "a pad and a ceiling": (
        fold_padding,
        IMAGE,
        "r = Relu(x) a = Pad(r, p) y = MaxPool<kernel_shape=[3,3], ceil_mode=1>(a)",
        {"p": P},
    ),
    "a softmax of another axis": (
        restore_softmax,
        "float[2,3,4] x",
        "a = Flatten<axis=2>(x) b = Softmax<axis=0>(a) y = Reshape(b, s)",
        {"s": ints(2, 3, 4)},
    ),
    "a softmax of a plane that is shaped otherwise": (
        restore_softmax,
        "float[2,3,4] x",
        "a = Flatten<axis=2>(x) b = Softmax(a) y = Reshape(b, s)",
        {"s": ints(3, 2, 4)},
    ),
    "a softmax over two axes": (
        restore_softmax,
        "float[2,3,4] x",
        "a = Flatten<axis=1>(x) b = Softmax(a) y = Reshape(b, s)",
        {"s": ints(2, 3, 4)},
    ),
    "cuts by what is fed": (
        merge_slices,
        f"{IMAGE}, int64[1] k",
        "a = Slice(x, k, e, i) y = Slice(a, o, e, j)",
        {"e": ints(9), "i": ints(1), "o": ints(1), "j": ints(2)},
    ),
    "cuts by what is fed behind": (
        merge_slices,
        f"{IMAGE}, int64[1] k",
        "a = Slice(x, o, e, i) y = Slice(a, k, e, j)",
        {"e": ints(9), "i": ints(1), "o": ints(1), "j": ints(2)},
    ),
    "a bias as long as the rows": (
        form_gemm,
        "float[4,4] x",
        "m = MatMul(x, w) y = Sub(m, c)",
        {"w": some(4, 4), "c": some(4, 4)},
    ),
    "cuts of one axis": (
        merge_slices,
        IMAGE,
        "a = Slice(x, o, e, i) y = Slice(a, o, e, j)",
        {"e": ints(9), "o": ints(1), "i": ints(2), "j": ints(-2)},
    ),
    "cuts that are read twice": (
        merge_slices,
        IMAGE,
        "a = Slice(x, o, e, i) b = Slice(a, o, e, j) s = ReduceMax<keepdims=0>(a) y = Add(b, s)",
        {"e": ints(9), "o": ints(1), "i": ints(1), "j": ints(2)},
    ),
    "shapes that are read twice": (
        merge_reshapes,
        IMAGE,
        "a = Flatten(x) b = Reshape(a, s) t = ReduceMax<keepdims=0>(a) y = Add(b, t)",
        {"s": ints(-1, 4, 30)},
    ),
    "a region of a picture": (
        remove_no_ops,
        "float[1,4,6,5] x",
        'y = Resize<coordinate_transformation_mode="tf_crop_and_resize">(x, r, s)',
        {"r": F([0, 0, 0.25, 0, 1, 1, 1, 0.5]), "s": np.ones(4, F)},
    ),
    "a picture of another size": (
        remove_no_ops,
        "float[1,4,6,5] x",
        "y = Resize(x, , s)",
        {"s": F([1, 1, 1, 1.5])},
    ),
    "a picture to another size": (
        remove_no_ops,
        "float[1,4,6,5] x",
        "y = Resize(x, , , s)",
        {"s": ints(1, 4, 6, 7)},
    ),
    "rows of zeros and a one": (remove_no_ops, IMAGE, "y = Add(x, k)", {"k": F([0, 0, 0, 0, 1])}),
    "a neutral number that widens": (
        remove_no_ops,
        "float[5] x",
        "y = Add(x, k)",
        {"k": np.zeros((1, 1, 5), F)},
    ),
    "a turn before Add of a number of 4 axes": (
        cancel_transposes,
        "float[2,3,4] x",
        "m = MatMul(x, w) a = Transpose<perm=[0,2,1]>(m) y = Add(a, k)",
        {"w": some(4, 4), "k": np.full((1, 1, 1, 1), 0.5, F)},
    ),
    "a turn before Sub of a number of 4 axes": (
        cancel_transposes,
        "float[2,3,4] x",
        "m = MatMul(x, w) a = Transpose<perm=[0,2,1]>(m) y = Sub(k, a)",
        {"w": some(4, 4), "k": np.full((1, 1, 1, 1), 0.5, F)},
    ),
    "a turn before Mul of a number of 5 axes": (
        cancel_transposes,
        "float[2,3,4] x",
        "m = MatMul(x, w) a = Transpose<perm=[0,2,1]>(m) y = Mul(a, k)",
        {"w": some(4, 4), "k": np.full((1, 1, 1, 1, 1), 0.5, F)},
    ),
    "a turn before Max of a number of 4 axes": (
        cancel_transposes,
        "float[2,3,4] x",
        "m = MatMul(x, w) a = Transpose<perm=[0,2,1]>(m) y = Max(k, a)",
        {"w": some(4, 4), "k": np.full((1, 1, 1, 1), 0.5, F)},
    ),
    "a norm that gives its mean": (
        name_norms,
        "float[N,3,4] x",
        "n, m = LayerNormalization(x, g) y = Mul(n, k)",
        {"g": some(4), "k": some(4)},
        "y,m",
    ),
    "a turn that is an answer": (
        cancel_transposes,
        "float[2,3,4] x",
        "m = MatMul(x, w) a = Transpose<perm=[0,2,1]>(m) y = Relu(a)",
        {"w": some(4, 4)},
        "a,y",
    ),
    "a turn that another operator reads": (
        cancel_transposes,
        "float[2,3,4] x",
        "m = MatMul(x, w) a = Transpose<perm=[0,2,1]>(m) y = Relu(a) z = CumSum(a, i)",
        {"w": some(4, 4), "i": np.int64(1)},
        "y,z",
    ),
    "a turn": (remove_no_ops, "float[4,4] x", "y = Transpose(x)", {}),
    "backwards": (
        remove_no_ops,
        "float[4,4] x",
        "y = Slice(x, b, e, i, s)",
        {"b": ints(-1), "e": ints(-9), "i": ints(0), "s": ints(-1)},
    ),
}


@pytest.mark.parametrize("name", LEFT)
def test_left(graphs, name):
    run, inputs, body, weights, *outputs = LEFT[name]
    before = graphs.build(inputs, body, *outputs, **weights)
    after = before.clone()
    assert not run(after)
    remove_unused(after)
    infer_shapes(after)
    feeds = graphs.feeds_of(before, 4)
    for want, got in zip(graphs.answers(before, feeds), graphs.answers(after, feeds), strict=True):
        assert want.shape == got.shape
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    assert graphs.ops(after) == graphs.ops(before)


BETWEEN = {
    "Slice without axes": "b = Slice(a, starts, ends)",
    "Slice from the end": "b = Slice(a, one, two, last)",
    "Slice by steps": "b = Slice(a, none, many, axes, steps)",
    "ReduceMax, dropped": "t = ReduceMax<keepdims=0>(a, last) b = Unsqueeze(t, two)",
    "ReduceSum of two, dropped": "t = ReduceSum<keepdims=0>(a, axes) b = Unsqueeze(t, front)",
    "ReduceMean of all": "b = ReduceMean(a)",
    "ReduceMean of none": "b = ReduceMean<noop_with_empty_axes=1>(a)",
    "Pad of axes": "b = Pad(a, few, , axes)",
    "Pad with a value": "b = Pad(a, pads, half)",
    "Pad by reflection": 'b = Pad<mode="reflect">(a, pads)',
    "Concat with a constant": "b = Concat<axis=0>(a, c)",
    "Concat from the end": "t = Neg(a) b = Concat<axis=-2>(a, t)",
    "Softmax in front": "b = Softmax<axis=0>(a)",
    "LogSoftmax": "b = LogSoftmax<axis=1>(a)",
    "Squeeze": "t = Unsqueeze(a, front) b = Squeeze(t, front)",
    "Clip": "b = Clip(a, half, two_f)",
    "Clip, fed": "b = Clip(a, low)",
    "PRelu": "b = PRelu(a, row)",
    "Max of three": "t = Neg(a) b = Max(t, row, a)",
    "Pow": "t = Abs(a) b = Pow(t, row)",
    "a constant under": "b = Div(row, a)",
    "a constant less": "b = Sub(column, a)",
    "another tensor": "b = Add(a, z)",
    "Reshape, copied": "t = Reshape(a, copied) b = Identity(t)",
    "Cast": "t = Cast<to=11>(a) b = Cast<to=1>(t)",
    "Where": "t = Less(a, half) b = Where(t, a, row)",
}


@pytest.mark.parametrize("name", BETWEEN)
@pytest.mark.parametrize("front", ["m = MatMul(x, w)", "m = Relu(x)", "m = Identity(x)"])
def test_transposes_around_other_forms(graphs, name, front):
    """Axes of three lengths, so that each mistaken one shows."""
    perms = [list(perm) for perm in itertools.permutations(range(3))]
    for inner, outer in [
        *((perm, [1, 2, 0]) for perm in perms),
        ([2, 0, 1], [0, 2, 1]),
        ([0, 2, 1], [0, 2, 1]),
    ]:
        sizes = [(4, 3, 5)[axis] for axis in inner]
        constants = {
            "w": some(5, 5),
            "c": some(*sizes),
            "row": some(sizes[2]),
            "column": some(sizes[1], 1),
            "z": some(*sizes),
            "one": ints(1),
            "two": ints(2),
            "last": ints(-1),
            "front": ints(0),
            "half": F(0.5),
            "two_f": F(2),
            "starts": ints(1, 0, 1),
            "ends": ints(9, 2, 9),
            "none": ints(0, -1),
            "many": ints(9, -9),
            "axes": ints(0, 2),
            "steps": ints(2, -1),
            "few": ints(1, 0, 2, 3),
            "pads": ints(1, 0, 2, 0, 2, 0),
            "copied": ints(0, -1, 0),
        }
        if name == "ReduceSum of two, dropped":
            constants["front"] = ints(0, 1)
        text = f"{front} a = Transpose<perm={inner}>(m) {BETWEEN[name]} y = Transpose<perm={outer}>(b)"
        words = set(text.replace("(", " ").replace(")", " ").replace(",", " ").split())
        inputs = "float[4,3,5] x" + (", float low" if "low" in words else "")
        used = {key: array for key, array in constants.items() if key in words and key != "low"}
        before = graphs.build(inputs, text, **used)
        after = before.clone()
        for _ in range(6):
            cancel_transposes(after)
            remove_no_ops(after)
            fix_shapes(after)
            remove_unused(after)
            infer_shapes(after)
        feeds = graphs.feeds_of(before)
        (want,), (got,) = graphs.answers(before, feeds), graphs.answers(after, feeds)
        assert want.shape == got.shape, (inner, outer)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5, err_msg=f"{inner}, {outer}")


@pytest.mark.parametrize(
    "perm", [[1, 2, 3, 0], [3, 0, 1, 2], [1, 3, 0, 2], [2, 0, 3, 1], [3, 2, 0, 1]], ids=str
)
@pytest.mark.parametrize("axis", [0, 1, 2, 3])
@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMax", "Squeeze"])
def test_three_axes_that_are_left_keep_their_order(graphs, op, perm, axis):
    """An order of three and its inverse are two; of two they are one."""
    lengths = [2, 3, 4, 5]
    if op == "Squeeze":
        lengths[perm[axis]] = 1
    drop = "b = Squeeze(a, k)" if op == "Squeeze" else f"b = {op}<keepdims=0>(a, k)"
    text = f"m = MatMul(x, w) a = Transpose<perm={perm}>(m) {drop} y = Neg(b)"
    inputs = f"float[{','.join(map(str, lengths))}] x"
    before = graphs.build(inputs, text, w=np.eye(lengths[3], dtype=F), k=ints(axis))
    after = before.clone()
    for _ in range(4):
        cancel_transposes(after)
        infer_shapes(after)
    feeds = graphs.feeds_of(before)
    (want,), (got,) = graphs.answers(before, feeds), graphs.answers(after, feeds)
    assert want.shape == got.shape
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
