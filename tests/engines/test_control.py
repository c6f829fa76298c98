"""If and Loop on every engine: which nodes run and how often, beside numpy and plain Python."""

import time
from functools import partial

import numpy as np
import octavo
import pytest
from octavo.calibration import Statistics
from octavo.program import Body, Node, Program, Value
from octavo.program.bodies import MAX_DEPTH, with_bodies

TYPES = {"i": "i64", "c": "bool", "c2": "bool", "on": "bool"}


def value(name, shape=None):
    return Value(name, TYPES.get(name, "i64" if name.startswith("n") else "f32"), shape)


def program(nodes, inputs, outputs, constants=None):
    """inputs: names and shapes. What bodies read from outside is found."""
    constants = {name: np.asarray(array) for name, array in (constants or {}).items()}
    kinds = {np.dtype(np.float32): "f32", np.dtype(np.int64): "i64", np.dtype(np.bool_): "bool"}
    values = {name: Value(name, kinds[array.dtype], array.shape) for name, array in constants.items()}
    values |= {name: value(name, shape) for name, shape in inputs.items()}
    nodes = [within(node, values, constants) for node in nodes]
    return Program([*inputs], outputs, values, constants, nodes)


def within(node, values, constants):
    bodies = {
        key: Body(body.inputs, body.outputs, tuple(within(inner, values, constants) for inner in body.nodes))
        for key, body in node.bodies.items()
    }
    made = [*node.outputs, *(name for body in bodies.values() for name in body.inputs)]
    values |= {name: value(name) for name in made if name and name not in values}
    return with_bodies(node, bodies, constants) if bodies else node


def op(kind, inputs, output, **attributes):
    return Node(kind, output, tuple(inputs), (output,), attributes)


def branches(condition, then, otherwise, output="y"):
    """An If of lists of nodes, the last of which gives what it gives."""
    bodies = {
        key: Body((), (nodes[-1].outputs[0],), tuple(nodes))
        for key, nodes in (("else_branch", otherwise), ("then_branch", then))
    }
    return Node("If", f"if of {output}", (condition,), (output,), {}, bodies)


def loop(inputs, body, outputs, name="loop"):
    return Node("Loop", name, inputs, outputs, {}, {"body": body})


def both(of):
    """The reference and a session, as functions of the feeds."""
    return partial(octavo.reference.run, of), partial(octavo.Session(of, threads=1).run, None)


X = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
SHAPES = {"x": ("N", 4), "on": ()}


def test_only_the_branch_that_is_taken_runs(same):
    """The other one would fail: 12 elements are not 5."""
    chosen = program(
        [
            branches(
                "on",
                [op("Neg", ["x"], "t")],
                [op("Reshape", ["x", "five"], "e", allowzero=0)],
            ),
            op("Exp", ["y"], "z"),
        ],
        SHAPES,
        ["z", "y"],
        {"five": np.array([5])},
    )
    z, y = same(chosen, {"x": X, "on": np.array(True)}, batched=False)
    assert np.array_equal(y, -X)
    assert z.shape == X.shape
    session = octavo.Session(chosen)
    with pytest.raises(octavo.RunError, match="12 elements") as caught:
        session.run(None, {"x": X, "on": np.array(False)})
    assert caught.value.node == "e"
    assert np.array_equal(session.run(["y"], {"x": X, "on": np.array(True)})[0], -X)


@pytest.mark.parametrize("on", [True, False])
def test_branches_of_other_shapes(same, on):
    chosen = program(
        [
            branches(
                "on",
                [op("ReduceSum", ["x"], "t", keepdims=0, noop_with_empty_axes=0)],
                [op("Relu", ["x"], "e")],
            ),
            op("Mul", ["y", "y"], "z"),
        ],
        SHAPES,
        ["z"],
    )
    (z,) = same(chosen, {"x": X, "on": np.array(on)}, batched=False)
    assert z.shape == (() if on else X.shape)


def test_a_branch_that_gives_what_is_outside(same):
    """An input, a constant, and the same value twice."""
    bodies = {
        "else_branch": Body((), ("x", "k"), ()),
        "then_branch": Body((), ("t", "t"), (op("Neg", ["x"], "t"),)),
    }
    node = Node("If", "if", ("on",), ("y", "z"), {}, bodies)
    chosen = program([node], SHAPES, ["y", "z"], {"k": np.float32([7])})
    y, z = same(chosen, {"x": X, "on": np.array(False)}, batched=False)
    assert np.array_equal(y, X)
    assert z.tolist() == [7]
    y, z = same(chosen, {"x": X, "on": np.array(True)}, batched=False)
    assert np.array_equal(y, -X)
    assert np.array_equal(z, -X)


