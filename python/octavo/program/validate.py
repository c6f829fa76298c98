"""What holds for every Program: names, order, dtypes, and the inputs and attributes that each op has."""

import math
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn, cast

import numpy as np
import numpy.typing as npt

from octavo.errors import ArtifactError
from octavo.program import (
    DTYPES,
    MAX_RANK,
    OPSET,
    PACKED,
    Attribute,
    Body,
    Node,
    Program,
    Quant,
    Value,
    all_nodes,
)
from octavo.program.bodies import BODIES, COUNTED, MAX_DEPTH, captured
from octavo.program.checks import check
from octavo.program.integers import is_integer, limits, packed_bytes, storage
from octavo.program.ops import DTYPE_SETS, AttributeSlot, Signature, Slot, signatures


def validate(program: Program) -> None:
    """Check everything that can be checked without the shapes of feeds.

    Raises ArtifactError that names the value, or the node and its attribute, and TypeError for what is no
    Program.
    """
    if not isinstance(program, Program):
        raise TypeError(f"a Program is needed, not an object of type {type(program).__name__}")
    _check_types(program)
    if program.opset != OPSET:
        _fail(f"its opset is {program.opset}, this octavo has {OPSET}")
    for name, value in program.values.items():
        _check_value(name, value)
    for name, array in program.constants.items():
        _check_constant(name, array, program.values.get(name))
    nodes = list(all_nodes(program.nodes))
    _check_names(program, nodes)
    for node in nodes:
        _check_bodies(node)
    _check_order(program)
    for node in nodes:
        try:
            form = _form(program, node)
            _check_dtypes(program, node, form)
            _check_attributes(node, form)
            check(program, node)
        except ArtifactError as error:
            error.node = node.name
            raise


def label(node: Node) -> str:
    """How messages call a node: its op and its name."""
    return f"{node.op} node {node.name!r}"


def attribute_kind(attribute: Attribute) -> str | None:
    """The kind of an attribute in signatures, or None where the Program has no such type."""
    if type(attribute) is int:
        return "int" if -(2**63) <= attribute < 2**63 else None
    for kind, scalar in (("f32", np.float32), ("f64", np.float64), ("str", str)):
        if type(attribute) is scalar:
            return kind
    if isinstance(attribute, list):
        if all(type(item) is int and -(2**63) <= item < 2**63 for item in attribute):
            return "ints"
        if all(type(item) is np.float32 for item in attribute):
            return "f32s"
    return None


def _fail(what: str) -> NoReturn:
    raise ArtifactError(f"the program is not valid: {what}")


def _check_types(program: Program) -> None:
    """Every part is of the type that its dataclass states: the other checks rely on it."""
    for what, names in (("inputs", program.inputs), ("outputs", program.outputs)):
        _check_texts(names, f"its {what}")
    for what, mapping, kind in (
        ("values", program.values, Value),
        ("constants", program.constants, np.ndarray),
    ):
        if not isinstance(mapping, dict):
            _fail(f"its {what} are of type {type(mapping).__name__}, not a dict")
        for name, item in mapping.items():
            if not isinstance(name, str) or not isinstance(item, kind):
                _fail(f"its {what} hold {name!r} of type {type(item).__name__}")
    if not isinstance(program.nodes, list | tuple):
        _fail(f"its nodes are of type {type(program.nodes).__name__}, not a list")
    if not isinstance(program.producer, str) or type(program.opset) is not int:
        _fail("its producer is no text, or its opset no integer")
    if not isinstance(program.preprocessing, str):
        _fail("its preprocessing is no text")
    for node in program.nodes:
        _check_types_of_node(node, 0)
    for name, value in program.values.items():
        if not (isinstance(value.name, str) and isinstance(value.dtype, str)):
            _fail(f"the value {name!r} has a name or a dtype that is no text")
        if not isinstance(value.shape, tuple | None) or not isinstance(value.quant, Quant | None):
            _fail(f"the value {name!r} has a shape that is no tuple, or a quant that is no Quant")


