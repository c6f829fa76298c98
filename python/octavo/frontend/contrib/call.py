"""A node of an operator of ONNX Runtime's own: its inputs, outputs and attributes, by their names."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy.typing as npt
import onnx_ir as ir

from octavo.errors import ModelError
from octavo.frontend.check import called

Setting = int | float | str | list[int] | list[float]

_SIGNATURE = re.compile(r"(\w+)\((.*)\) -> ([\w? ]+) \|(.*)")
_ATTRIBUTE = re.compile(r"(\w+):(\w+)(\?|=\S+)?")
_KINDS = {
    "int": ir.AttributeType.INT,
    "ints": ir.AttributeType.INTS,
    "float": ir.AttributeType.FLOAT,
    "floats": ir.AttributeType.FLOATS,
    "str": ir.AttributeType.STRING,
}
_READ: dict[str, Callable[[str], Setting]] = {"int": int, "float": float, "str": str}


@dataclass(frozen=True)
class Operator:
    """An operator: `Op(inputs) -> outputs | attributes`, and what makes the body of a node of it.

    In the signature `?` stands behind what may be left out, `*` behind an input that any number of values can
    stand for, and `=` before the default of an attribute.
    body: nodes in ONNX's textual form, of opset `octavo.program.OPSET`, over the inputs and outputs that the
    node has, by their names; None where it depends on a rank or type that is not known.
    """

    signature: str
    body: "Callable[[Call], str | None]"

    @cached_property
    def parts(self) -> tuple[str, list[str], list[str], list[tuple[str, str, str]]]:
        """The operator's name, its inputs and outputs with their marks, and (name, kind, default) of each
        attribute."""
        match = _SIGNATURE.fullmatch(self.signature)
        assert match is not None, self.signature
        op, inputs, outputs, attributes = match.groups()
        found = [_ATTRIBUTE.fullmatch(text) for text in attributes.split()]
        return op, inputs.split(), outputs.split(), [(m[1], m[2], m[3] or "") for m in found if m is not None]

    @property
    def name(self) -> str:
        """The operator's name."""
        return self.parts[0]


class Call:
    """A node, read by the signature of its operator.

    kept: the functions of `octavo.frontend.kept` that its body calls.

    Raises:
        ModelError: a node that the signature does not fit.
    """

    def __init__(self, node: ir.Node, operator: Operator) -> None:
        self.node, self.operator = node, operator
        self.where = f"{called(node)} ({operator.name})"
        _, inputs, outputs, attributes = operator.parts
        self.inputs = self._inputs(inputs)
        self.kept: set[str] = set()
        self.stored: dict[str, ir.TensorProtocol] = {}
        self.outputs = self._outputs(outputs)
        self.settings = {name: self._setting(name, kind, default) for name, kind, default in attributes}
        if unknown := node.attributes.keys() - self.settings.keys():
            raise ModelError(f"{self.where} has the attribute {min(unknown)!r}, which its operator does not")

    def _inputs(self, slots: list[str]) -> dict[str, ir.Value]:
        given = list(self.node.inputs)
        names = [slot.rstrip("?*") for slot in slots]
        if slots[-1].endswith("*"):
            last = names.pop()
            names += [f"{last}{index}" for index in range(len(given) - len(names))]
        for index, slot in enumerate(slots):
            if slot.endswith("?") or (index < len(given) and given[index] is not None):
                continue
            raise ModelError(f"{self.where} lacks its input '{slot.rstrip('*')}'")
        if len(given) > len(names):
            raise ModelError(f"{self.where} has {len(given)} inputs, but its operator {len(names)}")
        return {name: value for name, value in zip(names, given, strict=False) if value is not None}

    def _outputs(self, slots: list[str]) -> dict[str, ir.Value]:
        given = self.node.outputs
        if len(given) > len(slots):
            raise ModelError(f"{self.where} has {len(given)} outputs, but its operator {len(slots)}")
        return {slot.rstrip("?"): value for slot, value in zip(slots, given, strict=False) if value.name}

    def _setting(self, name: str, kind: str, default: str) -> Setting | None:
        given = self.node.attributes.get(name)
        if given is None:
            if not default:
                raise ModelError(f"{self.where} lacks its attribute '{name}'")
            return None if default == "?" else _READ[kind](default[1:])
        if given.type != _KINDS[kind]:
            raise ModelError(f"{self.where} has an attribute '{name}' that is not of the kind {kind}")
        value: Setting = list(given.value) if kind.endswith("s") else given.value
        return value

    def has(self, name: str) -> bool:
        """Whether the node has the input or output of that name."""
        return name in self.inputs or name in self.outputs

    def integer(self, name: str) -> int:
        """An attribute that is an integer and has a value."""
        value = self.settings[name]
        assert isinstance(value, int)
        return value

    def number(self, name: str) -> float:
        """An attribute that is a float and has a value."""
        value = self.settings[name]
        assert isinstance(value, float)
        return value

    def rank(self, name: str) -> int | None:
        """The rank of an input; None where it is not known."""
        shape = self.inputs[name].shape
        return None if shape is None else len(shape)

    def dtype(self, name: str) -> ir.DataType | None:
        """The dtype of an input; None where it is not known."""
        return self.inputs[name].dtype

    def constant(self, name: str) -> npt.NDArray[Any] | None:
        """The value of an input that is a constant."""
        tensor = ir.convenience.get_const_tensor(self.inputs[name])
        return None if tensor is None else tensor.numpy()

    def size(self, name: str, axis: int) -> int | None:
        """The size of an input's axis; None where it is not a known number, or the axis is not there."""
        shape = self.inputs[name].shape
        if shape is None or not -len(shape) <= axis < len(shape):
            return None
        size = shape[axis]
        return size if isinstance(size, int) else None

    def store(self, name: str, tensor: ir.TensorProtocol) -> None:
        """Gives the body a constant of that name."""
        self.stored[name] = tensor

    def refuse(self, *names: str) -> None:
        """Raises for what octavo does not have: inputs or outputs that the node has, attributes other than
        at their defaults.

        Raises:
            ModelError: naming the first of them.
        """
        defaults = {name: default for name, _, default in self.operator.parts[3]}
        for name in names:
            if name in defaults:
                plain = None if defaults[name] == "?" else int(defaults[name][1:])
                if self.settings[name] not in (None, plain):
                    self.fail(f"{name} = {self.settings[name]}")
            elif self.has(name):
                self.fail(f"'{name}'")

    def fail(self, what: str) -> None:
        """Raises ModelError: the node has `what`, which octavo cannot run."""
        raise ModelError(f"{self.where} has {what}, which octavo cannot run")

    def attributes(self, *names: str) -> str:
        """These attributes as the text of a node has them, those that are left out left out."""
        given = {name: self.settings[name] for name in names}
        return attributes_text({name: value for name, value in given.items() if value is not None})


def attributes_text(values: dict[str, Setting]) -> str:
    """`<name = value, ...>`, as ONNX's textual form has it; nothing where there are none."""
    texts = [f'{k} = "{v}"' if isinstance(v, str) else f"{k} = {v!r}" for k, v in values.items()]
    return f"<{', '.join(texts)}>" if texts else ""
