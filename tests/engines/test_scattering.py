"""The ops that read or write elements at indices, on every engine; and the answer to wrong indices."""

import numpy as np
import octavo
import pytest
from octavo.program import Node, Program, Value
from scattering_cases import CASES
from single_node import Case


@pytest.mark.parametrize("family", CASES)
def test_engines_agree(same, family):
    for case in CASES[family]:
        program, feeds = case.program()
        same(program, feeds, batched=False)


@pytest.mark.parametrize("family", CASES)
def test_by_known_indices(same, family):
    for case in CASES[family][::4]:
        program, feeds = case.program(constants=(1,))
        same(program, feeds, batched=False)


X = np.arange(12, dtype=np.float32).reshape(3, 4)
SET = {"reduction": "none"}
PLANES = X.reshape(1, 1, 3, 4)
UNPOOL = {"kernel_shape": [1, 1], "strides": [1, 1], "pads": [0] * 4}
LINEAR = {"axis": 1, "mode": "linear"}
WRONG = {
    "index 3 (element 1) is outside the 3 elements of axis 0": [
        Case("GatherElements", [X, np.array([[0, 3]])], {"axis": 0}, ("f32",)),
        Case("GatherND", [X, np.array([[0], [3]])], {"batch_dims": 0}, ("f32",)),
        Case("ScatterElements", [X, np.array([[0, 3]]), X[:1, :2]], SET | {"axis": 0}, ("f32",)),
        Case("ScatterND", [X, np.array([[0], [3]]), X[:2]], SET, ("f32",)),
    ],
    "index -5 (element 1) is outside the 4 elements of axis 1": [
        Case("GatherElements", [X, np.array([[-4, -5]])], {"axis": 1}, ("f32",)),
        Case("GatherND", [X, np.array([[0, -5], [0, 9]])], {"batch_dims": 0}, ("f32",)),
        Case("GatherND", [X, np.array([[0], [-5], [9]])], {"batch_dims": 1}, ("f32",)),
        Case("ScatterND", [X, np.array([[0, -5]]), X[0, :1]], SET, ("f32",)),
    ],
    "length 5 of sequence 1 is outside 0..4": [
        Case("ReverseSequence", [X, np.array([4, 5, -1])], {"batch_axis": 0, "time_axis": 1}, ("f32",)),
    ],
    "2 elements from 3 on (sequence 1) do not fit into 4": [
        Case("TensorScatter", [X, X[:, :2], np.array([2, 3, -1])], LINEAR, ("f32",)),
    ],
    "index 12 (element 2) is outside the 12 elements of its output": [
        Case("MaxUnpool", [PLANES, np.where(PLANES == 2, 12, 0).astype(np.int64)], UNPOOL, ("f32",)),
    ],
    "index -1 (element 11) is outside the 6 elements of its output": [
        Case(
            "MaxUnpool",
            [PLANES, np.where(PLANES == 11, -1, 5).astype(np.int64), np.array([1, 1, 2, 3])],
            UNPOOL,
            ("f32",),
        ),
    ],
}


@pytest.mark.parametrize(("what", "case"), [(what, case) for what in WRONG for case in WRONG[what]])
@pytest.mark.parametrize("threads", [1, 2])
def test_an_index_outside_is_an_error_that_names_it(what, case, threads):
    program, feeds = case.program()
    with pytest.raises(octavo.RunError, match=f"{case.op} node 'node'"):
        octavo.reference.run(program, feeds)
    session = octavo.Session(program, threads=threads)
    for _ in range(2):
        with pytest.raises(octavo.RunError) as caught:
            session.run(None, feeds)
        assert case.op in str(caught.value)
        assert what in str(caught.value)


def test_circular_caches_begin_anywhere(same):
    cache, update = X, -1 - np.arange(9, dtype=np.float32).reshape(3, 3)
    for starts in ([0, 1, 3], [-1, -5, 4], [-9, 2**40 + 3, 7], [-(2**62), 2**62 + 1, -4]):
        inputs = [cache, update, np.array(starts)]
        case = Case("TensorScatter", inputs, {"axis": 1, "mode": "circular"}, ("f32",))
        program, feeds = case.program()
        expected = cache.copy()
        for row, start in enumerate(starts):
            for at in range(3):
                expected[row, (start + at) % 4] = update[row, at]
        np.testing.assert_array_equal(same(program, feeds, batched=False)[0], expected)


def test_what_is_pooled_again_is_what_was_unpooled(same):
    """Of an input that its windows do not fill, and so with the shape stated."""
    x = np.random.default_rng(3).permutation(2 * 3 * 5 * 7).astype(np.float32).reshape(2, 3, 5, 7) + 1
    window = {"kernel_shape": [2, 3], "strides": [2, 2], "pads": [0] * 4}
    pool = window | {"dilations": [1, 1], "ceil_mode": 0}
    values = {"x": Value("x", "f32", x.shape), "shape": Value("shape", "i64", (4,))}
    values |= {name: Value(name, "f32", None) for name in ("pooled", "whole", "again")}
    values["places"] = Value("places", "i64", None)
    nodes = [
        Node("MaxPool", "pool", ("x",), ("pooled", "places"), pool | {"storage_order": 0}),
        Node("MaxUnpool", "unpool", ("pooled", "places", "shape"), ("whole",), window),
        Node("MaxPool", "pool again", ("whole",), ("again",), pool),
    ]
    program = Program(["x"], ["pooled", "again", "whole"], values, {"shape": np.array(x.shape)}, nodes)
    pooled, again, whole = same(program, {"x": x}, batched=False)
    np.testing.assert_array_equal(pooled, again)
    np.testing.assert_array_equal(whole, np.where(np.isin(x, pooled), x, 0))


