"""The ops of detectors against ONNX's reference, and by hand where it is silent."""

import numpy as np
import octavo
import pytest
from detection_cases import CASES


@pytest.mark.parametrize("family", CASES)
def test_as_in_onnx(family):
    for case in CASES[family]:
        program, feeds = case.program()
        case.check(octavo.reference.run(program, feeds))


def test_boxes_of_equal_scores_come_by_index_and_nan_never(run_node):
    boxes = np.array([[[0, 0, 1, 1], [5, 5, 6, 6], [0, 0, 1, 1.01], [8, 8, 9, 9]]], np.float32)
    scores = np.array([[[0.5, 0.5, 0.5, np.nan]]], np.float32)
    (y,) = run_node("NonMaxSuppression", [boxes, scores, np.array(9)], {"center_point_box": 0}, dtypes="i64")
    assert y.tolist() == [[0, 0, 0], [0, 0, 1]]


def test_nothing_is_taken_by_default(run_node):
    boxes, scores = np.ones((1, 2, 4), np.float32), np.ones((1, 1, 2), np.float32)
    (y,) = run_node("NonMaxSuppression", [boxes, scores], {"center_point_box": 0}, dtypes="i64")
    assert y.shape == (0, 3)
