"""Calibration: data through a model, statistics of its values, rules that make ranges of them."""

from octavo._core import Statistics
from octavo.calibration.calibrator import Calibration, Observing, Progress
from octavo.calibration.compact import OfInput
from octavo.calibration.forms import Data, Feeds, Input
from octavo.calibration.kept import ENOUGH, MOST, Kept
from octavo.calibration.ranges import RULES, RangeRule, ranges, rule_named
from octavo.calibration.samplewise import HANDFUL, each
from octavo.calibration.seen import Seen
from octavo.calibration.sources import mapped_files, samples

__all__ = [
    "ENOUGH",
    "HANDFUL",
    "MOST",
    "RULES",
    "Calibration",
    "Data",
    "Feeds",
    "Input",
    "Kept",
    "Observing",
    "OfInput",
    "Progress",
    "RangeRule",
    "Seen",
    "Statistics",
    "each",
    "mapped_files",
    "ranges",
    "rule_named",
    "samples",
]
