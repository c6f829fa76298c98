"""The constants of a Program that are integers and stand for reals: weights as they are stored."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.errors import ModelError, close_to
from octavo.program import Program, all_nodes
from octavo.program.attributes import integer
from octavo.program.integers import elements


@dataclass(frozen=True, eq=False)
class Tensor:
    """Integers and the reals that they stand for, `real = scale * (q - zero_point)`, formula (3).

    integers: int8 or uint8 where the Program has fewer bits. scale: float32, zero_point: whole, [1] or [C]
    along `axis`; where `block` is a number, each so many elements of that axis share one, and these have the
    rank of the integers.
    """

    name: str
    integers: npt.NDArray[Any]
    scale: npt.NDArray[np.float32]
    zero_point: npt.NDArray[Any]
    axis: int | None
    block: int | None = None

    def __repr__(self) -> str:
        return f"Tensor({self.name!r}, {self.integers.dtype}{list(self.integers.shape)}, axis {self.axis})"

    def dequantize(self) -> npt.NDArray[np.float32]:
        """The reals, float32, as a run has them."""
        scale, zero_point = self._along(self.scale), self._along(self.zero_point)
        if zero_point.dtype == np.float32:
            return np.asarray(scale * (self.integers.astype(np.float32) - zero_point), np.float32)
        return np.asarray(scale * (self.integers.astype(np.int64) - zero_point).astype(np.float32))

    def _along(self, numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Scales or zero points, one for each element that they meet."""
        if self.axis is None:
            return numbers.reshape(())
        if self.block is not None:
            repeated = numbers.repeat(self.block, self.axis)
            return repeated[(slice(None),) * self.axis + (slice(self.integers.shape[self.axis]),)]
        return numbers.reshape(-1, *[1] * (self.integers.ndim - self.axis - 1))


def tensors(program: Program) -> dict[str, Tensor]:
    """By the name of the constant, all that are integers and stand for reals."""
    found = {}
    for name in program.constants:
        value = program.values[name]
        if value.quant is not None:
            quant = value.quant
            stored = elements(program, name)
            found[name] = Tensor(name, stored, quant.scale, quant.zero_point, quant.axis, quant.block)
    nodes = list(all_nodes(program.nodes))
    places = {name for node in nodes if node.op == "Cast" for name in node.inputs}
    for node in nodes:
        operands = [program.constants.get(name) for name in node.inputs]
        if node.outputs[0] in places:  # in a codebook: no multiples of a scale
            continue
        if node.op != "Dequantize" or len(operands) < 2 or operands[0] is None or operands[1] is None:
            continue
        name, scale = node.inputs[0], operands[1]
        if len(operands) > 2 and operands[2] is None:
            continue
        zero_point = np.zeros(scale.shape, np.int64)
        if len(operands) > 2:
            zero_point = elements(program, node.inputs[2])
        axis, block = (integer(node, key) if key in node.attributes else None for key in ("axis", "block"))
        stored = elements(program, name)
        found[name] = Tensor(name, stored, scale, zero_point, axis, block)
    return found


def tensor(program: Program, name: str) -> Tensor:
    """The one of this name, or of the float model's constant of this name.

    Raises `ModelError` where there is none.
    """
    found = tensors(program)
    if name in found:
        return found[name]
    made = [other for other in found if other in (f"{name}_quantized", f"{name}_stored")]
    if len(made) == 1:
        return found[made[0]]
    hint = close_to(str(name), found)
    raise ModelError(f"no constant called {name!r} is held in integers that stand for reals{hint}")
