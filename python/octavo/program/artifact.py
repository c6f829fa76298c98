"""Artifacts: a Program as a safetensors file, the constants its tensors, the rest as JSON in its metadata.

The same Program gives the same bytes. Every float is a hexadecimal text of its bits, so nothing is rounded.
A CRC-32 covers the whole file, its own eight digits read as zeros; safety comes from validation, not from
the sum.
"""

import json
import math
import os
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from octavo.errors import ArtifactError
from octavo.program import (
    DTYPES,
    FORMAT_VERSION,
    MAX_RANK,
    OPSET,
    Attribute,
    Node,
    Program,
    Quant,
    Value,
    saving,
)
from octavo.program.factors import Factored, decoded, factored
from octavo.program.integers import storage
from octavo.program.validate import validate

_METADATA_KEY = "octavo"
_CHECKSUM_MARK = rb"crc32\":\""
"""What stands before the checksum's digits: JSON within JSON, so the quotes are escaped."""
_ZEROS = "00000000"
LEAST_HALVES = 64
"""Elements of a constant of float32 from which on it may be stored as float16."""
_TENSOR_DTYPES = {
    "BOOL": "bool",
    "F16": "f16",
    "F32": "f32",
    "F64": "f64",
    "I16": "i16",
    "I32": "i32",
    "I64": "i64",
    "I8": "i8",
    "U8": "u8",
}


def to_bytes(program: Program) -> bytes:
    """The artifact of a Program, the same bytes for the same Program.

    Raises ArtifactError where the Program is not valid.
    """
    validate(program)
    return packed(program)


def packed(program: Program) -> bytes:
    """The artifact of a Program that is known to be valid."""
    if "__metadata__" in program.constants:
        raise ArtifactError(
            "a constant cannot have the name '__metadata__', which the file format keeps: rename it"
        )
    forms = {name: factored(array, program.values[name].dtype) for name, array in program.constants.items()}
    tensors = {name: _tensor(program, name, form) for name, form in forms.items()}
    text = _text_of(program, forms)
    zeros = _serialized(text, tensors)
    checksum = _checksum(zeros, zeros.index(_CHECKSUM_MARK) + len(_CHECKSUM_MARK))
    del zeros  # made anew rather than copied, so that no two are in memory at once
    return _serialized(text.replace(_ZEROS, checksum, 1), tensors)


def _tensor(program: Program, name: str, form: Factored | None) -> npt.NDArray[Any]:
    array = program.constants[name]
    if form is not None:
        return form.to_bytes(array)
    return np.require(array, _stored_as(array, program.values[name].dtype), "C")


def stored_as(array: npt.NDArray[Any], dtype: str) -> tuple[str, int]:
    """What a constant of this dtype is written as, by name, and the bytes that it takes."""
    form = factored(array, dtype)
    if form is not None:
        return form.dtype, form.size(array.shape)
    stored = _stored_as(array, dtype)
    return "f16" if stored == DTYPES["f16"] else dtype, stored.itemsize * array.size


def _stored_as(array: npt.NDArray[Any], dtype: str) -> np.dtype[Any]:
    """The dtype of what is written: float32 as float16 where that holds each element's bits.

    Arrays of fewer than 64 elements stay as they are: nothing is saved by them.
    """
    if dtype != "f32" or array.size < LEAST_HALVES:
        return storage(dtype)
    flat = array.reshape(-1)
    some, rest = flat[:LEAST_HALVES], flat[LEAST_HALVES:]
    return DTYPES["f16"] if _are_halves(some) and _are_halves(rest) else DTYPES["f32"]


def _are_halves(array: npt.NDArray[Any]) -> bool:
    with np.errstate(over="ignore"):
        halves = array.astype(np.float16)
    return bool(np.array_equal(halves.astype(np.float32).view(np.uint32), array.view(np.uint32)))


def stored_bytes(program: Program) -> int:
    """The bytes that the constants take in an artifact."""
    return sum(stored_as(array, program.values[name].dtype)[1] for name, array in program.constants.items())