def _check_types_of_node(node: object, depth: int) -> None:
    if not isinstance(node, Node):
        _fail(f"a node is of type {type(node).__name__}")
    if not (isinstance(node.op, str) and isinstance(node.name, str)):
        _fail(f"the op {node.op!r} or the name {node.name!r} of a node is no text")
    _check_texts(node.inputs, f"the inputs of the {label(node)}")
    _check_texts(node.outputs, f"the outputs of the {label(node)}")
    if not isinstance(node.attributes, dict):
        _fail(f"the attributes of the {label(node)} are no dict")
    if not isinstance(node.bodies, dict):
        _fail(f"the bodies of the {label(node)} are no dict")
    if node.bodies and depth == MAX_DEPTH:
        _fail(f"the {label(node)} has bodies, and lies within {depth}: there are {depth} at most")
    for name, body in node.bodies.items():
        what = f"the body {name!r} of the {label(node)}"
        if not isinstance(name, str) or not isinstance(body, Body):
            _fail(f"{what} is of type {type(body).__name__}")
        _check_texts(body.inputs, f"the inputs of {what}")
        _check_texts(body.outputs, f"the outputs of {what}")
        if not isinstance(body.nodes, list | tuple):
            _fail(f"the nodes of {what} are of type {type(body.nodes).__name__}, not a tuple")
        for inner in body.nodes:
            _check_types_of_node(inner, depth + 1)


def _check_texts(names: object, what: str) -> None:
    if not isinstance(names, list | tuple):
        _fail(f"{what} are of type {type(names).__name__}, not a list")
    for name in names:
        if not isinstance(name, str):
            _fail(f"{what} hold {name!r}, which is no text")


def _check_value(name: str, value: Value) -> None:
    if not name or value.name != name:
        _fail(f"the value {name!r} has no name, or another one")
    if value.dtype not in DTYPES and value.dtype not in PACKED:
        _fail(f"the value {name!r} is of the unknown dtype {value.dtype!r}")
    if value.shape is not None:
        for dim in value.shape:
            if not (dim if isinstance(dim, str) else type(dim) is int and dim >= 0):
                _fail(f"the shape of the value {name!r} has an axis that is no size and no symbol")
        size = math.prod(dim for dim in value.shape if isinstance(dim, int) and dim > 0)
        if len(value.shape) > MAX_RANK or size * storage(value.dtype).itemsize >= 2**63:
            _fail(f"the shape of the value {name!r} is too large")
    if value.quant is not None:
        _check_quant(value, value.quant)


