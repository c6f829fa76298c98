"""The one table of the ops that a Program can hold: inputs, outputs, attributes, and classes of ops.

The table is a text, ops.txt, whose head says how it is written; the runtime reads the same text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ATTRIBUTE_KINDS = ("int", "ints", "f32", "f32s", "f64", "str")

_INT32_MAX = 2**31 - 1
_SET = re.compile(r"set ([A-Z]) = (.+)")
_FORM = re.compile(r"(\w+)\((.*)\) -> (.*?) \|((?: [^~ ]+)*)((?: ~\w+)*)")
_SLOT = re.compile(r"(\w+):(\w+)(!?)(\??)([*&]?)")
_ATTRIBUTE = re.compile(r"(\w+):(\w+)(?:\[(-?\d+)\.\.(-?\d+)?\])?(?:\{([\w,]+)\})?(\??)")


@dataclass(frozen=True)
class Slot:
    """An input or output of an op. `dtype` is a dtype or a key of `DTYPE_SETS`.

    mixed: any number may stand there, none too, each of a dtype of its own.
    """

    name: str
    dtype: str
    constant: bool
    optional: bool
    variadic: bool
    mixed: bool


@dataclass(frozen=True)
class AttributeSlot:
    """An attribute of an op.

    choices: what a text may be; none where it may be anything. limits: the least and the greatest that an
    integer, or each of a list of them, may be.
    """

    kind: str
    optional: bool
    choices: tuple[str, ...]
    limits: tuple[int, int] | None


@dataclass(frozen=True)
class Signature:
    """One form of an op. `marks`: the classes of ops that it is of."""

    op: str
    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]
    attributes: dict[str, AttributeSlot]
    marks: tuple[str, ...]

    def accepts(self, inputs: int) -> bool:
        """Whether a node with this many inputs, left-out ones counted, can be of this form."""
        least = sum(not slot.optional for slot in self.inputs)
        variadic = any(slot.variadic for slot in self.inputs)
        return least <= inputs and (variadic or inputs <= len(self.inputs))

    def makes(self, dtype: str) -> bool:
        """Whether the first output can be of that dtype."""
        slot = self.outputs[0].dtype
        return dtype in DTYPE_SETS.get(slot, (slot,))


@cache
def signatures() -> dict[str, tuple[Signature, ...]]:
    """The forms of every op, by the op's name."""
    forms: dict[str, tuple[Signature, ...]] = {}
    for line in _lines():
        if not _SET.fullmatch(line):
            form = _signature(line)
            forms[form.op] = (*forms.get(form.op, ()), form)
    return forms


@cache
def marked(mark: str) -> tuple[str, ...]:
    """The ops of a class, in the order of the table."""
    ops = tuple(op for op, forms in signatures().items() if any(mark in form.marks for form in forms))
    if not ops:
        raise KeyError(f"no op is marked ~{mark}")
    return ops


def _lines() -> Iterator[str]:
    """The lines of the table, without what is said beside them."""
    text = Path(__file__).with_name("ops.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if said := line.partition("#")[0].rstrip():
            yield said


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise ValueError(f"the table of ops has {text!r}, which cannot be read")
    return match


def _signature(line: str) -> Signature:
    op, inputs, outputs, attributes, marks = _matched(_FORM, line).groups()
    return Signature(
        op,
        tuple(map(_slot, inputs.split())),
        tuple(map(_slot, outputs.split())),
        dict(map(_attribute, attributes.split())),
        tuple(mark.removeprefix("~") for mark in marks.split()),
    )


def _slot(text: str) -> Slot:
    name, dtype, constant, optional, many = _matched(_SLOT, text).groups()
    mixed = many == "&"
    return Slot(name, dtype, bool(constant), bool(optional) or mixed, bool(many), mixed)


def _attribute(text: str) -> tuple[str, AttributeSlot]:
    name, kind, least, greatest, choices, optional = _matched(_ATTRIBUTE, text).groups()
    limits = None if least is None else (int(least), _INT32_MAX if greatest is None else int(greatest))
    if kind == "flag":
        kind, limits = "int", (0, 1)
    return name, AttributeSlot(kind, bool(optional), tuple(choices.split(",")) if choices else (), limits)


DTYPE_SETS: dict[str, tuple[str, ...]] = {
    match[1]: tuple(match[2].split()) for match in map(_SET.fullmatch, _lines()) if match
}
"""The dtypes that a capital letter of the table stands for."""
