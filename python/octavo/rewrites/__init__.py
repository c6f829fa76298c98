"""Steps from a Program to a Program: one file each."""

from octavo.rewrites.ends import INTEGERS, float_ends, integer_ends
from octavo.rewrites.halves import Halves, halves_of, is_close, rounded_halves
from octavo.rewrites.rows import Rows, Storage, nearest_rows
from octavo.rewrites.shapes import shapes_of, with_shapes
from octavo.rewrites.shared import SharedRows
from octavo.rewrites.spelled import spelled_out
from octavo.rewrites.tables import stored_tables
from octavo.rewrites.weights import channel_axis, rows_of, storage_of, stored_weights, weight_of

__all__ = [
    "INTEGERS",
    "Halves",
    "Rows",
    "SharedRows",
    "Storage",
    "channel_axis",
    "float_ends",
    "halves_of",
    "integer_ends",
    "is_close",
    "nearest_rows",
    "rounded_halves",
    "rows_of",
    "shapes_of",
    "spelled_out",
    "storage_of",
    "stored_tables",
    "stored_weights",
    "weight_of",
    "with_shapes",
]
