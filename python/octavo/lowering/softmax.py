"""Softmax between integer ops."""

import numpy as np

from octavo.lowering.builder import Builder
from octavo.lowering.sharing import UnfitError
from octavo.lowering.wiring import Unit, integer
from octavo.reference.functions import exp

STEP = np.float32(1 / 8)
"""The widest step of an input in uint8: half of it changes a probability by a factor of 1.06 at most."""


def lower_softmax(builder: Builder, unit: Unit) -> None:
    """QSoftmax: `table[d] = rne(2^22 * exp(-s * d))`, exp in float32 by our own function."""
    source, output = unit.node.inputs[0], unit.outputs[0]
    x = builder.affine(source, unit)
    if x.scale > STEP:
        raise UnfitError(unit, f"its input's range is so wide that a step in uint8 would be {x.scale:.3g}")
    distances = -(x.scale * np.arange(256, dtype=np.float32))
    table = np.rint(np.float64(2**22) * exp(distances).astype(np.float64)).astype(np.int32)
    inputs = [builder.integers(source, unit), builder.constant(f"{unit.name}.table", table)]
    outputs = [builder.gives_integers(output, unit)]
    builder.emit("QSoftmax", unit.name, inputs, outputs, {"axis": integer(unit.node, "axis")})
    builder.dequantize_if_wanted(output, unit)