SUMS = loop(
    ("n", "", "x"),
    Body(
        ("i", "c", "s"),
        ("c", "s2", "row"),
        (op("Add", ["s", "x"], "s2"), op("Mul", ["s2", "half"], "row")),
    ),
    ("last", "rows"),
)


@pytest.mark.parametrize("trips", [0, 1, 2, 7, -3])
def test_a_state_and_what_is_stacked(same, trips):
    looped = program([SUMS], {"x": (3, 4), "n": ()}, ["last", "rows"], {"half": np.float32(0.5)})
    looped.values["row"] = Value("row", "f32", (3, 4))
    last, rows = same(looped, {"x": X, "n": np.array(trips)}, batched=False)
    state, stacked = X, []
    for _ in range(trips):
        state = state + X
        stacked.append(state * np.float32(0.5))
    assert np.array_equal(last, state)
    assert rows.shape == (len(stacked), 3, 4)
    assert np.array_equal(rows, np.array(stacked).reshape(rows.shape))


def test_a_condition_ends_a_loop_without_a_number_of_trips(same):
    body = Body(
        ("i", "c", "s"),
        ("c2", "s2", "i"),
        (
            op("Mul", ["s", "two"], "s2"),
            op("ReduceMax", ["s2"], "most", keepdims=0, noop_with_empty_axes=0),
            op("Less", ["most", "end"], "c2"),
        ),
    )
    constants = {"two": np.float32(2), "end": np.float32(1000)}
    looped = program([loop(("", "", "x"), body, ("y", "n_all"))], {"x": ("N", 4)}, ["y", "n_all"], constants)
    y, trips = same(looped, {"x": np.ones((2, 4), np.float32)}, batched=False)
    assert y[0, 0] == 1024
    assert trips.tolist() == [*range(10)]


def test_a_state_that_grows(same):
    """A plan for each shape."""
    body = Body(("i", "c", "s"), ("c", "s2"), (op("Concat", ["s", "x"], "s2", axis=0),))
    looped = program([loop(("n", "", "x"), body, ("y",))], {"x": ("N", 4), "n": ()}, ["y"])
    (y,) = same(looped, {"x": X, "n": np.array(20)}, batched=False)
    assert np.array_equal(y, np.concatenate([X] * 21))


def test_what_is_stacked_must_have_one_shape():
    body = Body(("i", "c", "s"), ("c", "s2", "s2"), (op("Concat", ["s", "x"], "s2", axis=0),))
    looped = program([loop(("n", "", "x"), body, ("y", "z"))], {"x": ("N", 4), "n": ()}, ["y", "z"])
    for run in (
        lambda feeds: octavo.reference.run(looped, feeds),
        lambda f: octavo.Session(looped).run(None, f),
    ):
        with pytest.raises(octavo.RunError, match="stacks arrays of the shape") as caught:
            run({"x": X, "n": np.array(2)})
        assert caught.value.node == "loop"


def test_loops_in_loops_and_branches_in_those(same):
    """Sums over a triangle, of which odd rows are negative; what is outside is read from the innermost."""
    inner = loop(
        ("i", "", "s"),
        Body(
            ("ni", "c_inner", "t"),
            ("c_inner", "t2"),
            (
                op("Mod", ["i", "two"], "n_rest", fmod=0),
                op("Equal", ["n_rest", "one"], "on_odd"),
                branches("on_odd", [op("Sub", ["t", "x"], "minus")], [op("Add", ["t", "x"], "plus")], "t2"),
            ),
        ),
        ("s2",),
        "inner",
    )
    TYPES.update({"on_odd": "bool", "c_inner": "bool"})
    outer = loop(("n", "", "zero"), Body(("i", "c", "s"), ("c", "s2"), (inner,)), ("y",), "outer")
    nested = program(
        [outer],
        {"x": ("N", 4), "n": ()},
        ["y"],
        {"zero": np.zeros((1, 4), np.float32), "two": np.array(2), "one": np.array(1)},
    )
    (y,) = same(nested, {"x": X[:1], "n": np.array(6)}, batched=False)
    state = np.zeros((1, 4), np.float32)
    for row in range(6):
        for _ in range(row):
            state = state - X[:1] if row % 2 else state + X[:1]
    assert np.array_equal(y, state)


