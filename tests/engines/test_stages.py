"""Shapes, axes and weights that are fed or computed: a plan ends there, and goes on with what a run knows."""

import numpy as np
import octavo
import pytest
from octavo.calibration import Statistics
from octavo.program import Node, Program, Value


def program(nodes, inputs, constants, outputs):
    """nodes: (op, inputs, output, dtype, attributes). inputs: name -> (dtype, shape)."""
    names = {"int64": "i64", "float32": "f32"}
    values = {name: Value(name, *of) for name, of in inputs.items()}
    values |= {name: Value(name, names[c.dtype.name], c.shape) for name, c in constants.items()}
    values |= {output: Value(output, dtype, None) for _, _, output, dtype, _ in nodes}
    made = [
        Node(op, output, tuple(read), (output,), attributes) for op, read, output, dtype, attributes in nodes
    ]
    return Program(list(inputs), outputs, values, constants, made)


RESHAPED = program(
    [
        ("Relu", ["x"], "r", "f32", {}),
        ("Reshape", ["r", "shape"], "y", "f32", {"allowzero": 0}),
        ("Neg", ["y"], "z", "f32", {}),
        ("Exp", ["r"], "e", "f32", {}),
        ("Add", ["e", "x"], "s", "f32", {}),
    ],
    {"x": ("f32", ("N", 6)), "shape": ("i64", ("R",))},
    {},
    ["z", "s", "x"],
)


@pytest.mark.parametrize("shape", [[12], [3, -1], [2, 0], [1, 2, 1, 6]])
def test_a_fed_shape(same, shape):
    x = np.random.default_rng(0).standard_normal((2, 6)).astype(np.float32)
    same(RESHAPED, {"x": x, "shape": np.array(shape)}, batched=False)


def test_one_session_for_many_fed_shapes():
    session = octavo.Session(RESHAPED)
    x = np.arange(12, dtype=np.float32).reshape(2, 6)
    for rows in [1, 2, 3, 4, 6, 12] * 3:
        z, _, _ = session.run(None, {"x": x, "shape": np.array([rows, -1])})
        assert np.array_equal(z, -x.reshape(rows, -1))


def test_a_fed_shape_that_does_not_fit_is_an_error_and_the_session_goes_on():
    session = octavo.Session(RESHAPED)
    x = np.ones((2, 6), np.float32)
    with pytest.raises(octavo.RunError, match="12 elements"):
        session.run(None, {"x": x, "shape": np.array([5, 2])})
    assert session.run(["z"], {"x": x, "shape": np.array([12])})[0].shape == (12,)


def test_sizes_that_are_computed_twice_over(same):
    """A size from the elements, then another from what it gave."""
    graph = program(
        [
            ("ReduceMax", ["x"], "m", "f32", {"keepdims": 1, "noop_with_empty_axes": 0}),
            ("Cast", ["m"], "n", "i64", {"to": 7}),
            ("Reshape", ["n", "one"], "n1", "i64", {"allowzero": 0}),
            ("Expand", ["x", "n1"], "e", "f32", {}),
            ("ReduceSum", ["e"], "t", "f32", {"keepdims": 1, "noop_with_empty_axes": 0}),
            ("Cast", ["t"], "k", "i64", {"to": 7}),
            ("Reshape", ["k", "one"], "k1", "i64", {"allowzero": 0}),
            ("ConstantOfShape", ["k1", "fill"], "c", "f32", {}),
            ("Concat", ["c", "e"], "y", "f32", {"axis": 0}),
        ],
        {"x": ("f32", ("A",))},
        {"one": np.array([1]), "fill": np.float32([0.5])},
        ["y", "e"],
    )
    for size in (1, 3):
        x = np.full(size, size, np.float32)
        (y, e) = same(graph, {"x": x}, batched=False)
        assert len(e) == size
        assert len(y) == size * size + size


def test_weights_that_are_fed(same):
    graph = program(
        [
            (
                "Conv",
                ["x", "w"],
                "c",
                "f32",
                {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1},
            ),
            ("Relu", ["c"], "y", "f32", {}),
        ],
        {"x": ("f32", ("N", 3, 5, 5)), "w": ("f32", (4, 3, 3, 3))},
        {},
        ["y"],
    )
    session = octavo.Session(graph)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        feeds = {
            n: rng.standard_normal(s).astype(np.float32)
            for n, s in {"x": (2, 3, 5, 5), "w": (4, 3, 3, 3)}.items()
        }
        expected = same(graph, feeds, batched=False)
        assert np.array_equal(session.run(None, feeds)[0], expected[0])


def test_profiles_and_observers_see_every_stage():
    feeds = {"x": np.ones((2, 6), np.float32), "shape": np.array([12])}
    session = octavo.Session(RESHAPED)
    assert {"Relu", "Neg", "Exp"} <= {row.op for row in session.profile(feeds)}  # the sum goes with Exp
    seen = Statistics(["z"], ["extremes"])
    session.observe(feeds, seen)
    assert seen.read("z", "extremes") == {"minimum": -1, "maximum": -1}


KNOWN = program(
    [
        ("Exp", ["c"], "e", "f32", {}),
        ("Shape", ["x"], "s", "i64", {"start": 0, "end": 1}),
        ("Squeeze", ["s"], "n", "i64", {}),
        ("Range", ["zero", "n", "one"], "r", "i64", {}),
        ("Cast", ["r"], "p", "f32", {"to": 1}),
        ("Add", ["x", "p"], "a", "f32", {}),
        ("Reshape", ["a", "shape"], "b", "f32", {"allowzero": 0}),
        ("Log", ["zeros"], "l", "f32", {}),
        ("Mul", ["b", "e"], "m", "f32", {}),
        ("Add", ["m", "l"], "y", "f32", {}),
    ],
    {"x": ("f32", ("N",)), "shape": ("i64", ("R",))},
    {
        "c": np.array([0, -np.inf, 0], np.float32),
        "zeros": np.zeros(1, np.float32),
        "zero": np.array(0),
        "one": np.array(1),
    },
    ["y"],
)
"""e and l follow from constants, p from the length of x; the rest is planned once the shape is read."""


def test_observers_see_what_is_known_before_the_run():
    session = octavo.Session(KNOWN)
    for n in (6, 9):
        feeds = {"x": np.ones(n, np.float32), "shape": np.array([-1, 3])}
        seen = Statistics(["e", "p", "a", "l"], ["counts", "extremes"])
        session.observe(feeds, seen)
        counts = {name: list(seen.read(name, "counts").values()) for name in seen.values}
        assert counts == {"e": [3, 0, 0], "p": [n, 0, 0], "a": [n, 0, 0], "l": [1, 0, 1]}
        extremes = {name: list(seen.read(name, "extremes").values()) for name in seen.values}
        assert extremes == {"e": [0, 1], "p": [0, n - 1], "a": [1, n], "l": []}
