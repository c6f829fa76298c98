"""What a product meets whose activations become integers at run time."""

from functools import cache

import numpy as np
import numpy.typing as npt

from octavo.lowering import AXES_OF_RANGES
from octavo.program import Node, Program, Value
from octavo.quantization.stored import FloatProduct
from octavo.quantization.walk import session_of
from octavo.session import Session

Float32 = npt.NDArray[np.float32]


def met_dynamically(product: FloatProduct, x: Float32) -> Float32:
    """What the integers of an input stand for, with the range of each row, or of each sample, of it."""
    axis = AXES_OF_RANGES["QConv" if product.node.op == "Conv" else "QGemm"]
    integers, scale, zero_point = _session(x.ndim, axis % x.ndim).run(None, {"x": x})
    behind = tuple(range(scale.ndim, x.ndim))
    scale, zero_point = (np.expand_dims(array, behind) for array in (scale, zero_point))
    return np.asarray((integers.astype(np.float32) - zero_point.astype(np.float32)) * scale)


@cache
def _session(rank: int, axis: int) -> Session:
    """That of the one node."""
    outputs, sizes = ("integers", "scale", "zero_point"), tuple(f"size {place}" for place in range(rank))
    values = [
        Value("x", "f32", sizes),
        Value("integers", "u8", sizes),
        Value("scale", "f32", sizes[:axis]),
        Value("zero_point", "u8", sizes[:axis]),
    ]
    node = Node("DynamicQuantize", "quantize", ("x",), outputs, {"axis": axis})
    return session_of(Program(["x"], list(outputs), {value.name: value for value in values}, {}, [node]))
