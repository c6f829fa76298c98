"""What the integers of a product's operands and sums stand for."""

import numpy as np
import numpy.typing as npt

from octavo.program import Node, Program


def x_scales(program: Program, node: Node) -> npt.NDArray[np.float64]:
    """The scale of what each channel of a product is made of, float64 [1] or [channels]."""
    x = program.values[node.inputs[0]].quant
    assert x is not None
    if x.axis is not None and x.zero_point.dtype == np.float32:
        return np.ones(1, np.float64)  # of a grid: the weights have taken its scales in
    return x.scale.astype(np.float64)


def scale_of_sums(program: Program, node: Node) -> npt.NDArray[np.float64]:
    """What one unit of a product's sums is, float64 [channels]."""
    weight = program.values[node.inputs[1]].quant
    assert weight is not None
    return np.asarray(x_scales(program, node) * weight.scale.astype(np.float64))
