"""Single nodes of the ops of detectors."""

from dataclasses import replace

import numpy as np
from single_node import Case

RNG = np.random.default_rng(6)


def suppression(boxes, scores, most, iou, least, centred=0):
    """least: the score threshold, or None."""
    inputs = [boxes.astype(np.float32), scores.astype(np.float32), np.array([most])]
    inputs += [np.array([iou], np.float32), None if least is None else np.array([least], np.float32)]
    return Case("NonMaxSuppression", inputs, {"center_point_box": centred}, ("i64",))


def suppression_cases():
    for centred in (0, 1):
        for batches, classes, count in ((1, 1, 6), (2, 3, 40), (1, 2, 0), (1, 0, 5)):
            # Corners in any order, on a grid so coarse that boxes repeat and touch.
            boxes = RNG.integers(0, 9, (batches, count, 4)) / 2
            scores = RNG.integers(0, 6, (batches, classes, count)) / 4
            for most, iou, least in (
                (3, 0.5, 0.25),
                (100, 0.0, None),
                (5, 1.0, 0.9),
                (0, 0.5, 0.0),
            ):
                yield suppression(boxes, scores, most, iou, least, centred)
            # Of less than none there are none, which ONNX's reference evaluator does not get to.
            none = suppression(boxes, scores, -3, 0.5, 0.0, centred)
            yield replace(none, answer=[np.zeros((0, 3), np.int64)])
    # Overlaps of exactly a half, a quarter and an eighth, which a threshold of as much leaves.
    boxes = np.array([[[0, 0, 4, 4], [0, 0, 4, 2], [0, 0, 4, 1], [0, 0, 2, 1], [4, 4, 0, 0]]])
    scores = np.array([[[5, 4, 3, 2, 1]]]) / 8
    for iou in (0.5, 0.25, 0.125, 1.0):
        for least in (0.125, 0.375, None):
            yield suppression(boxes, scores, 9, iou, least)
    boxes, scores = RNG.random((1, 300, 4)), RNG.random((1, 2, 300))
    yield suppression(boxes, scores, 2**62, 0.4, 0.1)
    yield suppression(boxes, scores, 20, 0.3, -1.0, centred=1)


def region_cases():
    x = RNG.standard_normal((2, 3, 9, 11)).astype(np.float32)
    regions = np.float32(
        [[0, 0, 8, 6], [2.3, 1.1, 7.9, 5.5], [-3, -2, 30, 4], [5, 5, 5.2, 5.1], [6, 6, 2, 1]]
    )
    images = np.array([0, 1, 1, 0, 1])
    for mode in ("avg", "max"):
        for shift in ("half_pixel", "output_half_pixel"):
            for height, width, ratio, scale in (
                (3, 2, 2, 1.0),
                (2, 4, 0, 1.0),
                (1, 1, 0, 0.5),
                (5, 5, 3, 0.25),
            ):
                attributes = {"mode": mode, "coordinate_transformation_mode": shift}
                attributes |= {"output_height": height, "output_width": width, "sampling_ratio": ratio}
                attributes["spatial_scale"] = np.float32(scale)
                close = {"rtol": 1e-5, "atol": 1e-5}
                yield Case("RoiAlign", [x, regions, images], attributes, ("f32",), close)
                # All below 0, so that a sample outside, which counts as 0, is the greatest.
                yield Case("RoiAlign", [-np.abs(x) - 1, regions, images], attributes, ("f32",), close)
        yield Case("RoiAlign", [x, regions[:0], images[:0]], attributes, ("f32",), close)
        # Regions of one sample, on, just inside and just outside of each border of what counts as the image.
        for shift, moved in (("half_pixel", 0.5), ("output_half_pixel", 0.0)):
            across, down = ([-1, 0, n - 1, n] for n in (11, 9))
            centres = [
                (a + d, b + e) for a in across for b in down for d in (-0.25, 0, 0.25) for e in (0, 0.25)
            ]
            corners = np.array([[a - 0.5, b - 0.5, a + 0.5, b + 0.5] for a, b in centres], np.float32)
            attributes = {"mode": mode, "coordinate_transformation_mode": shift, "sampling_ratio": 1}
            attributes |= {"output_height": 1, "output_width": 1, "spatial_scale": np.float32(1)}
            inputs = [x, corners + np.float32(moved), np.zeros(len(centres), np.int64)]
            yield Case("RoiAlign", inputs, attributes, ("f32",), close)


CASES = {
    "regions": list(region_cases()),
    "suppression": list(suppression_cases()),
}
