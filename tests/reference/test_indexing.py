"""The ops that order, pick and place elements against ONNX's reference, and by hand where it is silent."""

import numpy as np
import octavo
import pytest
from indexing_cases import CASES


@pytest.mark.parametrize("family", CASES)
def test_as_in_onnx(family):
    for case in CASES[family]:
        program, feeds = case.program()
        case.check(octavo.reference.run(program, feeds))


def test_unique_slices_of_first_occurrence(run_node):
    x = np.array([[3, 1], [2, 9], [3, 1], [2, 8], [2, 9]], np.float32)
    y, first, inverse, counts = run_node(
        "Unique", [x], {"axis": 0, "sorted": 0}, outputs=4, dtypes=["f32", *["i64"] * 3]
    )
    assert y.tolist() == [[3, 1], [2, 9], [2, 8]]
    assert (first.tolist(), inverse.tolist(), counts.tolist()) == ([0, 1, 3], [0, 1, 0, 2, 1], [2, 2, 1])
