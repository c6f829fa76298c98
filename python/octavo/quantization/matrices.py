"""Products of float32 matrices by the runtime, which have the same bits on every machine."""

import numpy as np
import numpy.typing as npt

from octavo.program import Node, Program, Value
from octavo.session import Session

Float32 = npt.NDArray[np.float32]

BLOCK = 1 << 20
"""Elements of integer columns, or of results, that become floats at a time."""


class Multiply:
    """Multiplies matrices [groups, rows, K] by others, [groups, K, columns]: one FMA chain an element."""

    def __init__(self, threads: int | None) -> None:
        self._session = Session(_product(), threads)

    def __call__(self, left: Float32, right: Float32) -> Float32:
        """The products, [groups, rows, columns]."""
        [made] = self._session.run(
            None, {"left": np.ascontiguousarray(left), "right": np.ascontiguousarray(right)}
        )
        return made


def _product() -> Program:
    values = {
        "left": Value("left", "f32", ("groups", "rows", "k")),
        "right": Value("right", "f32", ("groups", "k", "columns")),
        "made": Value("made", "f32", ("groups", "rows", "columns")),
    }
    return Program(
        ["left", "right"], ["made"], values, {}, [Node("MatMul", "product", ("left", "right"), ("made",))]
    )
