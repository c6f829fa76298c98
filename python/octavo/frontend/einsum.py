"""Einsum as transposes, sums and matrix products.

Operands are joined from left to right. What only one operand has and nobody needs is summed first. Then the
letters that both have and somebody needs are the batch of a MatMul, and those that nobody needs its chain, in
the order of the left operand.
"""

import re
from collections.abc import Sequence

import onnx_ir as ir

from octavo.errors import ModelError

_DOTS = "..."


def einsum_body(node: ir.Node) -> str | None:
    """The nodes of an Einsum over inputs x0, x1, ... that make y; None where a rank is not known."""
    ranks = []
    for value in node.inputs:
        if value is None or value.shape is None:
            return None
        ranks.append(len(value.shape))
    equation = node.attributes["equation"].as_string().replace(" ", "")
    terms, output = _labels(node, equation, ranks)
    return _Writer().join(terms, output)


def _labels(node: ir.Node, equation: str, ranks: Sequence[int]) -> tuple[list[list[str]], list[str]]:
    """The labels of the axes of every operand and of the output; those of an ellipsis are numbers."""
    left, arrow, right = equation.partition("->")
    terms = [_split(term) for term in left.split(",")]
    named = [[label for label in term if label != _DOTS] for term in terms]
    fits = len(terms) == len(ranks) and all(
        rank == len(labels) if _DOTS not in term else rank >= len(labels) and term.count(_DOTS) == 1
        for term, labels, rank in zip(terms, named, ranks, strict=False)
    )
    letters = [label for labels in named for label in labels]
    output = _split(right) if arrow else [_DOTS, *sorted(x for x in letters if letters.count(x) == 1)]
    known = {*letters, _DOTS}
    if not fits or not known >= {*output} or len({*output}) < len(output) or not all(map(_is_label, known)):
        raise ModelError(
            f"node '{node.name}': the equation {equation!r} does not fit operands of {list(ranks)} axes"
        )
    spans = [rank - len(labels) for labels, rank in zip(named, ranks, strict=True)]
    dots = max(spans) if any(_DOTS in term for term in terms) else 0

    def written(term: list[str], count: int) -> list[str]:
        at = term.index(_DOTS) if _DOTS in term else None
        if at is None:
            return term
        return [*term[:at], *(str(i) for i in range(count - 1, -1, -1)), *term[at + 1 :]]

    return [written(term, span) for term, span in zip(terms, spans, strict=True)], written(output, dots)


def _split(term: str) -> list[str]:
    return re.findall(r"\.\.\.|.", term)


def _is_label(label: str) -> bool:
    return label == _DOTS or (label.isascii() and label.isalpha())


class _Writer:
    """Writes nodes as text."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def node(self, op: str, *inputs: str, **attributes: int | list[int]) -> str:
        """A node; the name of its output."""
        name = f"v{len(self.lines)}"
        given = ", ".join(f"{key} = {value}" for key, value in attributes.items())
        self.lines.append(f"{name} = {op}{f' <{given}>' if given else ''} ({', '.join(inputs)})")
        return name

    def join(self, terms: list[list[str]], output: list[str]) -> str:
        """All operands to one."""
        name, labels = "x0", terms[0]
        later = [{label for term in terms[i + 1 :] for label in term} | {*output} for i in range(len(terms))]
        name, labels = self.alone(name, labels, later[0])
        for i in range(1, len(terms)):
            other, others = self.alone(f"x{i}", terms[i], {*labels} | later[i])
            name, labels = self.product(name, labels, other, others, later[i])
        name, labels = self.alone(name, labels, {*output})
        name = self.transpose(name, [labels.index(label) for label in output])
        return " ".join([*self.lines, f"y = Identity ({name})"])

    def transpose(self, name: str, perm: list[int]) -> str:
        """The axes in this order."""
        return name if perm == sorted(perm) else self.node("Transpose", name, perm=perm)

    def alone(self, name: str, labels: list[str], needed: set[str]) -> tuple[str, list[str]]:
        """An operand with each label once, and none that nobody needs."""
        for label in dict.fromkeys(labels):
            while labels.count(label) > 1:
                first = labels.index(label)
                second = labels.index(label, first + 1)
                kept = [i for i in range(len(labels)) if i not in (first, second)]
                name = self.diagonal(self.transpose(name, [*kept, first, second]), len(kept))
                labels = [*(labels[i] for i in kept), label]
        summed = [i for i, label in enumerate(labels) if label not in needed]
        if summed:
            axes = self.node("Constant", value_ints=summed)
            name = self.node("ReduceSum", name, axes, keepdims=0)
        return name, [label for label in labels if label in needed]

    def diagonal(self, name: str, leading: int) -> str:
        """Of the last two axes, both of n elements: every (n + 1)-th element of both as one axis."""
        one = self.node("Constant", value_ints=[1])
        length = self.node("Shape", name, start=leading + 1)
        step = self.node("Add", length, one)
        shape = self.shape(name, (0, leading), (leading, leading + 2))
        flat = self.node("Reshape", name, shape, allowzero=1)
        bounds = [self.node("Constant", value_ints=[n]) for n in (0, 2**62, leading)]
        return self.node("Slice", flat, *bounds, step)

    def shape(self, name: str, kept: tuple[int, int], *merged: tuple[int, int]) -> str:
        """The sizes of the axes `kept`, then the number of elements of each of the spans `merged`."""
        parts = [self.node("Shape", name, start=kept[0], end=kept[1])]
        for start, end in merged:
            parts.append(self.node("ReduceProd", self.node("Shape", name, start=start, end=end), keepdims=1))
        return self.node("Concat", *parts, axis=0)

    def product(
        self, left: str, a: list[str], right: str, b: list[str], needed: set[str]
    ) -> tuple[str, list[str]]:
        """Both operands, each label once in each, to one that has the labels needed."""
        batch = [x for x in a if x in b and x in needed]
        chain = [x for x in a if x in b and x not in needed]
        rows, columns = [x for x in a if x not in b], [x for x in b if x not in a]
        p, m, k, n = len(batch), len(rows), len(chain), len(columns)
        left = self.transpose(left, [a.index(x) for x in [*batch, *rows, *chain]])
        right = self.transpose(right, [b.index(x) for x in [*batch, *chain, *columns]])
        matrices = [
            self.node(
                "Reshape", name, self.shape(name, (0, p), (p, p + middle), (p + middle, end)), allowzero=1
            )
            for name, middle, end in ((left, m, p + m + k), (right, k, p + k + n))
        ]
        product = self.node("MatMul", *matrices)
        sizes = [
            self.node("Shape", product, start=0, end=p),
            self.node("Shape", left, start=p, end=p + m),
            self.node("Shape", right, start=p + k, end=p + k + n),
        ]
        shape = self.node("Concat", *sizes, axis=0)
        return self.node("Reshape", product, shape, allowzero=1), [*batch, *rows, *columns]
