"""The ops of detectors, on every engine."""

import numpy as np
import octavo
import pytest
from detection_cases import CASES, suppression
from single_node import Case


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


ALIGN = {
    "coordinate_transformation_mode": "half_pixel",
    "mode": "avg",
    "output_height": 2,
    "output_width": 2,
    "sampling_ratio": 0,
    "spatial_scale": np.float32(1),
}
MAPS = np.ones((2, 3, 4, 5), np.float32)
REGION = np.float32([[0, 0, 2, 2]])
WRONG = {
    "region 0 is of image 2, of 2": [MAPS, REGION, np.array([2])],
    "region 0 is of image -1, of 2": [MAPS, REGION, np.array([-1])],
    "region 0 is too large to sample": [MAPS, REGION * 1e9, np.array([1])],
    "nothing to sample": [MAPS[:, :, :0], REGION, np.array([1])],
    "1 regions": [MAPS, REGION, np.array([1, 1])],
    "regions of": [MAPS, REGION[:, :3], np.array([1])],
}


@pytest.mark.parametrize("what", WRONG)
def test_regions_that_cannot_be(what):
    program, feeds = Case("RoiAlign", WRONG[what], ALIGN, ("f32",)).program()
    with pytest.raises(octavo.RunError, match="RoiAlign node"):
        octavo.reference.run(program, feeds)
    with pytest.raises(octavo.RunError, match=what):
        octavo.Session(program).run(None, feeds)


def test_regions_of_no_number_hold_nothing(same):
    regions = np.float32([[np.nan, 0, 1, 1], [0, np.nan, np.inf, 1]])
    for ratio in (0, 2):
        case = Case(
            "RoiAlign", [MAPS, regions[:1], np.array([0])], ALIGN | {"sampling_ratio": ratio}, ("f32",)
        )
        (y,) = same(*case.program(), batched=False)
        assert not y.any()
