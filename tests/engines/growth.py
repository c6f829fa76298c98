"""Programs that grow node by node, each node run by the reference as it is added.

A node is dropped where the reference refuses it, or where it makes a NaN (whose bits are free) or too many
elements.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from octavo import reference
from octavo.errors import RunError
from octavo.program import DTYPES, Body, Node, Program, Value
from octavo.program.bodies import with_bodies
from octavo.reference import INTEGER_OPS, OPERATIONS
from single_node import multipliers

LARGEST = 150_000
"""The most elements of a value."""

NAMES = {dtype: name for name, dtype in DTYPES.items()}
ANY = tuple(DTYPES)


class Draw:
    """Random numbers as plain Python ones."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def number(self, low: int, high: int) -> int:
        """From low to high, both among them."""
        return int(self.rng.integers(low, high + 1))

    def numbers(self, low: int, high: int, count: int) -> list[int]:
        return [self.number(low, high) for _ in range(count)]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def one(self, options: Any) -> Any:
        return options[self.number(0, len(options) - 1)]

    def f32(self, low: float, high: float) -> np.float32:
        return np.float32(self.rng.uniform(low, high))

    def clamp(self) -> dict[str, int]:
        lo, hi = sorted([self.number(0, 255), self.number(0, 255)]) if self.chance(0.5) else (0, 255)
        return {"lo": lo, "hi": hi}

    def factor(self) -> dict[str, int]:
        return {"multiplier": int(multipliers(self.rng, 1)[0]), "shift": self.number(28, 40)}

    def array(self, dtype: str, shape: tuple[int, ...]) -> Any:
        if dtype in ("f16", "f32", "f64"):
            return np.asarray(self.rng.standard_normal(shape) * 3, DTYPES[dtype])
        low, high = {"bool": (0, 2), "u8": (0, 256), "i8": (-127, 128)}.get(dtype, (-300, 300))
        return np.asarray(self.rng.integers(low, high, shape), DTYPES[dtype])


