"""Two scales, or two offsets, in a row are one."""

import numpy as np
import onnx_ir as ir

from octavo.passes.affine import affine_of
from octavo.passes.edit import add_constant, become, held, is_read_once, nodes


def merge_chains(model: ir.Model) -> bool:
    """Merges Mul and Div by constants that follow each other, and Add and Sub likewise."""
    changed = False
    for node in nodes(model, "Mul", "Div", "Add", "Sub"):
        outer = affine_of(node)
        maker = None if outer is None else outer.x.producer()
        inner = None if maker is None or maker.op_type == "BatchNormalization" else affine_of(maker)
        if outer is None or inner is None or not is_read_once(outer.x):
            continue
        scales = not outer.offset.any() and not inner.offset.any()
        offsets = bool((outer.scale == 1).all() and (inner.scale == 1).all())
        if not scales and not offsets:
            continue
        first, second = (inner.scale, outer.scale) if scales else (inner.offset, outer.offset)
        shape = np.broadcast_shapes(first.shape, second.shape)
        if shape not in (first.shape, second.shape):
            continue  # a row and a column would make a plane
        with np.errstate(all="ignore"):
            merged = first * second if scales else first + second
        dtype = node.outputs[0].dtype
        coefficient = None if dtype is None else held(merged, dtype.numpy())
        if coefficient is None:
            continue
        value = add_constant(node, coefficient, "coefficient")
        become(node, "Mul" if scales else "Add", [inner.x, value])
        changed = True
    return changed
