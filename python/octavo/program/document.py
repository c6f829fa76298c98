"""A Program as JSON, and the lists of floats beside it: what an artifact holds but for the constants.

Single floats are hexadecimal texts of their bits. Lists of floats, such as the scales of channels, stand one
after the other in a table of float32, in the order in which the JSON, its keys sorted, comes to them; the
JSON says how many each has. The multipliers and shifts of products that follow from scales are left out
(`octavo.program.derived`). Nothing that is read is believed; what the format does not have is an error that
names it.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from octavo.errors import ArtifactError
from octavo.program import FORMAT_VERSION, Attribute, Body, Node, Program, Quant, Value
from octavo.program.bodies import MAX_DEPTH
from octavo.program.derived import derived, left_out
from octavo.program.factors import Factored, decoded

Floats = npt.NDArray[np.float32]

ZEROS = "00000000"
"""What stands for the checksum's digits until they are known."""

_KEYS = (
    "crc32", "format", "opset", "producer", "preprocessing", "inputs", "outputs", "values", "nodes",
)  # fmt: skip


def encode(program: Program, forms: Mapping[str, Factored | None]) -> tuple[str, Floats, frozenset[str]]:
    """JSON that begins with a checksum of zeros, the table of floats, and the constants that are left out.

    forms: of constants that lie in the file by factors.
    """
    known = {"preprocessing": program.preprocessing} if program.preprocessing else {}
    out, floats = left_out(program), _Written()
    document = {
        "crc32": ZEROS,
        "format": FORMAT_VERSION,
        "opset": program.opset,
        "producer": program.producer,
        **known,
        "inputs": program.inputs,
        "outputs": program.outputs,
        "values": [
            floats.value(value, forms.get(name)) for name, value in program.values.items() if name not in out
        ],
        "nodes": [floats.node(node) for node in program.nodes],
    }
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text, np.array(floats.table, np.float32), out


class _Written:
    """JSON of a Program's parts, and the table that their lists of floats are put into."""

    def __init__(self) -> None:
        self.table: list[np.float32] = []

    def value(self, value: Value, form: Factored | None) -> dict[str, Any]:
        entry: dict[str, Any] = {"name": value.name, "dtype": value.dtype}
        if value.shape is not None:
            entry["shape"] = list(value.shape)
        if value.quant is not None:
            entry["quant"] = self._quant(value.quant)
        if form is not None:
            entry["factored"] = asdict(form)
        return entry

    def _quant(self, quant: Quant) -> dict[str, Any]:
        entry = {"scale": self._floats(quant.scale), "zero_point": self._zero_point(quant)}
        known = {"axis": quant.axis, "block": quant.block}
        return entry | {key: number for key, number in known.items() if number is not None}

    def _zero_point(self, quant: Quant) -> Any:  # noqa: ANN401
        """One integer for all scales where that is so."""
        if quant.zero_point.dtype == np.float32:
            return self._floats(quant.zero_point.astype(np.float32))
        zeros = [int(zero) for zero in quant.zero_point]
        return zeros[0] if len(zeros) == len(quant.scale) and len(set(zeros)) == 1 else zeros

    def node(self, node: Node) -> dict[str, Any]:
        attributes = {name: self._attribute(node.attributes[name]) for name in sorted(node.attributes)}
        bodies = {name: self._body(node.bodies[name]) for name in sorted(node.bodies)}
        return {
            "op": node.op,
            "name": node.name,
            "inputs": list(node.inputs),
            "outputs": list(node.outputs),
            "attributes": attributes,
        } | ({"bodies": bodies} if bodies else {})

    def _body(self, body: Body) -> dict[str, Any]:
        return {
            "inputs": list(body.inputs),
            "outputs": list(body.outputs),
            "nodes": [self.node(node) for node in body.nodes],
        }

    def _attribute(self, attribute: Attribute) -> Any:  # noqa: ANN401
        if isinstance(attribute, np.float64):
            return {"f64": struct.pack(">d", attribute).hex()}
        if isinstance(attribute, np.float32):
            return {"f32": struct.pack(">f", attribute).hex()}
        if isinstance(attribute, list) and any(isinstance(item, np.float32) for item in attribute):
            return self._floats(attribute)
        return attribute

    def _floats(self, floats: "Floats | list[Any]") -> dict[str, int]:
        self.table.extend(floats)
        return {"f32": len(floats)}


