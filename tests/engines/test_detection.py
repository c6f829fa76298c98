"""The ops of detectors, on every engine."""

import numpy as np
import octavo
import pytest
from detection_cases import CASES, suppression


@pytest.mark.parametrize("family", CASES)
def test_engines_agree(same, family):
    for case in CASES[family]:
        program, feeds = case.program()
        same(program, feeds, batched=False)


def test_scores_that_are_no_number_are_left_out(same):
    scores = np.array([[[0.5, np.nan, -0.0, 0.0, np.inf]]])
    boxes = np.arange(20).reshape(1, 5, 4)
    for least in (None, -1.0):
        program, feeds = suppression(boxes, scores, 9, 0.5, least).program()
        (y,) = same(program, feeds, batched=False)
        assert y[:, 2].tolist() == [4, 0, 2, 3]


@pytest.mark.parametrize(
    ("boxes", "scores"), [((1, 3, 5), (1, 1, 3)), ((1, 3, 4), (2, 1, 3)), ((1, 3, 4), (1, 3))]
)
def test_boxes_and_scores_that_do_not_fit(boxes, scores):
    program, feeds = suppression(np.zeros(boxes), np.zeros(scores), 1, 0.5, 0.5).program()
    with pytest.raises(octavo.RunError, match="boxes"):
        octavo.Session(program).run(None, feeds)
    with pytest.raises(octavo.RunError, match="boxes"):
        octavo.reference.run(program, feeds)
