"""RNN, GRU and LSTM written out: the products by the inputs as one for all steps, and a Loop over the rest.

    Z = X W' + Wb (+ Rb where that is added as it is),   a trip for each step:   gates of Z[t] + H R'

By ONNX's definition of each operator. A step beyond a sequence's length leaves its state, and gives zeros.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_ACTIVATIONS = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
_TAKES = {
    "Affine": (1.0, 0.0),
    "Elu": (1.0, None),
    "HardSigmoid": (0.2, 0.5),
    "LeakyRelu": (0.01, None),
    "ScaledTanh": (1.0, 1.0),
    "ThresholdedRelu": (1.0, None),
}
"""The defaults of alpha and beta of the activations that take them."""

_Activation = tuple[str, float | None, float | None]


@dataclass
class _Text:
    """Lines of ONNX's text; the names that are made begin with `prefix`."""

    prefix: str
    lines: list[str] = field(default_factory=list)
    count: int = 0

    def __call__(self, op: str, *inputs: str, **attributes: int | float | list[int]) -> str:
        """The name of what a node of one output gives."""
        (output,) = self.several(op, 1, *inputs, **attributes)
        return output

    def several(
        self, op: str, outputs: int, *inputs: str, **attributes: int | float | list[int]
    ) -> list[str]:
        """The names of what a node gives."""
        names = [f"{self.prefix}{self.count + place}" for place in range(outputs)]
        self.count += outputs
        said = ", ".join(f"{key} = {number!r}" for key, number in attributes.items())
        self.lines.append(f"{', '.join(names)} = {op}{f' <{said}>' if said else ''} ({', '.join(inputs)})")
        return names

    def ints(self, *numbers: int) -> str:
        return self("Constant", value_ints=list(numbers))

    def number(self, number: float) -> str:
        return self("Constant", value_float=number)


def recurrent_body(node: ir.Node) -> str | None:
    """The lines of a function whose outputs are y, y1 and y2; None where the types or sizes are not known."""
    op, given = node.op_type, node.attributes
    hidden = _hidden(node)
    if node.inputs[0] is None or node.inputs[0].dtype != ir.DataType.FLOAT or hidden is None:
        return None
    direction = given.get_string("direction", "forward") or "forward"
    backwards = {"forward": [False], "reverse": [True]}.get(direction, [False, True])
    by_batch = given.get_int("layout", 0) == 1
    text, has = _Text("v"), [value is not None for value in node.inputs] + [False] * 8
    x = text("Transpose", "x0", perm=[1, 0, 2]) if by_batch else "x0"
    activations = list(_activations(node, len(backwards)))
    own = len(_ACTIVATIONS[op])
    made: list[list[str]] = []
    for place, backward in enumerate(backwards):
        one = _Direction(node, text, place, hidden, activations[place * own : (place + 1) * own])
        made.append(one.outputs(x, has, backward, by_batch))
    rows = [text("Unsqueeze", each[0], text.ints(1)) for each in made]
    rows_together = text("Concat", *rows, axis=1)
    text.lines.append(
        f"y = Transpose <perm = [2, 0, 1, 3]> ({rows_together})"
        if by_batch
        else f"y = Identity ({rows_together})"
    )
    for place in range(1, len(made[0])):
        axis = 1 if by_batch else 0
        states = [text("Unsqueeze", each[place], text.ints(axis)) for each in made]
        text.lines.append(f"y{place} = Concat <axis = {axis}> ({', '.join(states)})")
    return " ".join(text.lines)


def _hidden(node: ir.Node) -> int | None:
    """The length of a state."""
    if "hidden_size" in node.attributes:
        return node.attributes.get_int("hidden_size")
    weights = node.inputs[2]
    length = None if weights is None or weights.shape is None else weights.shape[2]
    return length if isinstance(length, int) else None