def decode(json_value: Any, floats: Floats, constants: dict[str, npt.NDArray[Any]]) -> Program:  # noqa: ANN401
    """The Program of parsed JSON, of its table of floats and its constants, those left out derived again."""
    document = object_of({"preprocessing": "", **object_of(json_value, "its program")}, "its program", *_KEYS)
    read = _Read(floats)
    values = [read.value(value) for value in list_of(document["values"], "the list of values")]
    by_name = {value.name: value for value in values}
    if len(by_name) != len(values):
        invalid("a value is defined twice")
    nodes = [read.node(node) for node in list_of(document["nodes"], "the list of nodes")]
    read.end()
    for name in read.forms:
        if name not in constants:
            invalid(f"the value {name!r} is factored, but no constant")
    for name, array in derived(by_name, nodes).items():
        if name in constants:
            invalid(f"the constant {name!r} is no value")
        by_name[name], constants[name] = Value(name, "i32", array.shape), array
    return Program(
        inputs=_texts(document["inputs"], "the inputs"),
        outputs=_texts(document["outputs"], "the outputs"),
        values=by_name,
        constants={
            name: _widened(constants[name], by_name.get(name), read.forms.get(name))
            for name in sorted(constants)
        },
        nodes=nodes,
        opset=document["opset"],
        format_version=document["format"],
        producer=document["producer"],
        preprocessing=text_of(document["preprocessing"], "the preprocessing"),
    )


def _widened(array: npt.NDArray[Any], value: Value | None, form: Factored | None) -> npt.NDArray[Any]:
    """A constant as its value says: one of float32 may be stored as float16, one of int8 by factors."""
    if value is not None and form is not None:
        try:
            return form.from_bytes(array, value.dtype, value.shape)
        except ValueError as error:
            invalid(f"the constant {value.name!r} {error}")
    is_half = value is not None and value.dtype == "f32" and array.dtype == np.float16
    return array.astype(np.float32) if is_half else array


def _form(json_value: Any) -> Factored:  # noqa: ANN401
    entry = object_of(json_value, "how a value is factored", "bits", "group", "axis")
    try:
        return decoded({key: integer_of(entry[key], key) for key in entry})
    except ValueError as error:
        invalid(str(error))


class _Read:
    """A Program's parts of JSON, and of the table that holds their lists of floats."""

    def __init__(self, floats: Floats) -> None:
        self._floats = floats
        self._place = 0
        self.forms: dict[str, Factored] = {}

    def value(self, json_value: Any) -> Value:  # noqa: ANN401
        known = {"shape": None, "quant": None, "factored": None} | object_of(json_value, "a value")
        entry = object_of(known, "a value", "name", "dtype", "shape", "quant", "factored")
        name = text_of(entry["name"], "a value's name")
        if entry["factored"] is not None:
            self.forms[name] = _form(entry["factored"])
        shape: tuple[int | str, ...] | None = None
        if entry["shape"] is not None:
            dims = list_of(entry["shape"], f"the shape of the value {name!r}")
            axis = f"an axis of {name!r}"
            shape = tuple(dim if isinstance(dim, str) else integer_of(dim, axis) for dim in dims)
        quant = None if entry["quant"] is None else self._quant(entry["quant"], name)
        return Value(name, text_of(entry["dtype"], f"the dtype of the value {name!r}"), shape, quant)

    def _quant(self, json_value: Any, name: str) -> Quant:  # noqa: ANN401
        what = f"the quant of the value {name!r}"
        known = {"axis": None, "block": None} | object_of(json_value, what)
        entry = object_of(known, what, "scale", "zero_point", "axis", "block")
        scale = self._list(entry["scale"], f"the scale of the value {name!r}")
        zero_point: npt.NDArray[Any]
        if isinstance(entry["zero_point"], dict):
            zero_point = self._list(entry["zero_point"], f"the zero point of the value {name!r}")
        elif isinstance(entry["zero_point"], list):
            zero_point = np.array(
                [integer_of(zero, "a zero point") for zero in entry["zero_point"]], np.int64
            )
        else:
            zero_point = np.full(len(scale), integer_of(entry["zero_point"], "a zero point"), np.int64)
        axis, block = (
            None if entry[key] is None else integer_of(entry[key], f"the {key} of the value {name!r}")
            for key in ("axis", "block")
        )
        return Quant(scale, zero_point, axis, block)

    def node(self, json_value: Any, depth: int = 0) -> Node:  # noqa: ANN401
        known = {"bodies": {}} | object_of(json_value, "a node")
        entry = object_of(known, "a node", "op", "name", "inputs", "outputs", "attributes", "bodies")
        name = text_of(entry["name"], "a node's name")
        attributes = object_of(entry["attributes"], f"the attributes of the node {name!r}")
        return Node(
            text_of(entry["op"], f"the op of the node {name!r}"),
            name,
            tuple(_texts(entry["inputs"], f"the inputs of the node {name!r}")),
            tuple(_texts(entry["outputs"], f"the outputs of the node {name!r}")),
            {
                key: self._attribute(attributes[key], f"{key!r} of the node {name!r}")
                for key in sorted(attributes)
            },
            self._bodies(entry["bodies"], name, depth),
        )

    def _bodies(self, json_value: Any, name: str, depth: int) -> dict[str, Body]:  # noqa: ANN401
        bodies = object_of(json_value, f"the bodies of the node {name!r}")
        if bodies and depth == MAX_DEPTH:
            invalid(f"the node {name!r} has bodies, and lies within {depth}: there are {depth} at most")
        return {
            key: self._body(bodies[key], f"{key!r} of the node {name!r}", depth) for key in sorted(bodies)
        }

    def _body(self, json_value: Any, what: str, depth: int) -> Body:  # noqa: ANN401
        entry = object_of(json_value, f"the body {what}", "inputs", "outputs", "nodes")
        nodes = list_of(entry["nodes"], f"the nodes of the body {what}")
        return Body(
            tuple(_texts(entry["inputs"], f"the inputs of the body {what}")),
            tuple(_texts(entry["outputs"], f"the outputs of the body {what}")),
            tuple(self.node(node, depth + 1) for node in nodes),
        )

    def _attribute(self, json_value: Any, what: str) -> Attribute:  # noqa: ANN401
        if isinstance(json_value, str):
            return json_value
        if isinstance(json_value, list):
            return [integer_of(item, f"an item of the attribute {what}") for item in json_value]
        if isinstance(json_value, dict) and len(json_value) == 1:
            match json_value:
                case {"f32": str(digits)}:
                    return np.float32(struct.unpack(">f", _hex(digits, 8))[0])
                case {"f64": str(digits)}:
                    return np.float64(struct.unpack(">d", _hex(digits, 16))[0])
                case {"f32": _}:
                    return list(self._list(json_value, f"the attribute {what}"))
        return integer_of(json_value, f"the attribute {what}")

    def _list(self, json_value: Any, what: str) -> Floats:  # noqa: ANN401
        """The next floats of the table, as many as the JSON says."""
        count = integer_of(object_of(json_value, what, "f32")["f32"], f"the number of floats of {what}")
        start = self._place
        if not 0 <= count <= len(self._floats) - start:
            invalid(
                f"{what} has {count} floats, and {len(self._floats) - start} are left of those in the file"
            )
        self._place += count
        return self._floats[start : self._place].copy()

    def end(self) -> None:
        """All of the table must have been read."""
        if self._place != len(self._floats):
            invalid(f"it has {len(self._floats)} floats, and its program takes {self._place}")


