"""Quantize a float model: load, simplify, calibrate, lower, report."""

from octavo.quantization.model import QuantizedModel, quantize
from octavo.quantization.recipes import RECIPES, Recipe

__all__ = ["RECIPES", "QuantizedModel", "Recipe", "quantize"]
