"""The interpreter: feeds and names are checked, values flow, errors name what is wrong."""

import numpy as np
import pytest
from octavo import reference
from octavo.errors import ArtifactError, RunError
from octavo.program import Node, Program, Value


@pytest.fixture
def program():
    """y = x + w, z = relu(y), over x [N, 3] and w [N, 3]; the constant c is an output as well."""
    values = [Value(name, "f32", ("N", 3)) for name in ("x", "w", "y", "z")] + [Value("c", "i64", (2,))]
    nodes = [Node("Add", "add", ("x", "w"), ("y",)), Node("Relu", "relu", ("y",), ("z",))]
    constants = {"c": np.array([1, 2])}
    return Program(["x", "w"], ["z", "c"], {value.name: value for value in values}, constants, nodes)


@pytest.fixture
def feeds():
    return {"x": np.array([[1, -2, 3]], np.float32), "w": np.array([[-4, 5, 6]], np.float32)}


def test_outputs_come_in_the_programs_order_or_as_asked(program, feeds):
    z, c = reference.run(program, feeds)
    assert z.tolist() == [[0, 3, 9]]
    assert c.tolist() == [1, 2]
    y, x, z = reference.run(program, feeds, ["y", "x", "z"])
    assert (y.tolist(), x.tolist(), z.tolist()) == ([[-3, 3, 9]], [[1, -2, 3]], [[0, 3, 9]])


def test_outputs_are_the_callers_own(program, feeds):
    z, c, x = reference.run(program, feeds, ["z", "c", "x"])
    z[:], c[:], x[:] = 0, 0, 0
    assert feeds["x"].tolist() == [[1, -2, 3]]
    assert [array.tolist() for array in reference.run(program, feeds)] == [[[0, 3, 9]], [1, 2]]


def wrong(feeds, **changes):
    return {name: array for name, array in {**feeds, **changes}.items() if array is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": None}, "the input 'x' is missing"),
        ({"q": np.zeros(3)}, "no input 'q'"),
        ({"x": np.zeros((1, 3))}, "'x' must be of float32, not of float64"),
        ({"x": np.zeros((1, 3), ">f4")}, "'x' must be of float32, not of >f4"),
        ({"x": np.zeros((1, 4), np.float32)}, r"'x' must be of shape \['N', 3\], not \[1, 4\]"),
        ({"x": np.zeros(3, np.float32)}, r"'x' must be of shape \['N', 3\], not \[3\]"),
        ({"x": np.zeros((2, 3), np.float32)}, "'N' is 1 in the input 'w' but 2 in 'x'"),
    ],
)
def test_feeds_that_do_not_fit_are_an_error(program, feeds, changes, message):
    with pytest.raises(RunError, match=message):
        reference.run(program, wrong(feeds, **changes))


def test_an_unknown_output_is_an_error(program, feeds):
    with pytest.raises(RunError, match="no value 'q'"):
        reference.run(program, feeds, ["q"])


def test_an_invalid_program_is_not_run(program, feeds):
    program.nodes.reverse()
    with pytest.raises(ArtifactError, match="before it is made"):
        reference.run(program, feeds)


def test_a_result_of_another_dtype_is_an_error():
    # The table lets any integer be asked for; a value that says otherwise than the op makes is caught.
    values = {"x": Value("x", "f32", (1,)), "s": Value("s", "i64", None)}
    program = Program(["x"], ["s"], values, {}, [Node("Shape", "shape", ("x",), ("s",), {"start": 0})])
    assert reference.run(program, {"x": np.zeros(1, np.float32)})[0].dtype == np.int64
    values["s"] = Value("s", "f32", None)
    with pytest.raises(ArtifactError, match="'s' of f32"):
        reference.run(program, {"x": np.zeros(1, np.float32)})


def test_arrays_without_axes_stay_arrays():
    values = {name: Value(name, "i64", ()) for name in ("a", "b", "y")}
    program = Program(["a", "b"], ["y"], values, {}, [Node("Add", "add", ("a", "b"), ("y",))])
    (y,) = reference.run(program, {"a": np.array(2**63 - 1), "b": np.array(1)})
    assert isinstance(y, np.ndarray)
    assert y.shape == ()
    assert y == -(2**63)