def from_bytes(data: bytes) -> Program:
    """The Program of an artifact.

    Raises ArtifactError where the file is damaged, of a newer format, or not valid.
    """
    if not isinstance(data, bytes):
        raise TypeError(f"an artifact is bytes, not an object of type {type(data).__name__}")
    header, tensors = _split(data)
    at = header.find(_CHECKSUM_MARK)
    if at < 0:
        _invalid("it holds no checksum, so octavo did not write it")
    at += 8 + len(_CHECKSUM_MARK)
    found, computed = data[at : at + len(_ZEROS)], _checksum(data, at)
    if found != computed.encode():
        _damaged(f"its checksum is {found!r} but its bytes give {computed}")
    layout = _object(_parse(header), "its header")
    metadata = _object(layout.pop("__metadata__", None), "its metadata", _METADATA_KEY)
    document = _parse(_text(metadata[_METADATA_KEY], "its program").encode())
    _check_versions(document)
    document = _object({"preprocessing": "", **document}, "its program", *_DOCUMENT_KEYS)
    if document["crc32"] != computed:
        _invalid("its checksum is not where the format has it")
    program = _decode(document, _constants(layout, tensors))
    validate(program)
    return program


def save(program: Program, path: saving.PathLike, sources: Iterable[saving.PathLike] = ()) -> None:
    """Write the artifact of a Program: all of it or, where that fails, nothing.

    sources: the files that the Program was made from, which are not overwritten. Raises ArtifactError where
    `path` is one of them or the Program is not valid, OSError where the file cannot be written.
    """
    saving.check(path, sources)
    saving.write(path, to_bytes(program))


def load(path: str | os.PathLike[str]) -> Program:
    """The Program of an artifact file.

    Raises ArtifactError as `from_bytes` does, OSError where the file cannot be read.
    """
    try:
        data = Path(path).read_bytes()
    except ValueError as error:  # a null byte, or what is not UTF-8
        raise ArtifactError(f"{os.fspath(path)!r} cannot be the path of a file: {error}") from None
    try:
        return from_bytes(data)
    except ArtifactError as error:
        raise ArtifactError(f"{os.fspath(path)}: {error}") from error


def _damaged(what: str) -> NoReturn:
    raise ArtifactError(f"the artifact is damaged: {what}; copy or save it again")


def _invalid(what: str) -> NoReturn:
    raise ArtifactError(f"the artifact is not valid: {what}")


def _checksum(data: bytes, at: int) -> str:
    crc = zlib.crc32(_ZEROS.encode(), zlib.crc32(memoryview(data)[:at]))
    return f"{zlib.crc32(memoryview(data)[at + len(_ZEROS) :], crc):08x}"


# Writing


