"""Calibration: data through the float model, observers of its tensors, rules that make ranges of that."""

from octavo.calibration.calibrator import Calibration, Observing, Progress, calibrate
from octavo.calibration.observers import Observer
from octavo.calibration.ranges import RULES, range_rule, ranges
from octavo.calibration.sources import Data, Feeds, mapped_files, samples

__all__ = [
    "RULES",
    "Calibration",
    "Data",
    "Feeds",
    "Observer",
    "Observing",
    "Progress",
    "calibrate",
    "mapped_files",
    "range_rule",
    "ranges",
    "samples",
]
