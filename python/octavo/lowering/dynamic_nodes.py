"""Products whose left side the model itself quantizes as it runs, by one range of the whole tensor.

They are those of the recipe `dynamic`, by (10a), with the tensor's scale and zero point for each of its rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.program import Attribute, Node, Quant, Value


@dataclass(frozen=True)
class Quantized:
    """The names of a value in integers, of its scale and zero point, and of both for each of its rows."""

    integers: str
    scale: str
    rows: str
    scales: str
    zero_points: str


@dataclass
class DynamicProducts:
    """Writes them into a Program that is being made, whose values and constants these are."""

    values: dict[str, Value]
    constants: dict[str, npt.NDArray[Any]]
    _quantized: dict[str, Quantized] = field(default_factory=dict)

    def nodes(self, name: str, inputs: Sequence[str], output: str) -> list[Node]:
        """The nodes of a call of `octavo.frontend.PRODUCT`."""
        x, weight, scale, zero, bias = inputs
        made: list[Node] = []
        left = self._integers(made, x)
        if self.constants[zero].any():
            self._shifted(made, name, left, weight, (scale, zero, bias), output)
            return made
        self._weigh(weight, self.constants[scale])
        product = (left.integers, weight, bias, scale, left.scales, left.zero_points)
        made.append(Node("QGemm", name, product, (output,), {}))
        return made

    def _shifted(
        self,
        made: list[Node],
        name: str,
        left: Quantized,
        weight: str,
        numbers: tuple[str, str, str],
        output: str,
    ) -> None:
        """By weights with a zero point: a column of ones gives the sum of each row, which it multiplies.

        The sums are taken as they are, so that the difference is exact wherever float32 holds them.
        """
        scale, zero, bias = numbers
        zeros = self.constants[zero].astype(np.float32)
        columns, shape = len(zeros), self.values[output].shape
        rows = None if shape is None else shape[:-1]

        def value(what: str, width: int) -> str:
            return self._value(f"{name}.{what}", "f32", None if rows is None else (*rows, width))

        ones = np.ones(columns + 1, np.float32)
        extended = np.pad(self.constants[weight], ((0, 0), (0, 1)), constant_values=1)
        wide = self._constant(f"{name}.weights", "i8", extended)
        self._weigh(wide, ones)
        steps = self._constant(f"{name}.steps", "f32", ones)
        nothing = self._constant(f"{name}.zeros", "f32", ones * 0)
        one = self._constant(f"{name}.one", "f32", ones[:1])
        sizes = self._constant(f"{name}.sizes", "i64", np.array([columns, 1]))
        points = self._constant(f"{name}.points", "f32", zeros)
        units = self._value(f"{name}.units", "f32", rows)
        self._add(made, "Expand", units, (one, left.rows), (units,))
        whole, sums, total = value("whole", columns + 1), value("sums", columns), value("total", 1)
        product = (left.integers, wide, nothing, steps, units, left.zero_points)
        self._add(made, "QGemm", name, product, (whole,))
        self._add(made, "Split", sums, (whole, sizes), (sums, total), {"axis": -1})
        over, exact, real = (value(what, columns) for what in ("over", "exact", "real"))
        self._add(made, "Mul", over, (total, points), (over,))
        self._add(made, "Sub", exact, (sums, over), (exact,))
        factor = self._value(f"{name}.factor", "f32", (columns,))
        self._add(made, "Mul", factor, (left.scale, scale), (factor,))
        self._add(made, "Mul", real, (exact, factor), (real,))
        self._add(made, "Add", f"{name}.Add", (real, bias), (output,))

    def _integers(self, made: list[Node], x: str) -> Quantized:
        """A value in integers, made once for all that reads it."""
        if x not in self._quantized:
            shape = self.values[x].shape
            rows = None if shape is None else shape[:-1]
            integers = self._value(f"{x}_quantized", "u8", shape)
            scale, zero = self._value(f"{x}_scale", "f32", ()), self._value(f"{x}_zero_point", "u8", ())
            self._add(made, "DynamicQuantize", integers, (x,), (integers, scale, zero), {"axis": 0})
            count = self._value(f"{x}_rows", "i64", None if rows is None else (len(rows),))
            self._add(made, "Shape", count, (x,), (count,), {"start": 0, "end": -1})
            scales, zeros = (
                self._value(f"{x}_scales", "f32", rows),
                self._value(f"{x}_zero_points", "u8", rows),
            )
            self._add(made, "Expand", scales, (scale, count), (scales,))
            self._add(made, "Expand", zeros, (zero, count), (zeros,))
            self._quantized[x] = Quantized(integers, scale, count, scales, zeros)
        return self._quantized[x]

    def _weigh(self, weight: str, scales: npt.NDArray[np.float32]) -> None:
        """Say by what scales the integers of a constant are reals."""
        quant = Quant(scales, np.zeros(len(scales), np.int64), 1)
        self.values[weight] = replace(self.values[weight], quant=quant)

    def _constant(self, name: str, dtype: str, array: npt.NDArray[Any]) -> str:
        name = self._value(name, dtype, array.shape)
        self.constants[name] = np.ascontiguousarray(array)
        return name

    def _value(self, name: str, dtype: str, shape: Sequence[int | str] | None) -> str:
        while name in self.values:
            name += "_"
        self.values[name] = Value(name, dtype, None if shape is None else tuple(shape))
        return name

    @staticmethod
    def _add(
        made: list[Node],
        op: str,
        name: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        attributes: dict[str, Attribute] | None = None,
    ) -> None:
        made.append(Node(op, name, tuple(inputs), tuple(outputs), attributes or {}))
