"""What is picked from a shape is what a run picks, for every index, cut and step; axes keep their names."""

import itertools

import numpy as np
import pytest
from octavo.passes.duplicates import remove_unused
from octavo.passes.shapes import fix_shapes, reshape_target
from octavo.passes.softmax import restore_softmax

F = np.float32
X = "float[5,6,4,7] x"


def ints(*numbers):
    return np.array(numbers, np.int64)


def same(graphs, body, inputs=X, output="int64 y", passes=(fix_shapes, remove_unused), **constants):
    before = graphs.build(inputs, body, output, **constants)
    after = before.clone()
    for run in passes:
        run(after)
    feeds = graphs.feeds_of(before)
    (want,), (got,) = graphs.answers(before, feeds), graphs.answers(after, feeds)
    assert want.shape == got.shape
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    return set(graphs.ops(after))


@pytest.mark.parametrize("step", [None, 1, 2, 3, -1, -2])
def test_cuts(graphs, step):
    """Of the four axes, from and to every place; a step of one alone is followed."""
    for start, stop in itertools.product((-9, -4, -2, 0, 1, 3, 9), (-9, -3, -1, 0, 2, 4, 9)):
        constants = {"b": ints(start), "e": ints(stop), "i": ints(0)}
        steps = "" if step is None else ", t"
        if step is not None:
            constants["t"] = ints(step)
        left = same(
            graphs, f"s = Shape(x) g = Slice(s, b, e, i{steps}) y = Concat<axis=0>(g, g)", **constants
        )
        assert ("Slice" not in left) == (step in (None, 1)), (start, stop)


@pytest.mark.parametrize("index", [-4, -1, 0, 2, 3])
@pytest.mark.parametrize("shape", ["", "start=1", "start=-3", "end=-1", "start=1, end=3", "start=-9, end=9"])
def test_picks(graphs, index, shape):
    sizes = [5, 6, 4, 7]
    given = dict(part.split("=") for part in shape.split(", ") if part)
    sizes = sizes[int(given.get("start", 0)) : int(given.get("end", 4))]
    if not -len(sizes) <= index < len(sizes):
        return
    taken = f"s = Shape<{shape}>(x)".replace("<>", "")
    for places, body in (
        (np.int64(index), "g = Gather(s, k) y = Add(g, g)"),
        (ints(index, 0), "g = Gather(s, k) y = Add(g, g)"),
        (np.int64(index), "g = Gather(s, k) u = Unsqueeze(g, z) q = Squeeze(u) y = Add(q, q)"),
    ):
        constants = {"k": places} | ({"z": ints(0)} if "z)" in body else {})
        assert same(graphs, f"{taken} {body}", **constants) == {"Add"}


@pytest.mark.parametrize(
    ("before", "after", "target"),
    [
        (("N", 3, 4), ("N", 12), [0, 12]),
        (("N", 3, 4), (3, "N", 4), [3, -1, 4]),
        (("N", "T", 4), ("N", "T", 2, 2), [0, 0, 2, 2]),
        (("N", "T", 4), ("T", "N", 4), None),
        (("N", "T", 4), ("N", None, 4), [0, -1, 4]),
        (("N", "T", 4), (None, None, 4), None),
        ((2, 3), (6,), [6]),
        ((2, 0), (0,), None),
        ((2, 3), (0, 3), None),
        (("N",), ("N", 1), [0, 1]),
        (("N",), (1, "N"), [1, -1]),
        ((None, 3), (None, 3), [-1, 3]),
        (None, (2, 3), None),
        ((2, 3), None, None),
    ],
)
def test_the_target_of_a_reshape(before, after, target):
    assert reshape_target(before, after) == target


def plane(op, axis, size):
    back = ", ".join(map(str, size))
    return f"a = Flatten<axis={axis}>(x) b = {op}(a) y = Reshape(b, s)", ints(*size), back


@pytest.mark.parametrize(
    "op", ["Softmax", "Softmax<axis=1>", "Softmax<axis=-1>", "Softmax<axis=0>", "LogSoftmax"]
)
@pytest.mark.parametrize(
    "size", [(2, 5), (2, 5, 1), (2, 1, 5), (3, 1, 4, 1), (3, 2, 4), (3, 3, 1), (1, 1, 1)]
)
def test_a_softmax_over_a_plane(graphs, op, size):
    """By Flatten at every axis, counted from either end, and by Reshape."""
    inputs = f"float[{','.join(map(str, size))}] x"
    for axis in range(-len(size), len(size) + 1):
        body, back, _ = plane(op, axis, size)
        left = same(graphs, body, inputs, "float y", (restore_softmax, remove_unused), s=back)
        rest = size[axis + len(size) if axis < 0 else axis :]
        alone = sum(extent != 1 for extent in rest) <= 1 and rest and "axis=0" not in op
        assert ("Flatten" not in left) == bool(alone), axis
    for columns in {int(np.prod(size[axis:])) for axis in range(len(size))}:
        body = f"a = Reshape(x, p) b = {op}(a) y = Reshape(b, s)"
        same(
            graphs,
            body,
            inputs,
            "float y",
            (restore_softmax, remove_unused),
            s=ints(*size),
            p=ints(-1, columns),
        )