def _activations(node: ir.Node, directions: int) -> Iterator[_Activation]:
    """The activations of all directions, with what they take of the lists of alphas and betas."""
    names = list(node.attributes.get_strings("activations", []) or _ACTIVATIONS[node.op_type] * directions)
    alphas, betas = (
        list(node.attributes.get_floats(f"activation_{of}", []) or []) for of in ("alpha", "beta")
    )
    for name in names:
        known = next((each for each in (*_TAKES,) if each.lower() == name.lower()), name.capitalize())
        alpha, beta = _TAKES.get(known, (None, None))
        alpha = alphas.pop(0) if alpha is not None and alphas else alpha
        beta = betas.pop(0) if beta is not None and betas else beta
        yield known, alpha, beta


class _Direction:
    """One of a node's directions."""

    def __init__(
        self, node: ir.Node, text: _Text, place: int, hidden: int, activations: Sequence[_Activation]
    ) -> None:
        self._op, self._place, self._text, self._hidden = node.op_type, place, text, hidden
        self._activations = activations
        self._clip = node.attributes.get_float("clip", 0.0) or 0.0
        self._coupled = bool(node.attributes.get_int("input_forget", 0))
        self._reset_after = bool(node.attributes.get_int("linear_before_reset", 0))

    def outputs(self, x: str, has: list[bool], backward: bool, by_batch: bool) -> list[str]:
        """The rows of all steps [T, B, H], then the states after the last, [B, H] each."""
        text, gates = self._text, _GATES[self._op]
        weight, recurrent = (text("Transpose", self._own(f"x{index}"), perm=[1, 0]) for index in (1, 2))
        z = text("MatMul", x, weight)
        inner_bias = ""
        if has[3]:
            both = text.several("Split", 2, self._own("x3"), num_outputs=2, axis=0)
            if self._op == "GRU" and self._reset_after:
                sizes = text.ints(2 * self._hidden, self._hidden)
                plain, inner_bias = text.several("Split", 2, both[1], sizes, axis=0)
                zeros = text("Sub", inner_bias, inner_bias)
                both[1] = text("Concat", plain, zeros, axis=0)
            z = text("Add", z, text("Add", *both))
        peepholes = text.several("Split", 3, self._own("x7"), num_outputs=3, axis=0) if has[7] else []
        states = [
            self._first(x, f"x{5 + index}" if has[5 + index] else "", by_batch)
            for index in range(self._count)
        ]
        steps = text("Gather", text("Shape", x), text("Constant", value_int=0), axis=0)
        lengths = text("Unsqueeze", text("Cast", "x4", to=7), text.ints(1)) if has[4] else ""
        return self._looped(z, recurrent, inner_bias, peepholes, states, steps, lengths, backward, gates)

    @property
    def _count(self) -> int:
        return 2 if self._op == "LSTM" else 1

    def _own(self, name: str) -> str:
        text = self._text
        return text("Gather", name, text("Constant", value_int=self._place), axis=0)

    def _first(self, x: str, given: str, by_batch: bool) -> str:
        text = self._text
        if given:
            return text("Gather", given, text("Constant", value_int=self._place), axis=1 if by_batch else 0)
        batch = text("Shape", x, start=1, end=2)
        return text("Expand", text.number(0.0), text("Concat", batch, text.ints(self._hidden), axis=0))

    def _looped(
        self,
        z: str,
        recurrent: str,
        inner_bias: str,
        peepholes: list[str],
        states: list[str],
        steps: str,
        lengths: str,
        backward: bool,
        gates: int,
    ) -> list[str]:
        prefix = f"d{self._place}_"
        body = _Text(f"{prefix}v")
        before = [f"{prefix}s{index}" for index in range(len(states))]
        at = f"{prefix}i"
        if backward:
            at = body("Sub", body("Sub", steps, body("Constant", value_int=1)), at)
        row = body("Gather", z, at, axis=0)
        after = self._step(body, row, recurrent, inner_bias, peepholes, before, gates)
        given = after[0]
        if lengths:
            goes_on = body("Less", at, lengths)
            after = [body("Where", goes_on, new, old) for new, old in zip(after, before, strict=True)]
            given = body("Where", goes_on, given, body("Sub", before[0], before[0]))
        outputs = [body("Identity", f"{prefix}c"), *(body("Identity", name) for name in after)]
        outputs += [body("Identity", given), *([body("Identity", at)] if backward else [])]
        takes = ", ".join(
            [f"int64 {prefix}i", f"bool {prefix}c", *(f"float[b, h] {name}" for name in before)]
        )
        kinds = ["bool", *["float[b, h]"] * (len(after) + 1), "int64"]
        gives = ", ".join(f"{kind} {name}" for kind, name in zip(kinds, outputs, strict=False))
        text, count = self._text, len(after) + 1 + backward
        names = [f"{text.prefix}{text.count + index}" for index in range(count)]
        text.count += count
        inside = " ".join(body.lines)
        text.lines.append(
            f"{', '.join(names)} = Loop <body = {prefix}body ({takes}) => ({gives}) {{ {inside} }}> "
            f'({steps}, "", {", ".join(states)})'
        )
        *last, rows = names[: len(after) + 1]
        if backward:  # the places that the rows are of are those that they go to
            rows = text("Gather", rows, names[-1], axis=0)
        return [rows, *last]

    def _step(
        self,
        body: _Text,
        row: str,
        recurrent: str,
        inner_bias: str,
        peepholes: list[str],
        states: list[str],
        gates: int,
    ) -> list[str]:
        hidden = states[0]
        if self._op == "RNN":
            return [self._act(body, 0, body("Add", row, body("MatMul", hidden, recurrent)))]
        if self._op == "GRU":
            return [self._gru(body, row, recurrent, inner_bias, hidden)]
        parts = body.several(
            "Split", gates, body("Add", row, body("MatMul", hidden, recurrent)), num_outputs=gates, axis=-1
        )
        i, o, f, c = parts
        cell = states[1]
        if peepholes:
            i, f = (body("Add", one, body("Mul", peepholes[at], cell)) for one, at in ((i, 0), (f, 2)))
        i = self._act(body, 0, i)
        f = body("Sub", body.number(1.0), i) if self._coupled else self._act(body, 0, f)
        cell = body("Add", body("Mul", f, cell), body("Mul", i, self._act(body, 1, c)))
        if peepholes:
            o = body("Add", o, body("Mul", peepholes[1], cell))
        hidden = body("Mul", self._act(body, 0, o), self._act(body, 2, cell, clipped=False))
        return [hidden, cell]

    def _gru(self, body: _Text, row: str, recurrent: str, inner_bias: str, hidden: str) -> str:
        sizes = body.ints(2 * self._hidden, self._hidden)
        row_zr, row_h = body.several("Split", 2, row, sizes, axis=-1)
        of_zr, of_h = body.several("Split", 2, recurrent, sizes, axis=-1)
        both = self._act(body, 0, body("Add", row_zr, body("MatMul", hidden, of_zr)))
        z, r = body.several("Split", 2, both, num_outputs=2, axis=-1)
        if self._reset_after:
            inner = body("MatMul", hidden, of_h)
            inner = body("Mul", r, body("Add", inner, inner_bias) if inner_bias else inner)
        else:
            inner = body("MatMul", body("Mul", r, hidden), of_h)
        new = self._act(body, 1, body("Add", row_h, inner))
        rest = body("Mul", body("Sub", body.number(1.0), z), new)
        return body("Add", rest, body("Mul", z, hidden))

    def _act(self, body: _Text, index: int, x: str, clipped: bool = True) -> str:
        if self._clip and clipped:
            x = body("Clip", x, body.number(-self._clip), body.number(self._clip))
        name, alpha, beta = self._activations[index]
        if name == "Affine":
            return body("Add", body("Mul", x, body.number(alpha or 0.0)), body.number(beta or 0.0))
        if name == "ScaledTanh":
            scaled = body("Tanh", body("Mul", x, body.number(beta or 0.0)))
            return body("Mul", scaled, body.number(alpha or 0.0))
        numbers = {key: number for key, number in (("alpha", alpha), ("beta", beta)) if number is not None}
        return body(name, x, **numbers)
