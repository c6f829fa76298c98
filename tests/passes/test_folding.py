"""Constants are computed on load, but no file makes that a bomb."""

import re
import time
from functools import partial

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest
from octavo import passes
from octavo.errors import ModelError
from octavo.lowering import evaluate
from octavo.passes import folding, should_fold
from octavo.passes.costs import cost
from octavo.passes.duplicates import remove_unused
from octavo.passes.folding import MAX_BYTES, MAX_STEPS, MAX_TOTAL_BYTES, MAX_TOTAL_STEPS, fold_constants
from octavo.passes.shapes import fix_shapes

F = np.float32
BIG = np.int64(1 << 40)


def ints(*numbers):
    return np.array(numbers, np.int64)


def stored(model):
    return sum(value.const_value.nbytes for value in model.graph.initializers.values())


def test_pads_as_torch_writes_them(graphs):
    body = """
        a = ConstantOfShape<value = int64[1] {0}>(n) b = Concat<axis=0>(p, a) c = Reshape(b, s)
        d = Slice(c, i, j, k, l) e = Transpose<perm=[1,0]>(d) f = Reshape(e, m) g = Cast<to=7>(f)
        y = Pad(x, g)
    """
    constants = {"n": ints(4), "p": ints(0, 0, 0, 0), "s": ints(-1, 2), "i": ints(0), "j": ints(-9)}
    constants |= {"k": ints(0), "l": ints(-1), "m": ints(-1)}
    constants |= {"p": ints(1, 2, 3, 4), "i": ints(-1)}
    before = graphs.build("float[N,2,5,5] x", body, **constants)
    after = before.clone()
    fold_constants(after, evaluate)
    graphs.check(before, after, "Pad")


def test_static_shapes(graphs):
    pick = "s = Shape(x) h = Gather<axis=0>(s, i) g = Unsqueeze(h, z) "
    cut = "s = Shape(x) g = Slice(s, b, e) "
    rest = "t = Mul(g, k) c = Concat<axis=0>(m, t) y = Reshape(x, c)"
    constants = {"k": ints(3), "m": ints(-1)}
    graphs.run(
        [fix_shapes, partial(fold_constants, evaluate=evaluate), fix_shapes, remove_unused],
        [
            (
                "picked",
                "float[N,6,4] x",
                pick + rest,
                {"i": np.int64(-1), "z": ints(0), **constants},
                "Reshape",
            ),
            ("cut", "float[N,6,4] x", cut + rest, {"b": ints(-1), "e": ints(99), **constants}, "Reshape"),
        ],
    )


