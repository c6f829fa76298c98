"""Steps from a Program to a Program: one file each."""

from octavo.rewrites.shapes import shapes_of, with_shapes
from octavo.rewrites.tables import stored_tables
from octavo.rewrites.weights import channel_axis, stored_weights

__all__ = ["channel_axis", "shapes_of", "stored_tables", "stored_weights", "with_shapes"]
