"""Outputs in the caller's arrays: the same answers, and what does not fit is named and left alone."""

import re

import numpy as np
import octavo
import pytest
from octavo.program import DTYPES, Value

A, B = np.arange(12, dtype=np.float32).reshape(2, 2, 3), np.full((2, 2, 3), 0.5, np.float32)


@pytest.fixture(scope="module")
def adder(small):
    return octavo.Session(small, threads=1)


def blank(arrays):
    """Arrays of those dtypes and shapes that hold something else."""
    return [np.full_like(array, 77) for array in arrays]


@pytest.mark.parametrize("as_dict", [False, True])
def test_the_answers_of_a_run(session, images, as_dict):
    for batch, extent in ((1, 8), (3, 5), (0, 8)):
        feed = {"x": images(batch, extent, extent)}
        want = session.run(None, feed)
        into = blank(want)
        # By name in any order.
        given = {"codes": into[1], "scores": into[0]} if as_dict else tuple(into)
        assert session.run_into(feed, given) is None
        assert [array.tobytes() for array in into] == [array.tobytes() for array in want]


@pytest.mark.parametrize("dtype", ["u8", "i8", "i16", "i32", "i64", "bool", "f16", "f32", "f64"])
def test_every_dtype(program_of_one_node, dtype):
    x, y = (Value(name, dtype, ("N", 2)) for name in "xy")
    session = octavo.Session(program_of_one_node("Identity", [x], [y]), threads=1)
    array = np.array([[0, 1], [1, 0], [1, 1]]).astype(DTYPES[dtype])
    into = np.zeros_like(array)
    session.run_into({"x": array}, [into])
    assert np.array_equal(into, array)


def test_a_part_of_a_larger_array(adder):
    """A view that is contiguous: the results of many runs side by side."""
    together = np.zeros((3, *A.shape), np.float32)
    for turn in range(3):
        adder.run_into({"a": A * turn, "b": B}, [together[turn]])
    assert np.array_equal(together, np.stack([A * turn + B for turn in range(3)]))


def test_outputs_whose_shapes_a_run_finds(program_of_one_node):
    x, y = Value("x", "f32", ("N",)), Value("y", "i64", (1, "found"))
    session = octavo.Session(program_of_one_node("NonZero", [x], [y]), threads=1)
    x = np.array([0, 3, 0, 5], np.float32)
    into = np.zeros((1, 2), np.int64)
    session.run_into({"x": x}, [into])
    assert into.tolist() == [[1, 3]]
    with pytest.raises(octavo.RunError, match=re.escape("has the shape [1, 2], the output has [1, 3]")):
        session.run_into({"x": x + np.float32(1) * (x > 0) + np.float32([7, 0, 0, 0])}, [into])
    assert into.tolist() == [[1, 3]]


def test_lists_are_fed_as_to_a_run(adder):
    into = np.zeros_like(A)
    adder.run_into({"a": A.tolist(), "b": B}, [into])
    assert np.array_equal(into, A + B)


READ_ONLY = np.zeros_like(A)
READ_ONLY.flags.writeable = False
CROOKED = np.zeros(A.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(A.shape)


@pytest.mark.parametrize(
    ("outputs", "says"),
    [
        ([np.zeros_like(A, np.float64)], "the array for output 'y' is of float64, it must be of float32"),
        ([np.zeros_like(A, ">f4")], "the array for output 'y' is of >f4, it must be of float32 in native"),
        ([np.zeros((2, 3, 2), np.float32)], "has the shape [2, 3, 2], the output has [2, 2, 3]"),
        ([np.zeros((2, 2, 6), np.float32)[:, :, ::2]], "the array for output 'y' is not contiguous"),
        ([np.zeros_like(A, order="F")], "the array for output 'y' is not contiguous"),
        ([CROOKED], "the array for output 'y' is not contiguous and aligned"),
        ([READ_ONLY], "the array for output 'y' is read-only"),
        ([A], "the array for output 'y' is in use: it shares memory with an input"),
        ([A.tolist()], "the array for output 'y' is list, it must be a numpy array of float32"),
        ([None], "the array for output 'y' is NoneType, it must be a numpy array"),
        ([], "0 arrays are given for the outputs: y"),
        ([np.zeros_like(A)] * 2, "2 arrays are given for the outputs: y"),
        ({}, "there is no array for output 'y'; there are: []"),
        ({"z": np.zeros_like(A)}, "there is no array for output 'y'; there are: ['z']"),
        ({"y": np.zeros_like(A), "z": np.zeros_like(A)}, "['y', 'z']; the model's outputs are: y"),
        (None, "outputs is NoneType: give a list of arrays, or a dict of them by name"),
        (3, "outputs is int: give a list of arrays, or a dict of them by name"),
    ],
)
def test_arrays_that_do_not_fit(adder, outputs, says):
    with pytest.raises(octavo.RunError, match=re.escape(says)):
        adder.run_into({"a": A, "b": B}, outputs)
    assert np.array_equal(A, np.arange(12).reshape(A.shape)), "an array that did not fit was written"
    assert np.array_equal(adder.run(None, {"a": A, "b": B})[0], A + B)  # and it goes on


def test_nothing_is_written_where_one_does_not_fit(session, images):
    feed = {"x": images(1, 8, 8)}
    scores, codes = blank(session.run(None, feed))
    with pytest.raises(octavo.RunError, match="'codes' has the shape"):
        session.run_into(feed, [scores, codes[:, :1]])
    assert (scores == 77).all()
    shared = np.zeros(2 * codes.size, np.uint8)
    one, other = shared[: codes.size].reshape(codes.shape), shared[: scores.nbytes].view(np.float32)
    with pytest.raises(octavo.RunError, match="is in use"):
        session.run_into(feed, {"codes": one, "scores": other.reshape(scores.shape)})


def test_feeds_that_do_not_fit_are_said_as_by_a_run(adder):
    into = np.zeros_like(A)
    for feeds in ({"a": A}, {"a": A, "b": B[:1]}, {"a": A, "b": "x"}, [A, B]):
        with pytest.raises(octavo.RunError) as by_run:
            adder.run(None, feeds)
        with pytest.raises(octavo.RunError, match=re.escape(str(by_run.value))):
            adder.run_into(feeds, [into])
    assert not into.any()