# What JSON can hold. Nothing in the file is believed.


def invalid(what: str) -> NoReturn:
    """Raises ArtifactError: the file is whole and still wrong."""
    raise ArtifactError(f"the artifact is not valid: {what}")


def parse(text: bytes) -> Any:  # noqa: ANN401
    """JSON of objects, lists, texts and integers.

    A key twice, a fraction, a NaN, or half a character is an error.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        entries = dict(pairs)
        if len(entries) != len(pairs):
            raise ValueError("a key is given twice")
        return entries

    def refuse(text: str) -> NoReturn:
        raise ValueError(f"the format has no number {text}")

    try:
        parsed = json.loads(
            text.decode("utf-8"), object_pairs_hook=unique, parse_float=refuse, parse_constant=refuse
        )
        if b"\\u" in text:  # half of a surrogate pair is no character
            json.dumps(parsed, ensure_ascii=False).encode("utf-8")
        return parsed
    except (ValueError, RecursionError) as error:
        invalid(f"its JSON is wrong: {error}")


def object_of(json_value: Any, what: str, *keys: str) -> dict[str, Any]:  # noqa: ANN401
    """A JSON object, of exactly these keys if any are given."""
    if not isinstance(json_value, dict):
        invalid(f"{what} is no JSON object")
    for key in keys:
        if key not in json_value:
            invalid(f"{what} lacks {key!r}")
    for key in json_value:
        if keys and key not in keys:
            invalid(f"{what} has the unknown key {key!r}")
    return json_value


def list_of(json_value: Any, what: str) -> list[Any]:  # noqa: ANN401
    """A JSON list."""
    if not isinstance(json_value, list):
        invalid(f"{what} is no list")
    return json_value


def text_of(json_value: Any, what: str) -> str:  # noqa: ANN401
    """A JSON text."""
    if not isinstance(json_value, str):
        invalid(f"{what} is no text")
    return json_value


def _texts(json_value: Any, what: str) -> list[str]:  # noqa: ANN401
    return [text_of(item, f"an item of {what}") for item in list_of(json_value, what)]


def integer_of(json_value: Any, what: str) -> int:  # noqa: ANN401
    """A JSON integer of 64 bits."""
    if type(json_value) is not int or not -(2**63) <= json_value < 2**63:
        invalid(f"{what} is no 64-bit integer")
    return json_value


def _hex(digits: str, count: int) -> bytes:
    """The bytes of exactly so many lower-case hexadecimal digits."""
    if len(digits) != count or not set(digits) <= set("0123456789abcdef"):
        invalid(f"{digits!r} is not {count} hexadecimal digits")
    return bytes.fromhex(digits)
