"""Single nodes of the ops of detectors."""

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
            for most, iou, least in ((3, 0.5, 0.25), (100, 0.0, None), (5, 1.0, 0.9), (0, 0.5, 0.0)):
                yield suppression(boxes, scores, most, iou, least, centred)
    boxes, scores = RNG.random((1, 300, 4)), RNG.random((1, 2, 300))
    yield suppression(boxes, scores, 2**62, 0.4, 0.1)
    yield suppression(boxes, scores, 20, 0.3, -1.0, centred=1)


CASES = {"suppression": list(suppression_cases())}
