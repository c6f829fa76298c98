"""What a caller may feed, what has no known rank, and lists that are long: no pass takes them for known."""

import numpy as np
import onnx_ir as ir
import pytest
from octavo.frontend import infer_shapes
from octavo.passes.affine import fold_affine
from octavo.passes.chains import merge_chains
from octavo.passes.clips import merge_clips
from octavo.passes.costs import cost
from octavo.passes.duplicates import remove_unused
from octavo.passes.edit import insert_before, integers
from octavo.passes.gemm import form_gemm
from octavo.passes.no_ops import remove_no_ops
from octavo.passes.norms import name_norms
from octavo.passes.padding import fold_padding
from octavo.passes.shapes import fix_shapes
from octavo.passes.sums import split_sums
from octavo.passes.transposes import cancel_transposes

F = np.float32
IMAGE = "float[N,4,6,5] x"


def ints(*numbers):
    return np.array(numbers, np.int64)


DEFAULTS = {
    "a scale": (fold_affine, f"{IMAGE}, float k", "c = Conv(x, w) y = Mul(c, k)", F(2)),
    "a bias": (fold_affine, f"{IMAGE}, float[4] k", "c = Conv(x, w, k) y = Mul(c, two)", np.ones(4, F)),
    "a scale in a row": (merge_chains, f"{IMAGE}, float k", "a = Mul(x, two) y = Mul(a, k)", F(3)),
    "a bound": (merge_clips, f"{IMAGE}, float k", "a = Relu(x) y = Min(a, k)", F(6)),
    "weights": (form_gemm, "float[N,4] x, float[4,3] k", "y = Gemm<alpha=0.5>(x, k)", np.ones((4, 3), F)),
    "a neutral number": (remove_no_ops, f"{IMAGE}, float k", "a = Relu(x) y = Mul(a, k)", F(1)),
    "a norm's scale": (
        name_norms,
        "float[N,3,4] x, float[4] k",
        "n = LayerNormalization(x, k) y = Mul(n, two)",
        np.ones(4, F),
    ),
    "a pad's value": (fold_padding, f"{IMAGE}, float k", "a = Pad(x, p, k) y = Conv(a, w)", F(0)),
}
CONSTANTS = {
    "w": np.random.default_rng(3).uniform(0.5, 2, (4, 4, 3, 3)).astype(F),
    "two": F(2),
    "p": ints(0, 0, 1, 0, 0, 0, 0, 2),
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_an_input_with_a_default_is_no_constant(graphs, name):
    """It is an initializer and an input: who feeds another value gets the answer to that."""
    run, inputs, body, default = DEFAULTS[name]
    words = set(body.replace("(", " ").replace(")", " ").replace(",", " ").split())
    used = {key: array for key, array in CONSTANTS.items() if key in words}
    before = graphs.build(inputs, body, k=default, **used)
    assert before.graph.initializers["k"].is_graph_input()
    after = before.clone()
    assert not run(after)
    assert graphs.ops(after) == graphs.ops(before)
    feeds = graphs.feeds_of(before)
    assert not np.array_equal(feeds["k"], default)
    for want, got in zip(graphs.answers(before, feeds), graphs.answers(after, feeds), strict=True):
        assert np.array_equal(want, got)


def test_a_norm_of_unknown_rank_is_left(graphs):
    constants = {name: np.ones(4, F) for name in "gbmv"}
    body = "z = Reshape(x, to) y = BatchNormalization(z, g, b, m, v)"
    model = graphs.build("float[N,4] x, int64[r] to", body, **constants)
    assert not fold_affine(model)
    assert graphs.ops(model) == {"Reshape": 1, "BatchNormalization": 1}


@pytest.mark.parametrize(
    "body",
    [
        "a = Transpose(z) y = Relu(a)",
        "a = Transpose(z) b = Relu(a) y = Transpose(b)",
        "a = Transpose(z) y = Transpose(a)",
        "a = Transpose(z) y = Transpose<perm=[1,0,2]>(a)",
        "a = Transpose<perm=[1,0,2]>(z) y = Transpose(a)",
        "a = Transpose(z) b = Neg(z) c = Transpose(b) y = Add(a, c)",
    ],
)
def test_turns_of_unknown_rank(graphs, body):
    before = graphs.build("float[N,4] x, int64[r] to", f"z = Reshape(x, to) {body}")
    after = before.clone()
    for _ in range(3):
        cancel_transposes(after)
        remove_unused(after)
        infer_shapes(after)
    feeds = {"x": np.arange(24, dtype=F).reshape(6, 4), "to": ints(2, 3, 4)}
    (want,), (got,) = graphs.answers(before, feeds), graphs.answers(after, feeds)
    assert np.array_equal(want, got)


@pytest.mark.parametrize(("given", "moved"), [("k, e", False), ("b, k", True), ("k, k", False)])
def test_a_turn_before_a_slice_by_what_is_fed(graphs, given, moved):
    """How many axes it cuts is known from the starts alone."""
    body = f"m = MatMul(x, w) a = Transpose<perm=[1,0,2]>(m) y = Slice(a, {given})"
    names = {name: ints(number) for name, number in (("b", 1), ("e", 9)) if name in given}
    before = graphs.build("float[2,3,4] x, int64[1] k", body, w=np.eye(4, dtype=F), **names)
    after = before.clone()
    assert cancel_transposes(after) == moved
    feeds = {"x": np.arange(24, dtype=F).reshape(2, 3, 4), "k": ints(2)}
    (want,), (got,) = graphs.answers(before, feeds), graphs.answers(after, feeds)
    assert np.array_equal(want, got)


@pytest.mark.parametrize("pads", [[1], [0, 1, 1], [0, 0, 1, 1, 0, 0], [1] * 10])
def test_pads_that_are_not_two_an_axis_are_left_to_be_refused(graphs, pads):
    model = graphs.build(IMAGE, "a = Identity(x) y = Conv(a, w)", w=CONSTANTS["w"])
    pad = next(node for node in model.graph if node.op_type == "Identity")
    amounts = ir.tensor(np.array(pads, np.int64), name="p")
    value = ir.Value(name="p", type=ir.TensorType(amounts.dtype), shape=amounts.shape, const_value=amounts)
    model.graph.register_initializer(value)
    pad.op_type = "Pad"
    pad.resize_inputs(2)
    pad.replace_input_with(1, value)
    assert not fold_padding(model)
    assert graphs.ops(model) == {"Pad": 1, "Conv": 1}


@pytest.mark.parametrize(("index", "known"), [(-4, True), (-5, False), (3, True), (4, False)])
def test_an_axis_that_is_not_there_is_left_to_be_refused(graphs, index, known):
    body = "s = Shape(x) g = Gather(s, k) y = ConstantOfShape(g)"
    model = graphs.build("float[2,4,6,5] x", body, k=ints(index))
    gather = next(node for node in model.graph if node.op_type == "Gather")
    fix_shapes(model)
    assert (gather.graph is None) == known


@pytest.mark.parametrize(
    "body",
    [
        "t = Unsqueeze(s, zero) y = Add(t, grid)",
        "t = Unsqueeze(s, one) y = Add(t, grid)",
        "t = Gather(s, places) y = Add(t, grid)",
        "t = Reshape(s, square) y = Add(t, grid)",
    ],
)
def test_shapes_in_tables_keep_their_axes(graphs, body):
    """What is known of a shape is a list, and a table of the same numbers is none."""
    constants = {
        "zero": ints(0), "one": ints(1), "places": np.array([[0, 1], [2, 3]]), "square": ints(2, 2),
        "grid": np.array([[1, 2], [3, 4]]) if "square" in body or "places" in body else np.ones((4, 4), "i8"),
    }  # fmt: skip
    used = {name: array for name, array in constants.items() if name in body}
    before = graphs.build("float[2,4,6,5] x", f"s = Shape(x) {body}", "int64 y", **used)
    after = before.clone()
    fix_shapes(after)
    remove_unused(after)
    feeds = graphs.feeds_of(before)
    (want,), (got,) = graphs.answers(before, feeds), graphs.answers(after, feeds)
    assert want.shape == got.shape
    assert np.array_equal(want, got)


@pytest.mark.parametrize(("count", "read"), [(4095, True), (4096, True), (4097, False)])
def test_lists_are_read_up_to_a_length(graphs, count, read):
    model = graphs.build("int64[N,1] x", "y = Add(x, k)", "int64 y", k=np.arange(count))
    assert integers(model.graph.initializers["k"]) == (list(range(count)) if read else None)
    shape = ir.Value(name="s", const_value=ir.Tensor(np.ones(count, np.int64)))
    one = ir.Value(name="c", const_value=ir.Tensor(np.ones(1, F)))
    made = ir.Value(name="r")
    assert (cost(ir.Node("", "Reshape", [one, shape], outputs=[made])) is not None) == read


@pytest.mark.parametrize("dtype", ["float", "float16", "double"])
def test_what_is_put_in_has_the_type_of_what_it_reads(graphs, dtype):
    """The passes that follow in the same round ask for it."""
    inputs = ", ".join(f"{dtype}[N,3] {name}" for name in "abc")
    model = graphs.build(inputs, "y = Mean(a, b, c)", f"{dtype} y")
    kind = model.graph.inputs[0].dtype
    split_sums(model)
    assert [node.outputs[0].dtype for node in model.graph] == [kind] * 3
    assert insert_before(model.graph[0], "Neg", [model.graph.inputs[1]], "more").dtype == kind