class Growth:
    """A Program that grows, with the array that each of its values holds.

    inputs: dtype and shape of each; the first axis is a batch where they have one.
    """

    def __init__(self, seed: int) -> None:
        self.draw = Draw(seed)
        self.values: dict[str, Value] = {}
        self.constants: dict[str, Any] = {}
        self.nodes: list[Node] = []
        self.arrays: dict[str, Any] = {}
        self.feeds: dict[str, Any] = {}
        self.inside: dict[str, Value] = {}
        self.prefix = ""

    def body(self, prefix: str) -> "Growth":
        """One that grows in a body of a node that is to come: it sees all that there is so far."""
        inner = Growth(0)
        inner.draw, inner.prefix, inner.constants = self.draw, f"{self.prefix}{prefix}", self.constants
        inner.values, inner.arrays = dict(self.values), dict(self.arrays)
        return inner

    def takes(self, dtype: str, array: Any) -> str:
        """An input of the body that grows."""
        name = f"{self.prefix}in{len(self.values)}"
        self.values[name] = Value(name, dtype, None)
        self.arrays[name] = array
        return name

    def control(
        self, op: str, inputs: list[str], bodies: dict[str, tuple["Growth", Body]], count: int
    ) -> bool:
        """Add a node that runs bodies if the reference can run it."""
        name = f"{self.prefix}{op}{len(self.nodes)}"
        outputs = tuple(f"{name}_{i}" for i in range(count))
        plain = Node(op, name, tuple(inputs), outputs, {}, {key: body for key, (_, body) in bodies.items()})
        node = with_bodies(plain, plain.bodies, self.constants)
        known = {name: value for inner, _ in bodies.values() for name, value in inner.all_values().items()}
        (_, first), *_ = bodies.values()
        dtypes = [known[given].dtype for given in first.outputs[-count:]]
        made = {output: Value(output, dtype, None) for output, dtype in zip(outputs, dtypes, strict=True)}
        feeds = {given: self.arrays[given] for given in node.inputs if given and given not in self.constants}
        used = {*feeds, *outputs, *(name for name in known if name not in self.values), *self.constants}
        values = {name: value for name, value in {**self.values, **known, **made}.items() if name in used}
        values |= {given: Value(given, values[given].dtype, None) for given in feeds}
        constants = {given: array for given, array in self.constants.items() if given in values}
        try:
            arrays = reference.run(Program([*feeds], [*outputs], values, constants, [node]), feeds)
        except RunError:
            return False
        if sum(array.size for array in arrays) > LARGEST or any(map(holds_nan, arrays)):
            return False
        self.nodes.append(node)
        self.inside |= {name: value for name, value in known.items() if name not in self.values}
        self.values |= made
        self.arrays |= zip(outputs, arrays, strict=True)
        return True

    def all_values(self) -> dict[str, Value]:
        """The values of the body that grows, and of those in it."""
        return {**self.values, **self.inside}

    def input(self, dtype: str, shape: tuple[int, ...]) -> None:
        name = f"x{len(self.feeds)}"
        self.values[name] = Value(name, dtype, (f"N{shape[0]}", *shape[1:]) if shape else ())
        self.feeds[name] = self.arrays[name] = self.draw.array(dtype, shape)

    def constant(self, array: Any) -> str:
        name = f"{self.prefix}c{len(self.values)}"
        array = np.array(array, order="C")
        self.values[name] = Value(name, NAMES[array.dtype], array.shape)
        self.constants[name] = self.arrays[name] = array
        return name

    def i64(self, numbers: Any) -> str:
        return self.constant(np.array(numbers, np.int64))

    def pick(self, dtypes: tuple[str, ...], ranks: tuple[int, ...] = ()) -> str | None:
        """A value of one of these dtypes and ranks, the latest ones more often; seldom a constant."""
        fits = [
            name
            for name, value in self.values.items()
            if value.dtype in dtypes
            and (not ranks or self.arrays[name].ndim in ranks)
            and (name not in self.constants or self.draw.chance(0.03))
        ]
        if not fits:
            return None
        return str(fits[-1 - min(int(self.draw.rng.geometric(0.3)) - 1, len(fits) - 1)])

    def node(self, op: str, inputs: list[str], count: int = 1, gives: str = "u8", **attributes: Any) -> bool:
        """Add the node if its outputs, which the reference makes now, are such as can be compared.

        gives: the integers that an integer op gives.
        """
        name = f"{self.prefix}{op}{len(self.nodes)}"
        node = Node(op, name, tuple(inputs), tuple(f"{name}_{i}" for i in range(count)), attributes)
        try:
            with np.errstate(all="ignore"):
                arrays = [self.arrays[i] if i else None for i in inputs]
                is_integer = op in INTEGER_OPS
                made = INTEGER_OPS[op](node, arrays, gives) if is_integer else OPERATIONS[op](node, arrays)
        except (RunError, ArithmeticError, IndexError, TypeError, ValueError):
            return False
        if sum(array.size for array in made) > LARGEST or any(map(holds_nan, made)):
            return False
        self.nodes.append(node)
        for output, array in zip(node.outputs, made, strict=True):
            self.values[output] = Value(output, NAMES[np.asarray(array).dtype], None)
            self.arrays[output] = np.array(array, order="C")
        return True

    def program(self) -> Program:
        """What nobody reads is an output, and a few others: inputs and constants as well."""
        read = {name for node in self.nodes for name in node.inputs if name}
        outputs = [name for name in self.values if name not in read and name not in self.constants]
        outputs += [name for name in self.values if name not in outputs and self.draw.chance(0.04)]
        values = self.all_values()
        constants = {name: array for name, array in self.constants.items() if name in values}
        return Program(list(self.feeds), outputs, values, constants, self.nodes)


def holds_nan(array: Any) -> bool:
    return array.dtype.kind == "f" and bool(np.isnan(array).any())


def samples(feeds: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The feeds one sample at a time; none where an input has no batch or they differ."""
    lengths = {len(array) if array.ndim else 0 for array in feeds.values()}
    for i in range(lengths.pop() if len(lengths) == 1 else 0):
        yield {name: array[i : i + 1] for name, array in feeds.items()}


def is_batched(program: Program, feeds: dict[str, Any]) -> bool:
    """Whether the reference gives the same one sample at a time."""
    try:
        parts = [reference.run(program, one) for one in samples(feeds)]
    except RunError:
        return False
    shapes = [[array.shape[1:] for array in part] for part in parts]
    if len(parts) < 2 or not all(array.ndim for array in parts[0]) or shapes != shapes[:1] * len(parts):
        return False
    whole = reference.run(program, feeds)
    joined = [np.concatenate(part) for part in zip(*parts, strict=True)]
    return all(w.shape == j.shape and w.tobytes() == j.tobytes() for w, j in zip(whole, joined, strict=True))