def _check_quant(value: Value, quant: Quant) -> None:
    name = value.name
    if not (isinstance(quant.scale, np.ndarray) and isinstance(quant.zero_point, np.ndarray)):
        _fail(f"the scale or zero point of the value {name!r} is no array")
    if not (type(quant.axis) is int or quant.axis is None) or not (
        type(quant.block) is int or quant.block is None
    ):
        _fail(f"the axis or block of the value {name!r} is no integer")
    if not is_integer(value.dtype):
        _fail(f"the value {name!r} is no integer but has a scale")
    count = quant.scale.size
    if quant.scale.shape != (count,) or quant.zero_point.shape != (count,):
        _fail(f"the scale and zero point of the value {name!r} must be vectors of one length")
    if count == 0 or (quant.axis is None and count != 1):
        _fail(f"the value {name!r} has {count} scales")
    if quant.scale.dtype != np.float32 or not (np.isfinite(quant.scale) & (quant.scale > 0)).all():
        _fail(f"a scale of the value {name!r} is not a positive float32")
    least, greatest = limits(value.dtype)
    if quant.zero_point.dtype.kind not in "iu" and quant.zero_point.dtype != np.float32:
        _fail(f"the zero points of the value {name!r} are {quant.zero_point.dtype}, not integers or float32")
    if not ((quant.zero_point >= least) & (quant.zero_point <= greatest)).all():
        _fail(f"a zero point of the value {name!r} is outside {least}..{greatest}")
    if quant.block is not None and (quant.block < 1 or quant.axis is None):
        _fail(f"the value {name!r} has a block without an axis, or of no elements")
    if quant.axis is None or value.shape is None:
        return
    if not 0 <= quant.axis < len(value.shape):
        _fail(f"the value {name!r} has no axis {quant.axis} for its scales")
    length = value.shape[quant.axis]
    if isinstance(length, int) and -(-length // (quant.block or 1)) != count:
        _fail(f"the value {name!r} has {count} scales for an axis of {length}")


def _check_constant(name: str, array: npt.NDArray[Any], value: Value | None) -> None:
    if value is None:
        _fail(f"the constant {name!r} is no value")
    if value.dtype in PACKED:
        _check_packed(name, array, value)
    elif array.dtype != DTYPES[value.dtype] or array.shape != value.shape:
        _fail(f"the constant {name!r} is {array.dtype} {array.shape}, its value {value.dtype} {value.shape}")
    if value.dtype == "bool" and (array.view(np.uint8) > 1).any():
        _fail(f"the constant {name!r} of bool has a byte that is neither 0 nor 1")


def _check_packed(name: str, array: npt.NDArray[Any], value: Value) -> None:
    sizes = [size for size in value.shape or () if isinstance(size, int)]
    if value.shape is None or len(sizes) != len(value.shape):
        _fail(f"the constant {name!r} of {value.dtype} has a shape that is not known")
    length = packed_bytes(value.dtype, tuple(sizes))
    if array.dtype != np.uint8 or array.shape != (length,):
        _fail(
            f"the constant {name!r} of {value.dtype} {value.shape} is {array.dtype} {array.shape}, "
            f"not {length} bytes"
        )
    spare = 8 * length - math.prod(sizes) * PACKED[value.dtype]
    if spare and array[-1] >> (8 - spare):
        _fail(f"the constant {name!r} of {value.dtype} has bits set behind its last element")


def _check_names(program: Program, nodes: Iterable[Node]) -> None:
    names = [*program.inputs, *program.outputs]
    for node in nodes:
        names += filter(None, (*node.inputs, *node.outputs))
        for body in node.bodies.values():
            names += (*body.inputs, *body.outputs)
    for name in names:
        if name not in program.values:
            _fail(f"the value {name!r} is used but not described")


def _check_bodies(node: Node) -> None:
    """A node has the bodies of its operator, and these are given as much as they take."""
    wanted = BODIES.get(node.op, ())
    if sorted(node.bodies) != list(wanted):
        _fail(f"the {label(node)} has the bodies {sorted(node.bodies)}, not {list(wanted)}")
    for name, body in node.bodies.items():
        given, taken = (0, 0) if node.op == "If" else (len(node.inputs), len(body.inputs))
        if taken > given or (node.op == "If" and body.inputs) or (node.op == "Loop" and taken < COUNTED):
            _fail(f"the {label(node)} cannot give {name!r} its {len(body.inputs)} inputs")


def _check_order(program: Program) -> None:
    """Every value comes from one place, and before it is read."""
    defined = set(program.constants)
    for name in program.inputs:
        if name in defined:
            _fail(f"the input {name!r} is listed twice, or is a constant")
        defined.add(name)
    order = _Order(program, defined)
    order.check(program.nodes, set(program.inputs), None)
    for name, value in program.values.items():
        if name not in defined:
            _fail(f"nothing makes the value {name!r}")
        if value.dtype in PACKED and (name not in program.constants or name in program.outputs):
            _fail(
                f"the value {name!r} of {value.dtype}, which is packed, must be a constant inside the program"
            )
    if len(set(program.outputs)) != len(program.outputs):
        _fail("an output is listed twice")
    if not program.outputs:
        _fail("it has no outputs")
    for name in program.outputs:
        if name not in order.outermost:
            _fail(f"the output {name!r} is made inside a body alone")


class _Order:
    """Every value comes from one place, and before it is read, in bodies too.

    defined: what has been made or given so far, anywhere. outermost: what can be read outside of all bodies.
    """

    def __init__(self, program: Program, defined: set[str]) -> None:
        self._constants = program.constants
        self._defined = defined
        self.outermost: set[str] = {*program.constants, *program.inputs}

    def check(self, nodes: Iterable[Node], visible: set[str], around: Node | None) -> None:
        """Check the nodes of a body of the node around them, which see these values beside the constants."""
        for node in nodes:
            for name in filter(None, node.inputs):
                self._check_read(f"the {label(node)} reads", name, visible, around)
            for key in sorted(node.bodies):
                self._check_body(node, key)
            for name in filter(None, node.outputs):
                self._define(f"the {label(node)} makes", name)
                visible.add(name)
        if around is None:
            self.outermost |= visible

    def _check_body(self, node: Node, key: str) -> None:
        body, visible = node.bodies[key], set(captured(node))
        for name in body.inputs:
            self._define(f"{key!r} of the {label(node)} takes", name)
            visible.add(name)
        self.check(body.nodes, visible, node)
        for name in body.outputs:
            self._check_read(f"{key!r} of the {label(node)} gives", name, visible, node)

    def _define(self, what: str, name: str) -> None:
        if name in self._defined:
            _fail(f"{what} {name!r}, which is already defined")
        self._defined.add(name)

    def _check_read(self, what: str, name: str, visible: set[str], around: Node | None) -> None:
        if name in visible or name in self._constants:
            return
        if around is None:
            _fail(f"{what} {name!r} before it is made")
        _fail(
            f"{what} {name!r}, which is not made before it there, and which the {label(around)} does not read"
        )


def _form(program: Program, node: Node) -> Signature:
    """The form of its op that a node is of, its inputs and outputs counted."""
    forms = signatures().get(node.op)
    if forms is None:
        _fail(f"the node {node.name!r} is of the unknown op {node.op!r}")
    fitting = [form for form in forms if form.accepts(len(node.inputs))]
    if not fitting:
        _fail(f"the {label(node)} cannot have {len(node.inputs)} inputs")
    made = program.values[node.outputs[0]].dtype if any(node.outputs[:1]) else ""
    form = next((form for form in fitting if form.makes(made)), fitting[0])
    for slot, name in _slots(form.inputs, node.inputs):
        if not name and not slot.optional:
            _fail(f"the {label(node)} lacks its input {slot.name!r}")
    variadic = any(slot.variadic for slot in form.outputs)
    least = sum(not slot.optional for slot in form.outputs)
    if not any(node.outputs) or not (variadic or least <= len(node.outputs) <= len(form.outputs)):
        _fail(f"the {label(node)} cannot have {len(node.outputs)} outputs")
    return form


def _slots(slots: tuple[Slot, ...], names: Iterable[str]) -> Iterator[tuple[Slot, str]]:
    """Each name with its slot: the last slot, if variadic, as often as needed."""
    for index, name in enumerate(names):
        yield slots[min(index, len(slots) - 1)], name


def _check_dtypes(program: Program, node: Node, form: Signature) -> None:
    bound: dict[str, str] = {}
    for slot, name in [*_slots(form.inputs, node.inputs), *_slots(form.outputs, node.outputs)]:
        if not name:
            continue
        dtype = program.values[name].dtype
        allowed = DTYPE_SETS.get(slot.dtype, (slot.dtype,))
        is_bound = not slot.mixed and bound.setdefault(slot.dtype, dtype) != dtype
        if dtype not in allowed or is_bound:
            _fail(f"the {label(node)} cannot have {name!r} of {dtype} as its {slot.name!r}")
        if slot.constant and name not in program.constants:
            _fail(f"the {label(node)} needs a constant as its {slot.name!r}, not {name!r}")


def _check_attributes(node: Node, form: Signature) -> None:
    for name, attribute in node.attributes.items():
        if name not in form.attributes:
            _fail(f"the {label(node)} has the unknown attribute {name!r}")
        kind, wanted = attribute_kind(attribute), form.attributes[name].kind
        if kind != wanted and not (isinstance(attribute, list) and not attribute and wanted == "f32s"):
            found = kind or type(attribute).__name__
            _fail(f"the attribute {name!r} of the {label(node)} is of type {found}, not {wanted}")
        _check_attribute(node, name, form.attributes[name])
    for name, slot in form.attributes.items():
        if not slot.optional and name not in node.attributes:
            _fail(f"the {label(node)} lacks the attribute {name!r}")


def _check_attribute(node: Node, name: str, slot: AttributeSlot) -> None:
    """An attribute of the right kind is what the table of ops lets it be."""
    attribute = node.attributes[name]
    if slot.choices and attribute not in slot.choices:
        _fail(f"the {label(node)}: {name} is {attribute!r}, not one of {slot.choices}")
    if slot.limits is not None:
        least, greatest = slot.limits
        numbers = cast("list[int]", attribute if isinstance(attribute, list) else [attribute])
        if not all(least <= number <= greatest for number in numbers):
            _fail(f"the {label(node)}: {name} is {attribute}, outside {least}..{greatest}")
