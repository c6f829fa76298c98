"""Products whose left side the model itself quantizes as it runs, by one range of the whole tensor.

The sums are those of (10a), by scales of 1. What scales them and adds the bias is the model's own arithmetic:
the product of two scales is rounded, then that with a sum, then the sum with the bias.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.program import Attribute, Node, Quant, Value

Array = npt.NDArray[Any]
Shape = tuple[int | str, ...] | None


@dataclass(frozen=True)
class Quantized:
    """The names of a value in integers, of its scale, and of 1 and its zero point for each of its rows."""

    integers: str
    scale: str
    units: str
    zero_points: str


@dataclass
class DynamicProducts:
    """Writes them into a Program that is being made, whose values and constants these are."""

    values: dict[str, Value]
    constants: dict[str, Array]
    _quantized: dict[str, Quantized] = field(default_factory=dict)

    def inside(self) -> "DynamicProducts":
        """The same for a body, which sees what has been made so far, and outside of which nothing is seen."""
        return DynamicProducts(self.values, self.constants, dict(self._quantized))

    def nodes(self, name: str, inputs: Sequence[str], output: str) -> list[Node]:
        """The nodes of a call of `octavo.frontend.PRODUCT`."""
        x, weight, scale, zero, bias = inputs
        made: list[Node] = []
        left, shape = self._integers(made, x), self.values[output].shape
        zeros = self.constants[zero]
        if zeros.any():
            exact = self._shifted(made, name, left, weight, zeros, shape)
        else:
            exact = self._sums(made, name, left, weight, self._value(f"{name}.sums", "f32", shape))
        factor = self._value(f"{name}.factor", "f32", (len(zeros),))
        _add(made, "Mul", factor, (left.scale, scale), (factor,))
        is_biased = self.constants[bias].any()
        real = self._value(f"{name}.real", "f32", shape) if is_biased else output
        _add(made, "Mul", f"{name}.Mul", (exact, factor), (real,))
        if is_biased:
            _add(made, "Add", f"{name}.Add", (real, bias), (output,))
        return made

    def _sums(self, made: list[Node], name: str, left: Quantized, weight: str, output: str) -> str:
        """The sums by weights without a zero point, in float32."""
        columns = self.constants[weight].shape[1]
        ones = np.ones(columns, np.float32)
        quant = Quant(ones, np.zeros(columns, np.int64), 1)
        self.values[weight] = replace(self.values[weight], quant=quant)
        steps = self._constant(f"{name}.steps", "f32", ones)
        nothing = self._constant(f"{name}.zeros", "f32", np.zeros(columns, np.float32))
        operands = (left.integers, weight, nothing, steps, left.units, left.zero_points)
        _add(made, "QGemm", name, operands, (output,))
        return output

    def _shifted(
        self, made: list[Node], name: str, left: Quantized, weight: str, zeros: Array, shape: Shape
    ) -> str:
        """The sums by weights with zero points, which multiply what a column of ones makes of a row.

        The difference is exact wherever float32 holds both.
        """
        columns, rows = len(zeros), None if shape is None else shape[:-1]

        def value(what: str, width: int) -> str:
            return self._value(f"{name}.{what}", "f32", None if rows is None else (*rows, width))

        extended = np.pad(self.constants[weight], ((0, 0), (0, 1)), constant_values=1)
        wide = self._constant(f"{name}.weights", "i8", extended)
        sizes = self._constant(f"{name}.sizes", "i64", np.array([columns, 1]))
        points = self._constant(f"{name}.points", "f32", zeros.astype(np.float32))
        whole = self._sums(made, name, left, wide, value("whole", columns + 1))
        sums, total = value("sums", columns), value("total", 1)
        _add(made, "Split", sums, (whole, sizes), (sums, total), {"axis": -1})
        over, exact = value("over", columns), value("exact", columns)
        _add(made, "Mul", over, (total, points), (over,))
        _add(made, "Sub", exact, (sums, over), (exact,))
        return exact

    def _integers(self, made: list[Node], x: str) -> Quantized:
        """A value in integers, made once for all that reads it."""
        if x not in self._quantized:
            shape = self.values[x].shape
            rows = None if shape is None else shape[:-1]
            integers = self._value(f"{x}_quantized", "u8", shape)
            scale, zero = self._value(f"{x}_scale", "f32", ()), self._value(f"{x}_zero_point", "u8", ())
            _add(made, "DynamicQuantize", integers, (x,), (integers, scale, zero), {"axis": 0})
            count = self._value(f"{x}_rows", "i64", None if rows is None else (len(rows),))
            _add(made, "Shape", count, (x,), (count,), {"start": 0, "end": -1})
            one = self._constant(f"{x}_one", "f32", np.ones(1, np.float32))
            units, zeros = (
                self._value(f"{x}_{what}", dtype, rows)
                for what, dtype in (("units", "f32"), ("zero_points", "u8"))
            )
            _add(made, "Expand", units, (one, count), (units,))
            _add(made, "Expand", zeros, (zero, count), (zeros,))
            self._quantized[x] = Quantized(integers, scale, units, zeros)
        return self._quantized[x]

    def _constant(self, name: str, dtype: str, array: Array) -> str:
        name = self._value(name, dtype, array.shape)
        self.constants[name] = np.ascontiguousarray(array)
        return name

    def _value(self, name: str, dtype: str, shape: Shape) -> str:
        while name in self.values:
            name += "_"
        self.values[name] = Value(name, dtype, shape)
        return name


def _add(
    made: list[Node],
    op: str,
    name: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    attributes: dict[str, Attribute] | None = None,
) -> None:
    made.append(Node(op, name, tuple(inputs), tuple(outputs), attributes or {}))
