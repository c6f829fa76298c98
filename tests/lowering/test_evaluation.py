"""One node of constants, computed in advance."""

import numpy as np
import onnx_ir as ir
import pytest
from octavo.lowering import evaluate
from octavo.lowering.evaluation import _LARGE


def node(op, inputs, dtypes, **attributes):
    """A node of these arrays (None: left out) that makes values of these dtypes (None: left out)."""
    values = [
        None if array is None else ir.Value(name=f"c{index}", const_value=ir.Tensor(array))
        for index, array in enumerate(inputs)
    ]
    outputs = [
        ir.Value(
            name="" if dtype is None else f"r{index}", type=None if dtype is None else ir.TensorType(dtype)
        )
        for index, dtype in enumerate(dtypes)
    ]
    return ir.Node("", op, values, ir.convenience.convert_attributes(attributes), outputs=outputs)


def test_one_output():
    a = np.array([[1, 2], [3, 4]], np.float32)
    (got,) = evaluate(node("MatMul", [a, a], [ir.DataType.FLOAT]))
    assert got.tolist() == [[7, 10], [15, 22]]
    assert got.dtype == np.float32


def test_several_outputs_and_one_left_out():
    x = np.array([3, 1, 3], np.int64)
    y, indices, inverse, counts = evaluate(
        node("Unique", [x], [ir.DataType.INT64, None, ir.DataType.INT64, ir.DataType.INT64])
    )
    assert (y.tolist(), indices, inverse.tolist(), counts.tolist()) == ([1, 3], None, [1, 0, 1], [1, 2])


def test_inputs_left_out_and_values_read_twice():
    x = np.array([-2, 0.5, 9], np.float32)
    (got,) = evaluate(node("Clip", [x, None, np.array(1, np.float32)], [ir.DataType.FLOAT]))
    assert got.tolist() == [-2, 0.5, 1]
    for array in (x, np.full(_LARGE, 3, np.float32)):
        square = node("Mul", [array, array], [ir.DataType.FLOAT])
        square.replace_input_with(1, square.inputs[0])
        assert np.array_equal(evaluate(square)[0], array * array)


@pytest.mark.parametrize("elements", [_LARGE // 4 - 1, _LARGE // 4])
def test_large_and_small_constants(elements):
    """A small one is written into the Program, a large one is fed."""
    x = np.arange(elements, dtype=np.float32)
    for steps in (1, -1):
        strided = x[::steps]
        (got,) = evaluate(node("Neg", [strided], [ir.DataType.FLOAT]))
        assert np.array_equal(got, -strided)


def test_a_large_list_of_axes_is_known_too():
    """What a plan must know may be fed as well."""
    shape = np.ones(_LARGE // 8, np.int64)
    assert evaluate(node("ConstantOfShape", [shape], [ir.DataType.FLOAT])) is None  # of too many axes
    indices = np.zeros(_LARGE // 8, np.int64)
    (got,) = evaluate(node("OneHot", [indices, np.array([2]), np.array([0, 1])], [ir.DataType.INT64]))
    assert got[:, 0].all()


@pytest.mark.parametrize(
    ("op", "inputs", "attributes"),
    [
        ("Gather", [np.ones(3, np.float32), np.array([5])], {}),
        ("MatMul", [np.ones((2, 3), np.float32), np.ones((2, 3), np.float32)], {}),
        ("Det", [np.eye(2, dtype=np.float32)], {}),
        ("RandomNormal", [], {"shape": [2]}),
        ("Neg", [np.ones(2, np.uint32)], {}),
        ("Reshape", [np.ones(3, np.float32), np.array([2])], {}),
    ],
)
def test_what_fails_or_is_lacking(op, inputs, attributes):
    assert evaluate(node(op, inputs, [ir.DataType.FLOAT], **attributes)) is None


def test_the_model_is_left_as_it_is():
    x = np.ones((2, 2), np.float32)
    made = node("Softmax", [x], [ir.DataType.FLOAT], axis=0)
    source = made.inputs[0]
    evaluate(made)
    assert made.inputs[0] is source
    assert [use.node for use in source.uses()] == [made]
    assert made.attributes.get_int("axis") == 0
    assert made.outputs[0].producer() is made
    assert np.array_equal(x, np.ones((2, 2)))
