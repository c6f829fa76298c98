"""The Reduce ops against onnx.reference, and the orders that the rules name."""

import numpy as np
import pytest
from onnx_peers import onnx_reference

OPS = ["Mean", "Sum", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp"]
FLAGS = {"keepdims": 1, "noop_with_empty_axes": 0}


def values(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return np.asarray(rng.standard_normal(shape) + 1.5, dtype)
    if dtype == "bool":
        return rng.integers(0, 2, shape) == 1
    return np.asarray(rng.integers(-9 if np.dtype(dtype).kind == "i" else 0, 10, shape), dtype)


def dtypes_of(op):
    if op in ("LogSum", "LogSumExp"):
        return ["float32"]
    more = ["int8", "uint8", "bool"] if op in ("Max", "Min") else []
    return ["float32", "float64", "int32", "int64", *more]


@pytest.mark.parametrize(("op", "dtype"), [(op, dtype) for op in OPS for dtype in dtypes_of(op)])
@pytest.mark.parametrize("axes", [None, [], [2], [-1], [0], [0, 2], [1, 0], [0, 1, 2]])
def test_as_onnx(run_node, op, dtype, axes):
    x = values((3, 5, 4), dtype)
    if op == "LogSum":
        x = np.abs(x)
    inputs = [x, None if axes is None else np.array(axes, np.int64)]
    for flags in (FLAGS, {"keepdims": 0, "noop_with_empty_axes": 1}):
        (y,) = run_node(f"Reduce{op}", inputs, flags, constants=(1,))
        (expected,) = onnx_reference(f"Reduce{op}", inputs, **flags)
        assert y.dtype == x.dtype
        np.testing.assert_allclose(y, expected, rtol=1e-5)


@pytest.mark.parametrize("op", OPS)
def test_of_nothing(run_node, op):
    x = np.zeros((2, 0, 3), np.float32)
    (y,) = run_node(f"Reduce{op}", [x, np.array([1])], FLAGS, constants=(1,))
    nothing = {
        "Mean": np.nan,
        "Max": -np.inf,
        "Min": np.inf,
        "Prod": 1,
        "LogSum": -np.inf,
        "LogSumExp": -np.inf,
    }
    np.testing.assert_array_equal(y, np.full((2, 1, 3), nothing.get(op, 0), np.float32))


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("axes", [None, []])
def test_of_one_number(run_node, op, axes):
    """A number without axes is reduced as a vector of it is: a sum that begins as +0 is never -0."""
    given = None if axes is None else np.array(axes, np.int64)
    for number in (-0.0, 0.0, 2.5, np.inf):
        x = np.array(number, np.float32)
        (got,) = run_node(f"Reduce{op}", [x, given], FLAGS, constants=(1,))
        (want,) = run_node(f"Reduce{op}", [x.reshape(1), np.array([0])], FLAGS, constants=(1,))
        assert got.shape == ()
        assert got.tobytes() == want.tobytes()
    (kept,) = run_node(
        f"Reduce{op}",
        [np.array(-0.0, np.float32), given],
        FLAGS | {"noop_with_empty_axes": 1},
        constants=(1,),
    )
    if op in ("Sum", "Mean", "Max", "Min", "Prod"):
        assert np.signbit(kept)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_integers_wrap_and_their_means_are_truncated(run_node, dtype):
    largest = np.iinfo(dtype).max
    x = np.array([[largest, 1], [-7, 0]], dtype)
    axes = np.array([1])
    assert run_node("ReduceSum", [x, axes], FLAGS, constants=(1,))[0].tolist() == [[-largest - 1], [-7]]
    assert run_node("ReduceMean", [x, axes], FLAGS, constants=(1,))[0].ravel()[1] == -3
    assert run_node("ReduceMean", [x[:, :0], axes], FLAGS, constants=(1,))[0].tolist() == [[0], [0]]


def test_the_last_axis_alone_is_summed_in_lanes(run_node):
    # Lanes 0 and 8 meet first; a chain would lose the ones.
    x = np.zeros((1, 16), np.float32)
    x[0, [0, 8]], x[0, [1, 9]] = [1e8, -1e8], 1
    assert run_node("ReduceSum", [x, np.array([1])], FLAGS, constants=(1,))[0].item() == 2
    assert run_node("ReduceSum", [x, np.array([0, 1])], FLAGS, constants=(1,))[0].item() == 1


def test_log_sum_exp_of_the_infinite(run_node):
    x = np.array([[1000, 1000], [-np.inf, -np.inf], [np.inf, 0], [np.nan, 0]], np.float32)
    (y,) = run_node("ReduceLogSumExp", [x, np.array([1])], FLAGS, constants=(1,))
    np.testing.assert_allclose(y.ravel(), [1000 + np.log(2), -np.inf, np.inf, np.nan], rtol=1e-6)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(
    "axes", [[2, 0], [1, 0], [2, 1], [-1, 0, 1], [-2, -3], [0, -3], [2, 2], [2, -1], [1, 0, 1]]
)
def test_the_order_of_axes_is_of_no_account(run_node, op, axes):
    """Bits are those of the axes in their own order, each once, whatever the list that names them."""
    x = np.abs(values((3, 5, 40), "float32"))
    for flags in (FLAGS, {"keepdims": 0, "noop_with_empty_axes": 0}):
        (got,) = run_node(f"Reduce{op}", [x, np.array(axes)], flags, constants=(1,))
        rising = np.array(sorted({axis % 3 for axis in axes}))
        (want,) = run_node(f"Reduce{op}", [x, rising], flags, constants=(1,))
        assert got.shape == want.shape
        assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("axes", [[0], [1], [0, 1], [2, 0], [1, 2], [2, 1, 0]])
def test_every_other_sum_is_one_chain(run_node, axes):
    """Element by element in the order in which the logical layout has them."""
    x = values((3, 5, 40), "float32")
    want = np.zeros([1 if axis in axes else n for axis, n in enumerate(x.shape)], np.float32)
    for place in np.ndindex(x.shape):
        want[tuple(0 if axis in axes else at for axis, at in enumerate(place))] += x[place]
    (got,) = run_node("ReduceSum", [x, np.array(axes)], FLAGS, constants=(1,))
    assert got.tobytes() == want.tobytes()
