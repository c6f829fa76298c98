"""Quantize a float model: load, simplify, calibrate, lower, report."""

from octavo.quantization.estimates import Estimate, estimate
from octavo.quantization.model import Model, QuantizedModel, convert, load, quantize
from octavo.quantization.overrides import Override
from octavo.quantization.prepared import Calibrator, prepare
from octavo.quantization.recipes import RECIPES, Recipe

__all__ = [
    "RECIPES",
    "Calibrator",
    "Estimate",
    "Model",
    "Override",
    "QuantizedModel",
    "Recipe",
    "convert",
    "estimate",
    "load",
    "prepare",
    "quantize",
]