BOMBS = {
    "Range": ("r = Range(z, n, o)", {"z": np.int64(0), "n": BIG, "o": np.int64(1)}),
    "Range of floats": ("r = Range(z, n, o)", {"z": F(0), "n": F(1), "o": F(1e-30)}),
    "ConstantOfShape": ("r = ConstantOfShape(n)", {"n": ints(1 << 20, 1 << 20)}),
    "ConstantOfShape, overflow": ("r = ConstantOfShape(n)", {"n": ints(1 << 32, 1 << 32)}),
    "Expand": ("r = Expand(z, n)", {"z": F(0), "n": ints(1 << 20, 1 << 20)}),
    "Tile": ("r = Tile(z, n)", {"z": np.zeros(4, F), "n": ints(1 << 40)}),
    "Pad": ("r = Pad(z, n)", {"z": np.zeros(4, F), "n": ints(1 << 40, 0)}),
    "OneHot": ("r = OneHot(i, n, z)", {"i": ints(0), "n": BIG, "z": np.array([0, 1], F)}),
    "Gather": ("r = Gather(z, i)", {"z": np.zeros((1, 1 << 14), F), "i": np.zeros(1 << 14, np.int64)}),
    "an outer product": ("r = Add(z, o)", {"z": np.zeros((1 << 13, 1), F), "o": np.zeros((1, 1 << 13), F)}),
    "Resize": ("r = Resize(z, , s)", {"z": np.zeros((1, 1, 2, 2), F), "s": np.array([1, 1, 1e5, 1e5], F)}),
    "NonZero": ("r = NonZero(z)", {"z": np.ones((1, 1 << 21), F)}),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_not_computed(graphs, name):
    body, constants = BOMBS[name]
    element = "int64" if name in ("Range", "NonZero") else "float"
    model = graphs.build("float[1] x", f"{body} y = Neg(r)", f"{element} y", **constants)
    bomb = next(iter(model.graph))
    assert not should_fold(bomb)
    before = stored(model)
    started = time.perf_counter()
    assert stored(passes.simplify(model, evaluate)) <= before
    assert time.perf_counter() - started < 5


def test_a_claimed_shape_does_not_hide_a_bomb(graphs):
    model = graphs.build("float[1] x", "r = ConstantOfShape(n) y = Add(x, r)", n=ints(1 << 31))
    next(iter(model.graph)).outputs[0].shape = ir.Shape([1])
    assert not should_fold(next(iter(model.graph)))


def test_many_small_ones_are_no_bomb_either(graphs):
    count = MAX_TOTAL_BYTES // MAX_BYTES + 4
    constants = {f"n{i}": ints(MAX_BYTES // 4 - i) for i in range(count)}
    one = "r{0} = ConstantOfShape(n{0}) p{0} = Add(x, r{0}) s{0} = ReduceMax(p{0})"
    body = " ".join(one.format(i) for i in range(count))
    total = "y = Sum(x, " + ", ".join(f"s{i}" for i in range(count)) + ")"
    model = graphs.build("float[1] x", f"{body} {total}", **constants)
    assert all(should_fold(node) for node in model.graph if node.op_type == "ConstantOfShape")
    simple = passes.simplify(model, evaluate)
    assert MAX_TOTAL_BYTES - MAX_BYTES < stored(simple) <= MAX_TOTAL_BYTES


def test_the_limit_is_on_the_output(graphs):
    for elements, folds in ((MAX_BYTES // 4, True), (MAX_BYTES // 4 + 1, False)):
        model = graphs.build("float[1] x", "r = ConstantOfShape(n) y = Neg(r)", n=ints(elements))
        node = next(iter(model.graph))
        assert cost(node).bytes == 4 * elements
        assert should_fold(node) is folds


def test_a_large_weight_may_be_turned_if_nothing_else_reads_it(graphs):
    weight = np.zeros((1 << 11, 1 + (1 << 11)), F)
    once = graphs.build("float[N,2049] x", "t = Transpose(w) y = MatMul(x, t)", w=weight)
    twice = graphs.build("float[N,2048] x", "t = Transpose(w) a = MatMul(x, w) y = MatMul(a, t)", w=weight)
    assert should_fold(next(iter(once.graph)))
    assert not should_fold(next(iter(twice.graph)))


def test_what_is_an_answer_or_one_of_several_pieces_stays(graphs):
    """What the caller is given is not freed, and of a node of several outputs not even one is followed."""
    weight = np.zeros((1 << 11, 1 + (1 << 11)), F)
    kept = graphs.build("float[N,2049] x", "t = Transpose(w) y = MatMul(x, t)", "y", w=weight)
    assert should_fold(next(iter(kept.graph)))
    kept.graph.outputs.append(kept.graph.initializers["w"])
    assert not should_fold(next(iter(kept.graph)))
    thin = {
        "a": np.zeros((1 << 12, 2), F),
        "b": np.zeros((2, 1 << 12), F),
        "w": np.zeros((1 << 12, 1 << 12), F),
    }
    norm = {"e": np.zeros((1 << 12, 1 << 11), F), "g": np.ones(1 << 11, F)}
    norm["w"] = np.zeros((2, 1 << 12, 1 << 11), F)
    for body, outputs, folds in (
        ("t = MatMul(a, b) v = Add(w, t) y = Mul(x, v)", "y", True),
        ("t = MatMul(a, b) v = Add(w, t) y = Mul(x, v)", "y,t", False),
        ("t, u = LayerNormalization(e, g) v = Add(w, t) y = Mul(x, v)", "y", False),
    ):
        constants = thin if "MatMul" in body else norm
        model = graphs.build("float[1] x", body, outputs, **constants)
        assert should_fold(next(iter(model.graph))) is folds, body


def test_a_weight_on_its_way_into_one_as_large_may_be_larger_too(graphs):
    """A product of two thin matrices that is added to a weight; one that is added to the input stays."""
    thin = {"a": np.zeros((1 << 12, 2), F), "b": np.zeros((2, 1 << 11), F), "k": F(2)}
    weight = np.zeros((1 << 12, 1 << 11), F)
    for use, folds in (("v = Add(w, t)", True), ("v = Mul(k, t)", False), ("v = Add(x, t)", False)):
        held = thin if use[-5] == "x" or "Mul" in use else thin | {"w": weight}
        model = graphs.build("float[1,2048] x", f"s = MatMul(a, b) t = Mul(k, s) {use} y = Neg(v)", **held)
        product = next(iter(model.graph))
        assert cost(product).bytes == 2 * MAX_BYTES
        assert should_fold(product) is folds, use


def test_what_grows_and_shrinks_again_is_no_growth(graphs, monkeypatch):
    """Weights that a table as large is added to: no more than one table is there at a time."""
    count, shape = 20, (1 << 8, 1 << 7)
    weights = {f"w{i}": np.full(shape, i, F) for i in range(count)}
    one = "e{0} = Expand(k, s) v{0} = Add(w{0}, e{0}) p{0} = Mul(x, v{0}) r{0} = ReduceMax(p{0})"
    body = " ".join(one.format(i) for i in range(count))
    total = "y = Sum(x, " + ", ".join(f"r{i}" for i in range(count)) + ")"
    model = graphs.build("float[1] x", f"{body} {total}", **weights, k=F(1), s=ints(*shape))
    table = 4 * shape[0] * shape[1]
    for room, folds in ((2 * table, True), (table // 2, False)):
        monkeypatch.setattr(folding, "MAX_TOTAL_BYTES", room)
        left = {node.op_type for node in passes.simplify(model, evaluate).graph}
        assert ("Expand" not in left) is folds


@pytest.mark.parametrize(("less", "folds"), [(0, True), (1, False)])
@pytest.mark.parametrize("limit", ["MAX_TOTAL_BYTES", "MAX_TOTAL_STEPS", "MAX_STEPS"])
def test_limits_that_are_just_met(graphs, monkeypatch, limit, less, folds):
    """300 bytes come for 12 that go; work is 4 steps an element, read or made."""
    model = graphs.build("float[75] x", "r = Expand(k, s) y = Add(x, r)", k=F(1), s=ints(75))
    most = 300 - 12 if limit == "MAX_TOTAL_BYTES" else 4 * (75 + 1 + 1)
    monkeypatch.setattr(folding, limit, most - less)
    fold_constants(model, evaluate)
    assert ("Expand" not in {node.op_type for node in model.graph}) == folds


HARD = {
    "MatMul": ("r = MatMul(a, b)", {"a": np.ones((1500, 4000), F), "b": np.ones((4000, 3000), F)}),
    "MatMul of int64": ("r = MatMul(a, a)", {"a": np.ones((1700, 1700), np.int64)}),
    "Conv": ("r = Conv(a, b)", {"a": np.ones((1, 512, 90, 90), F), "b": np.ones((512, 512, 3, 3), F)}),
    "MaxPool": (
        "r = MaxPool<kernel_shape=[4000,4000], pads=[2000,2000,2000,2000]>(a)",
        {"a": np.ones((1, 1, 4000, 4000), F)},
    ),
    "RoiAlign": (
        "r = RoiAlign<output_height=8, output_width=8, sampling_ratio=4000>(a, b, c)",
        {"a": np.ones((1, 1, 4, 4), F), "b": np.ones((8, 4), F), "c": np.zeros(8, np.int64)},
    ),
    "NonMaxSuppression": (
        "r = NonMaxSuppression(a, b, c)",
        {"a": np.ones((1, 70000, 4), F), "b": np.ones((1, 1, 70000), F), "c": np.int64(70000)},
    ),
}


@pytest.mark.parametrize("name", HARD)
def test_hard_work_is_not_done_while_loading(graphs, name):
    body, constants = HARD[name]
    model = graphs.build("float[1] x", f"{body} y = Shape(r)", "int64 y", **constants)
    node = next(iter(model.graph))
    assert cost(node).bytes <= 4 * MAX_BYTES
    assert cost(node).steps > MAX_STEPS
    assert not should_fold(node)
    started = time.perf_counter()
    passes.simplify(model, evaluate)
    assert time.perf_counter() - started < 5


def test_the_work_of_all_nodes_is_bounded(graphs):
    """Each is small enough; what computes them counts their calls instead of working."""
    calls = []

    def count(node):
        calls.append(cost(node).steps)
        return [np.zeros((1000, 1000), F)]

    body = " ".join(f"r{i} = MatMul(a, b)" for i in range(40))
    model = graphs.build(
        "float[1] x",
        f"{body} y = Sum(x, " + ", ".join(f"r{i}" for i in range(40)) + ")",
        a=np.ones((1000, 4000), F),
        b=np.ones((4000, 1000), F),
    )
    fold_constants(model, count)
    assert len(calls) == MAX_TOTAL_STEPS // calls[0] < 40


def test_an_input_with_a_default_is_not_a_constant(graphs):
    model = graphs.build("float[2] x, float[2] c", "r = Neg(c) y = Add(x, r)", c=np.ones(2, F))
    assert not fold_constants(model, evaluate)


def test_sequences_are_not_written_out_without_end(graphs):
    model = graphs.build(
        "float[1000000000] x", "s = SplitToSequence(x, n) y = SequenceAt(s, i)", n=np.int64(1), i=np.int64(0)
    )
    with pytest.raises(ModelError, match="SplitToSequence"):
        passes.simplify(model, evaluate)


RANDOM = {
    "RandomNormal<shape=[2,2]>()": "float",
    "RandomNormalLike(c)": "float",
    "RandomUniform<shape=[2,2]>()": "float",
    "Multinomial(c)": "int32",
}


@pytest.mark.parametrize("body", RANDOM)
def test_chance_is_no_constant(graphs, body):
    model = graphs.build("float[2,2] x", f"y = {body}", f"{RANDOM[body]} y", c=np.ones((2, 2), F))
    assert not fold_constants(model, evaluate)
    assert len(model.graph) == 1


@pytest.mark.parametrize("body", ["Gather(c, i)", "Det(c)", "MatMul(c, w)", "Neg(text)"])
def test_what_fails_or_is_lacking_stays(graphs, body):
    """An index beyond the axis, an operator that octavo has none for, shapes that do not fit, no numbers."""
    constants = {
        "c": np.ones((2, 2), F),
        "i": ints(5),
        "w": np.ones((3, 3), F),
        "text": np.array(["a"], object),
    }
    read = {name: array for name, array in constants.items() if name in re.findall(r"\w+", body)[1:]}
    text = f'<ir_version: 10, opset_import: ["" : 25]> g (float[2,2] x) => (float y) {{ y = {body} }}'
    proto = onnx.parser.parse_model(text)
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(a, name) for name, a in read.items())
    model = ir.from_proto(proto)
    fold_constants(model, evaluate)
    assert [node.op_type for node in model.graph] == [body.split("(")[0]]


def test_types_that_octavo_lacks_are_computed_on_their_way_to_those_it_has(graphs):
    """Weights as bfloat16: what moves them and widens them to float32 is exact."""
    weight = np.array([[1.5, -2.25], [0.75, 3e38]], F).astype(ir.DataType.BFLOAT16.numpy())
    model = graphs.build("float[2,2] x", "t = Transpose(w) c = Cast<to=1>(t) y = Add(x, c)", w=weight)
    simple = passes.simplify(model, evaluate)
    assert [node.op_type for node in simple.graph] == ["Add"]
    (folded,) = (value.const_value.numpy() for value in simple.graph.initializers.values())
    assert folded.dtype == F
    assert np.array_equal(folded, weight.T.astype(F))


def test_constants_within_a_branch(graphs):
    """The branch that a constant takes is written out, and what it computes of constants is folded."""
    body = """
        c = Greater(k, z)
        y = If (c) <then_branch = g () => (float[2,2] t) { e = Exp(w) t = MatMul(x, e) },
                    else_branch = h () => (float[2,2] f) { f = Identity(x) }>
    """
    model = graphs.build("float[2,2] x", body, k=F(2), z=F(1), w=np.ones((2, 2), F))
    assert [node.op_type for node in passes.simplify(model, evaluate).graph] == ["MatMul"]


def test_constants_in_a_branch_that_the_input_takes(graphs):
    body = """
        s = ReduceMax<keepdims=0>(x) c = Greater(s, z)
        y = If (c) <then_branch = g () => (float[2,2] t) { e = Exp(w) t = MatMul(x, e) },
                    else_branch = h () => (float[2,2] f) { f = Identity(x) }>
    """
    model = graphs.build("float[2,2] x", body, z=F(1), w=np.ones((2, 2), F))
    fold_constants(model, evaluate)
    assert sorted(node.op_type for node in model.graph.all_nodes()) == [
        "Greater",
        "Identity",
        "If",
        "MatMul",
        "ReduceMax",
    ]


def test_what_follows_from_fixed_axes_is_constant(graphs):
    """A scale by the root of a fixed width, and positions along it; the batch is free."""
    body = """
        s = Shape(x) n = Gather<axis=0>(s, i) f = Cast<to=1>(n) r = Sqrt(f) d = Div(x, r)
        p = Range(z, n, o) q = Cast<to=1>(p) e = Sin(q) y = Add(d, e)
    """
    constants = {"i": np.int64(1), "z": np.int64(0), "o": np.int64(1)}
    model = graphs.build("float[N,6] x", body, **constants)
    simple = passes.simplify(model, evaluate)
    assert {node.op_type for node in simple.graph} <= {"Add", "Mul", "Div"}
    free = graphs.build("float[6,N] x", body, **constants)
    assert "Sin" in {node.op_type for node in passes.simplify(free, evaluate).graph}
