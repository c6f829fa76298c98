"""The ops that read or write elements at indices against ONNX's reference, and by hand where it is silent."""

import numpy as np
import octavo
import pytest
from onnx_peers import onnx_runtime
from scattering_cases import CASES


@pytest.mark.parametrize("family", CASES)
def test_as_in_onnx(family):
    for case in CASES[family]:
        program, feeds = case.program()
        case.check(octavo.reference.run(program, feeds))


def test_unpooling_as_in_onnx_runtime():
    """It counts indices in the shape that is stated, as ONNX's text has it and its evaluator has not."""
    for case in CASES["unpool"]:
        if case.inputs[0].dtype == np.float32 and 0 not in case.onnx()[0].shape:
            program, feeds = case.program()
            (expected,) = onnx_runtime("MaxUnpool", case.inputs, **case.attributes)
            np.testing.assert_array_equal(octavo.reference.run(program, feeds)[0], expected, strict=True)


def test_gather_elements_of_fewer_positions_than_the_tensor_has(run_node):
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    (y,) = run_node("GatherElements", [x, np.array([[2, 0], [-1, 1]])], {"axis": 0})
    assert y.tolist() == [[8, 1], [8, 5]]


def test_extremes_pass_nan_on_and_know_the_signs_of_zeros(run_node):
    x = np.array([0.0, -0.0, np.nan, 1.0], np.float32)
    updates = np.array([-0.0, 0.0, 5.0, np.nan], np.float32)
    for reduction, signs in (("max", [False, False]), ("min", [True, True])):
        (y,) = run_node("ScatterND", [x, np.array([[0], [1], [2], [3]]), updates], {"reduction": reduction})
        assert np.signbit(y[:2]).tolist() == signs
        assert np.isnan(y[2:]).all()