def _text_of(program: Program, forms: Mapping[str, Factored | None]) -> str:
    """The Program without its constants as JSON, which begins with a checksum of zeros."""
    return json.dumps(_encode(program, forms), separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _serialized(text: str, tensors: dict[str, npt.NDArray[Any]]) -> bytes:
    from safetensors.numpy import save as serialize

    try:
        return serialize(tensors, {_METADATA_KEY: text})
    except UnicodeEncodeError as error:
        raise ArtifactError(f"a name cannot be written as UTF-8: {error}") from error


def _encode(program: Program, forms: Mapping[str, Factored | None]) -> dict[str, Any]:
    known = {"preprocessing": program.preprocessing} if program.preprocessing else {}
    return {
        "crc32": _ZEROS,
        "format": FORMAT_VERSION,
        "opset": program.opset,
        "producer": program.producer,
        **known,
        "inputs": program.inputs,
        "outputs": program.outputs,
        "values": [_encode_value(value, forms.get(value.name)) for value in program.values.values()],
        "nodes": [_encode_node(node) for node in program.nodes],
    }


def _encode_value(value: Value, form: Factored | None) -> dict[str, Any]:
    quant = value.quant and {
        "scale": {"f32": _f32_hex(value.quant.scale)},
        "zero_point": _encode_zero_point(value.quant.zero_point),
        "axis": value.quant.axis,
        "block": value.quant.block,
    }
    shape = None if value.shape is None else list(value.shape)
    known = {} if form is None else {"factored": asdict(form)}
    return {"name": value.name, "dtype": value.dtype, "shape": shape, "quant": quant, **known}


def _encode_zero_point(zero_point: npt.NDArray[Any]) -> Any:  # noqa: ANN401
    if zero_point.dtype == np.float32:
        return {"f32": _f32_hex(zero_point)}
    return [int(zero) for zero in zero_point]


def _encode_node(node: Node) -> dict[str, Any]:
    attributes = {name: _encode_attribute(node.attributes[name]) for name in sorted(node.attributes)}
    return {
        "op": node.op,
        "name": node.name,
        "inputs": list(node.inputs),
        "outputs": list(node.outputs),
        "attributes": attributes,
    }


def _encode_attribute(attribute: Attribute) -> Any:  # noqa: ANN401
    if isinstance(attribute, np.float64):
        return {"f64": struct.pack(">d", attribute).hex()}
    if isinstance(attribute, np.float32):
        return {"f32": _f32_hex([attribute])[0]}
    if isinstance(attribute, list) and any(isinstance(item, np.float32) for item in attribute):
        return {"f32": _f32_hex(attribute)}
    return attribute


def _f32_hex(reals: npt.ArrayLike) -> list[str]:
    digits = np.asarray(reals, ">f4").tobytes().hex()
    return [digits[start : start + 8] for start in range(0, len(digits), 8)]


# Reading. Nothing in the file is believed; what the format does not have is an error that names it.

_DOCUMENT_KEYS = (
    "crc32", "format", "opset", "producer", "preprocessing", "inputs", "outputs", "values", "nodes",
)  # fmt: skip


def _split(data: bytes) -> tuple[bytes, memoryview]:
    """The JSON header and the bytes after it."""
    if len(data) < 8:
        _damaged(f"it has {len(data)} bytes")
    length = int.from_bytes(data[:8], "little")
    if length > len(data) - 8:
        _damaged(f"its header says {length} bytes, {len(data) - 8} are there")
    return data[8 : 8 + length], memoryview(data)[8 + length :]


def _parse(text: bytes) -> Any:  # noqa: ANN401
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
        _invalid(f"its JSON is wrong: {error}")


def _object(json_value: Any, what: str, *keys: str) -> dict[str, Any]:  # noqa: ANN401
    """A JSON object, of exactly these keys if any are given."""
    if not isinstance(json_value, dict):
        _invalid(f"{what} is no JSON object")
    for key in keys:
        if key not in json_value:
            _invalid(f"{what} lacks {key!r}")
    for key in json_value:
        if keys and key not in keys:
            _invalid(f"{what} has the unknown key {key!r}")
    return json_value


def _list(json_value: Any, what: str) -> list[Any]:  # noqa: ANN401
    if not isinstance(json_value, list):
        _invalid(f"{what} is no list")
    return json_value


def _text(json_value: Any, what: str) -> str:  # noqa: ANN401
    if not isinstance(json_value, str):
        _invalid(f"{what} is no text")
    return json_value


def _texts(json_value: Any, what: str) -> list[str]:  # noqa: ANN401
    return [_text(item, f"an item of {what}") for item in _list(json_value, what)]


def _integer(json_value: Any, what: str) -> int:  # noqa: ANN401
    if type(json_value) is not int or not -(2**63) <= json_value < 2**63:
        _invalid(f"{what} is no 64-bit integer")
    return json_value


def _check_versions(json_value: Any) -> None:  # noqa: ANN401
    """Tell a newer file as such, before what it holds seems wrong."""
    document = _object(json_value, "its program")
    producer = _text(document.get("producer"), "the producer")
    version = _integer(document.get("format"), "the format")
    opset = _integer(document.get("opset"), "the opset")
    if (version, opset) != (FORMAT_VERSION, OPSET):
        raise ArtifactError(
            f"the artifact, written by {producer!r}, has format {version} and opset {opset}; this octavo "
            f"reads format {FORMAT_VERSION} and opset {OPSET}: use the octavo that wrote it, or quantize the "
            "model again"
        )


def _constants(layout: dict[str, Any], tensors: memoryview) -> dict[str, npt.NDArray[Any]]:
    """The tensors, which must follow each other without gaps and fill the file."""
    constants: dict[str, npt.NDArray[Any]] = {}
    entries: list[tuple[int, int, str, np.dtype[Any], list[int]]] = []
    for name, json_value in layout.items():
        entry = _object(json_value, f"the constant {name!r}", "dtype", "shape", "data_offsets")
        if entry["dtype"] not in _TENSOR_DTYPES:
            _invalid(f"the constant {name!r} is of the dtype {entry['dtype']!r}")
        shape = [
            _integer(dim, f"an axis of the constant {name!r}") for dim in _list(entry["shape"], "a shape")
        ]
        offsets = [_integer(offset, "an offset") for offset in _list(entry["data_offsets"], "the offsets")]
        if len(offsets) != 2 or min(shape, default=0) < 0:
            _invalid(f"the constant {name!r} has the offsets {offsets} and the shape {shape}")
        if len(shape) > MAX_RANK or math.prod(filter(None, shape)) >= 2**60:
            _invalid(f"the constant {name!r} has the shape {shape}")
        entries.append((offsets[0], offsets[1], name, DTYPES[_TENSOR_DTYPES[entry["dtype"]]], shape))
    position = 0
    for start, end, name, dtype, shape in sorted(entries, key=lambda entry: entry[:3]):
        if start != position or not start <= end <= len(tensors):
            _invalid(
                f"the constant {name!r} lies at {start}..{end}, not at {position} within {len(tensors)} bytes"
            )
        position = end
        if dtype.itemsize * math.prod(shape) != end - start:
            _invalid(f"the constant {name!r} of shape {shape} cannot have {end - start} bytes")
        constants[name] = np.frombuffer(tensors[start:end], dtype).reshape(shape).copy()
    if position != len(tensors):
        _invalid(f"its header describes {position} bytes of constants, it has {len(tensors)}")
    return constants


def _decode(document: dict[str, Any], constants: dict[str, npt.NDArray[Any]]) -> Program:
    read = [_decode_value(value) for value in _list(document["values"], "the list of values")]
    values, forms = [value for value, _ in read], {value.name: form for value, form in read if form}
    by_name = {value.name: value for value in values}
    if len(by_name) != len(values):
        _invalid("a value is defined twice")
    for name in forms:
        if name not in constants:
            _invalid(f"the value {name!r} is factored, but no constant")
    names = sorted(constants)
    read_as = {name: _widened(constants[name], by_name.get(name), forms.get(name)) for name in names}
    return Program(
        inputs=_texts(document["inputs"], "the inputs"),
        outputs=_texts(document["outputs"], "the outputs"),
        values=by_name,
        constants=read_as,
        nodes=[_decode_node(node) for node in _list(document["nodes"], "the list of nodes")],
        opset=document["opset"],
        format_version=document["format"],
        producer=document["producer"],
        preprocessing=_text(document["preprocessing"], "the preprocessing"),
    )


def _widened(array: npt.NDArray[Any], value: Value | None, form: Factored | None) -> npt.NDArray[Any]:
    """A constant as its value says: one of float32 may be stored as float16, one of int8 by factors."""
    if value is not None and form is not None:
        try:
            return form.from_bytes(array, value.dtype, value.shape)
        except ValueError as error:
            _invalid(f"the constant {value.name!r} {error}")
    is_half = value is not None and value.dtype == "f32" and array.dtype == np.float16
    return array.astype(np.float32) if is_half else array


def _decode_value(json_value: Any) -> tuple[Value, Factored | None]:  # noqa: ANN401
    known = _object(json_value, "a value")
    form = _decode_form(known["factored"]) if "factored" in known else None
    plain = {key: found for key, found in known.items() if key != "factored"}
    entry = _object(plain, "a value", "name", "dtype", "shape", "quant")
    name = _text(entry["name"], "a value's name")
    shape: tuple[int | str, ...] | None = None
    if entry["shape"] is not None:
        dims = _list(entry["shape"], f"the shape of the value {name!r}")
        shape = tuple(dim if isinstance(dim, str) else _integer(dim, f"an axis of {name!r}") for dim in dims)
    quant = None if entry["quant"] is None else _decode_quant(entry["quant"], name)
    return Value(name, _text(entry["dtype"], f"the dtype of the value {name!r}"), shape, quant), form


def _decode_form(json_value: Any) -> Factored:  # noqa: ANN401
    entry = _object(json_value, "how a value is factored", "bits", "group", "axis")
    try:
        return decoded({key: _integer(entry[key], key) for key in entry})
    except ValueError as error:
        _invalid(str(error))


def _decode_quant(json_value: Any, name: str) -> Quant:  # noqa: ANN401
    entry = _object(json_value, f"the quant of the value {name!r}", "scale", "zero_point", "axis", "block")
    scale = _f32s(entry["scale"], f"the scale of the value {name!r}")
    zero_point: npt.NDArray[Any]
    if isinstance(entry["zero_point"], dict):
        zero_point = _f32s(entry["zero_point"], f"the zero point of the value {name!r}")
    else:
        zeros = _list(entry["zero_point"], "the zero points")
        zero_point = np.array([_integer(zero, "a zero point") for zero in zeros], np.int64)
    axis, block = (
        None if entry[key] is None else _integer(entry[key], f"the {key} of the value {name!r}")
        for key in ("axis", "block")
    )
    return Quant(scale, zero_point, axis, block)


def _f32s(json_value: Any, what: str) -> npt.NDArray[np.float32]:  # noqa: ANN401
    digits = _texts(_object(json_value, what, "f32")["f32"], what)
    return np.array([_f32(text) for text in digits], np.float32)


def _decode_node(json_value: Any) -> Node:  # noqa: ANN401
    entry = _object(json_value, "a node", "op", "name", "inputs", "outputs", "attributes")
    name = _text(entry["name"], "a node's name")
    attributes = _object(entry["attributes"], f"the attributes of the node {name!r}")
    return Node(
        _text(entry["op"], f"the op of the node {name!r}"),
        name,
        tuple(_texts(entry["inputs"], f"the inputs of the node {name!r}")),
        tuple(_texts(entry["outputs"], f"the outputs of the node {name!r}")),
        {key: _decode_attribute(value, f"{key!r} of the node {name!r}") for key, value in attributes.items()},
    )


def _decode_attribute(json_value: Any, what: str) -> Attribute:  # noqa: ANN401
    if isinstance(json_value, str):
        return json_value
    if isinstance(json_value, list):
        return [_integer(item, f"an item of the attribute {what}") for item in json_value]
    if isinstance(json_value, dict) and len(json_value) == 1:
        match json_value:
            case {"f32": str(digits)}:
                return _f32(digits)
            case {"f32": list(items)}:
                return [_f32(_text(item, f"an item of the attribute {what}")) for item in items]
            case {"f64": str(digits)}:
                return np.float64(struct.unpack(">d", _hex(digits, 16))[0])
    return _integer(json_value, f"the attribute {what}")


def _f32(digits: str) -> np.float32:
    return np.float32(np.frombuffer(_hex(digits, 8), ">f4")[0])


def _hex(digits: str, count: int) -> bytes:
    """The bytes of exactly so many lower-case hexadecimal digits."""
    if len(digits) != count or not set(digits) <= set("0123456789abcdef"):
        _invalid(f"{digits!r} is not {count} hexadecimal digits")
    return bytes.fromhex(digits)
