"""What costs accuracy: two models side by side, layer by layer, each with a cause and what mends it."""

from octavo.report.comparison import Cause, Comparison, LayerRow, OutputRow
from octavo.report.pair import compare

__all__ = ["Cause", "Comparison", "LayerRow", "OutputRow", "compare"]
