"""Calibration: data through the float model, observers of its tensors, rules that make ranges of that."""

from octavo.calibration.calibrator import Calibration, Observing, Progress, calibrate
from octavo.calibration.observers import Observer
from octavo.calibration.ranges import RULES, ranges, rule_named
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
    "ranges",
    "rule_named",
    "samples",
]