def test_a_body_that_waits_for_what_it_is_given(same):
    """A shape from the count of the trip: the body runs in stages."""
    body = Body(
        ("i", "c", "s"),
        ("c", "s2"),
        (
            op("Add", ["i", "one"], "ni"),
            op("Reshape", ["ni", "one"], "ni1", allowzero=0),
            op("Expand", ["x", "ni1"], "e"),
            op("ReduceSum", ["e"], "t", keepdims=0, noop_with_empty_axes=0),
            op("Add", ["s", "t"], "s2"),
        ),
    )
    looped = program(
        [loop(("n", "", "x"), body, ("y",))], {"x": (1,), "n": ()}, ["y"], {"one": np.array([1])}
    )
    (y,) = same(looped, {"x": np.float32([1]), "n": np.array(5)}, batched=False)
    assert y.tolist() == [1 + 1 + 2 + 3 + 4 + 5]


def test_a_condition_must_be_one_element():
    chosen = program(
        [branches("on", [op("Neg", ["x"], "t")], [op("Exp", ["x"], "e")])], {**SHAPES, "on": None}, ["y"]
    )
    for run in (
        lambda feeds: octavo.reference.run(chosen, feeds),
        lambda f: octavo.Session(chosen).run(None, f),
    ):
        assert run({"x": X, "on": np.array([[True]])})[0].shape == X.shape
        with pytest.raises(octavo.RunError, match="its condition is of the shape"):
            run({"x": X, "on": np.array([True, True])})


def test_profiles_and_observers_see_every_trip():
    looped = program([SUMS], {"x": (3, 4), "n": ()}, ["last", "rows"], {"half": np.float32(0.5)})
    session, feeds = octavo.Session(looped), {"x": np.ones((3, 4), np.float32), "n": np.array(5)}
    rows = [row.op for row in session.profile(feeds)]
    assert rows.count("Add") == 1
    seen = Statistics(["s2", "row", "x"], ["extremes", "counts"])
    session.observe(feeds, seen)
    assert seen.read("s2", "extremes") == {"minimum": 2, "maximum": 6}
    assert seen.read("row", "extremes") == {"minimum": 1, "maximum": 3}
    assert seen.read("x", "extremes") == {"minimum": 1, "maximum": 1}


def test_weights_are_packed_once_for_the_whole_and_its_bodies(same):
    weights = np.random.default_rng(1).standard_normal((4, 4)).astype(np.float32)
    shared = program(
        [
            op("MatMul", ["x", "w"], "a"),
            branches("on", [op("MatMul", ["a", "w"], "t")], [op("MatMul", ["x", "w"], "e")]),
        ],
        SHAPES,
        ["y"],
        {"w": weights},
    )
    for on in (True, False):
        same(shared, {"x": X, "on": np.array(on)}, batched=False)


def test_sub_programs_lie_only_so_deep():
    def nested(depth):
        node = op("Neg", ["x"], f"v{depth}")
        for level in reversed(range(depth)):
            otherwise = op("Exp", ["x"], f"e{level}")
            node = branches("on", [node], [otherwise], f"v{level}")
        return program([node], SHAPES, ["v0"])

    octavo.Session(nested(MAX_DEPTH)).run(None, {"x": X, "on": np.array(True)})
    with pytest.raises(octavo.ArtifactError, match=f"lies within {MAX_DEPTH}"):
        octavo.Session(nested(MAX_DEPTH + 1))


def test_a_trip_costs_little_beyond_its_kernels():
    """The plan is looked up once, and nothing is copied: under 1.5 us a trip, of which a tenth is usual."""
    body = Body(("i", "c", "s"), ("c", "s2"), (op("Add", ["s", "x"], "s2"),))
    looped = program([loop(("n", "", "x"), body, ("y",))], {"x": (1, 16), "n": ()}, ["y"])
    session, trips = octavo.Session(looped, threads=1), 10_000
    feeds = {"x": np.ones((1, 16), np.float32), "n": np.array(trips)}
    kernels = min(sum(row.seconds for row in session.profile(feeds)) for _ in range(5))

    def timed():
        start = time.perf_counter()
        session.run(None, feeds)
        return time.perf_counter() - start

    assert min(timed() for _ in range(9)) - kernels < trips * 1.5e-6