EMPTY = np.zeros((3, 4, 0), np.float32)
BEYOND = {
    "Gather": Case("Gather", [EMPTY, np.array([0, 4])], {"axis": 1}, ("f32",)),
    "GatherND": Case("GatherND", [EMPTY, np.array([[0, 1], [0, 4]])], {"batch_dims": 0}, ("f32",)),
    "ScatterND": Case(
        "ScatterND", [EMPTY, np.array([[0, 1], [0, 4]]), EMPTY[0, :2]], {"reduction": "add"}, ("f32",)
    ),
    "ReverseSequence": Case(
        "ReverseSequence", [EMPTY, np.array([0, 4, 5])], {"batch_axis": 0, "time_axis": 1}, ("f32",)
    ),
    "RoiAlign": Case(
        "RoiAlign",
        [np.zeros((2, 0, 3, 4), np.float32), np.ones((2, 4), np.float32), np.array([1, 2])],
        {"coordinate_transformation_mode": "half_pixel", "mode": "avg", "sampling_ratio": 2}
        | {"output_height": 3, "output_width": 2, "spatial_scale": np.float32(1)},
        ("f32",),
    ),
}


@pytest.mark.parametrize("op", BEYOND)
def test_wrong_indices_of_slices_of_no_elements(op):
    """There is nothing to move, and an index that names nothing is wrong all the same."""
    program, feeds = BEYOND[op].program()
    with pytest.raises(octavo.RunError, match=f"{op} node"):
        octavo.reference.run(program, feeds)
    for isa in octavo.tiers():
        with pytest.raises(octavo.RunError, match=f"{op} node"):
            octavo.Session(program, isa=isa).run(None, feeds)


UNFIT = {
    "other axes longer": Case("GatherElements", [X, np.zeros((4, 1), np.int64)], {"axis": 1}, ("f32",)),
    "fewer axes": Case("GatherElements", [X, np.zeros(2, np.int64)], {"axis": 0}, ("f32",)),
    "no axis": Case("GatherElements", [np.array(X[0, 0]), np.array(0)], {"axis": 0}, ("f32",)),
    "tuples too long": Case("GatherND", [X, np.zeros((1, 3), np.int64)], {"batch_dims": 0}, ("f32",)),
    "tuples of nothing": Case("GatherND", [X, np.zeros((1, 0), np.int64)], {"batch_dims": 0}, ("f32",)),
    "no tuples": Case("GatherND", [X, np.array(0)], {"batch_dims": 0}, ("f32",)),
    "batches differ": Case("GatherND", [X, np.zeros((2, 1), np.int64)], {"batch_dims": 1}, ("f32",)),
    "too many batches": Case("GatherND", [X, np.zeros((3, 1), np.int64)], {"batch_dims": 2}, ("f32",)),
    "updates": Case("ScatterElements", [X, np.zeros((1, 1), np.int64), X], SET | {"axis": 0}, ("f32",)),
    "slices": Case("ScatterND", [X, np.zeros((1, 1), np.int64), X], SET, ("f32",)),
    "lengths": Case("ReverseSequence", [X, np.array([1])], {"batch_axis": 0, "time_axis": 1}, ("f32",)),
    "one axis": Case("ReverseSequence", [X[0], np.array([1])], {"batch_axis": 0, "time_axis": 1}, ("f32",)),
    "a longer update": Case("TensorScatter", [X[:, :2], X], LINEAR, ("f32",)),
    "a cache of batches": Case("TensorScatter", [X, X], LINEAR | {"axis": 0}, ("f32",)),
    "starts": Case("TensorScatter", [X, X, np.array([0])], LINEAR, ("f32",)),
    "fewer places": Case("MaxUnpool", [PLANES, np.zeros((1, 1, 3, 3), np.int64)], UNPOOL, ("f32",)),
    "too few axes": Case("MaxUnpool", [PLANES[0], np.zeros((1, 3, 4), np.int64)], UNPOOL, ("f32",)),
    "pads of all": Case(
        "MaxUnpool", [PLANES, np.zeros((1, 1, 3, 4), np.int64)], UNPOOL | {"pads": [2, 0, 2, 0]}, ("f32",)
    ),
    "other channels": Case(
        "MaxUnpool", [PLANES, np.zeros((1, 1, 3, 4), np.int64), np.array([1, 2, 3, 4])], UNPOOL, ("f32",)
    ),
    "a shape of fewer axes": Case(
        "MaxUnpool", [PLANES, np.zeros((1, 1, 3, 4), np.int64), np.array([1, 1, 12])], UNPOOL, ("f32",)
    ),
    "a shape of less than nothing": Case(
        "MaxUnpool", [PLANES, np.zeros((1, 1, 3, 4), np.int64), np.array([1, 1, -3, -4])], UNPOOL, ("f32",)
    ),
}


@pytest.mark.parametrize("what", UNFIT)
def test_shapes_that_do_not_fit(what):
    case = UNFIT[what]
    program, feeds = case.program()
    with pytest.raises(octavo.RunError, match=f"{case.op} node 'node'"):
        octavo.reference.run(program, feeds)
    with pytest.raises(octavo.RunError, match=f'{case.op} node "node"'):
        octavo.Session(program).run(None, feeds)
