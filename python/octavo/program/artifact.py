"""Artifacts: a Program as a safetensors file, the constants its tensors, the rest as JSON in its metadata.

The same Program gives the same bytes. Every float is in a tensor, or a hexadecimal text of its bits, so
nothing is rounded. A CRC-32 covers the whole file, its own eight digits read as zeros; safety comes from
validation, not from the sum.
"""

import math
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from octavo.errors import ArtifactError
from octavo.program import DTYPES, FORMAT_VERSION, MAX_RANK, OPSET, Program, saving
from octavo.program.derived import left_out
from octavo.program.document import (
    ZEROS,
    decode,
    encode,
    integer_of,
    invalid,
    list_of,
    object_of,
    parse,
    text_of,
)
from octavo.program.factors import Factored, factored
from octavo.program.formats import COMPRESSED
from octavo.program.integers import storage
from octavo.program.validate import validate

_METADATA, _METADATA_KEY = "__metadata__", "octavo"
_FLOATS = "__floats__"
"""The tensor of the lists of floats that belong to no constant."""
_CHECKSUM_MARK = rb"crc32\":\""
"""What stands before the checksum's digits: JSON within JSON, so the quotes are escaped."""
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


def to_bytes(program: Program, *, compress: bool = False) -> bytes:
    """The artifact of a Program, the same bytes for the same Program.

    compress: as a frame of Zstandard. Raises ArtifactError where the Program is not valid.
    """
    validate(program)
    data = packed(program)
    if not compress:
        return data
    from octavo import _core

    return _core.compress(data)


def packed(program: Program) -> bytes:
    """The artifact of a Program that is known to be valid."""
    for name in (_METADATA, _FLOATS):
        if name in program.constants:
            raise ArtifactError(
                f"a constant cannot have the name {name!r}, which the file format keeps: rename it"
            )
    forms = {name: factored(array, program.values[name].dtype) for name, array in program.constants.items()}
    text, floats, out = encode(program, forms)
    tensors = {name: _tensor(program, name, form) for name, form in forms.items() if name not in out}
    if len(floats):
        tensors[_FLOATS] = floats
    zeros = _serialized(text, tensors)
    checksum = _checksum(zeros, zeros.index(_CHECKSUM_MARK) + len(_CHECKSUM_MARK))
    del zeros  # made anew rather than copied, so that no two are in memory at once
    return _serialized(text.replace(ZEROS, checksum, 1), tensors)


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


def stored(program: Program) -> dict[str, tuple[str, int]]:
    """The constants that an artifact holds, and what each is written as, as `stored_as` has it."""
    out = left_out(program)
    return {
        name: stored_as(array, program.values[name].dtype)
        for name, array in program.constants.items()
        if name not in out
    }


def stored_bytes(program: Program) -> int:
    """The bytes that the constants take in an artifact."""
    return sum(size for _, size in stored(program).values())


def from_bytes(data: bytes) -> Program:
    """The Program of an artifact.

    Raises ArtifactError where the file is damaged, of a newer format, or not valid.
    """
    if not isinstance(data, bytes):
        raise TypeError(f"an artifact is bytes, not an object of type {type(data).__name__}")
    if data.startswith(COMPRESSED):
        from octavo import _core

        data = _core.expand(data)
    header, tensors = _split(data)
    at = header.find(_CHECKSUM_MARK)
    if at < 0:
        invalid("it holds no checksum, so octavo did not write it")
    at += 8 + len(_CHECKSUM_MARK)
    found, computed = data[at : at + len(ZEROS)], _checksum(data, at)
    if found != computed.encode():
        _damaged(f"its checksum is {found!r} but its bytes give {computed}")
    layout = object_of(parse(header), "its header")
    metadata = object_of(layout.pop(_METADATA, None), "its metadata", _METADATA_KEY)
    document = parse(text_of(metadata[_METADATA_KEY], "its program").encode())
    _check_versions(document)
    if document.get("crc32") != computed:
        invalid("its checksum is not where the format has it")
    constants = _constants(layout, tensors)
    program = decode(document, _floats(constants), constants)
    validate(program)
    return program


def save(
    program: Program,
    path: saving.PathLike,
    sources: Iterable[saving.PathLike] = (),
    *,
    compress: bool = False,
) -> None:
    """Write the artifact of a Program: all of it or, where that fails, nothing.

    sources: the files that the Program was made from, which are not overwritten. compress: as of `to_bytes`.
    Raises ArtifactError where `path` is one of them or the Program is not valid, OSError where the file
    cannot be written.
    """
    saving.check(path, sources)
    saving.write(path, to_bytes(program, compress=compress))


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


def _checksum(data: bytes, at: int) -> str:
    crc = zlib.crc32(ZEROS.encode(), zlib.crc32(memoryview(data)[:at]))
    return f"{zlib.crc32(memoryview(data)[at + len(ZEROS) :], crc):08x}"


def _serialized(text: str, tensors: dict[str, npt.NDArray[Any]]) -> bytes:
    from safetensors.numpy import save as serialize

    try:
        return serialize(tensors, {_METADATA_KEY: text})
    except UnicodeEncodeError as error:
        raise ArtifactError(f"a name cannot be written as UTF-8: {error}") from error


def _split(data: bytes) -> tuple[bytes, memoryview]:
    """The JSON header and the bytes after it."""
    if len(data) < 8:
        _damaged(f"it has {len(data)} bytes")
    length = int.from_bytes(data[:8], "little")
    if length > len(data) - 8:
        _damaged(f"its header says {length} bytes, {len(data) - 8} are there")
    return data[8 : 8 + length], memoryview(data)[8 + length :]


def _check_versions(json_value: Any) -> None:  # noqa: ANN401
    """Tell a newer file as such, before what it holds seems wrong."""
    document = object_of(json_value, "its program")
    producer = text_of(document.get("producer"), "the producer")
    version = integer_of(document.get("format"), "the format")
    opset = integer_of(document.get("opset"), "the opset")
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
        entry = object_of(json_value, f"the constant {name!r}", "dtype", "shape", "data_offsets")
        if entry["dtype"] not in _TENSOR_DTYPES:
            invalid(f"the constant {name!r} is of the dtype {entry['dtype']!r}")
        shape = [
            integer_of(dim, f"an axis of the constant {name!r}") for dim in list_of(entry["shape"], "a shape")
        ]
        offsets = [
            integer_of(offset, "an offset") for offset in list_of(entry["data_offsets"], "the offsets")
        ]
        if len(offsets) != 2 or min(shape, default=0) < 0:
            invalid(f"the constant {name!r} has the offsets {offsets} and the shape {shape}")
        if len(shape) > MAX_RANK or math.prod(filter(None, shape)) >= 2**60:
            invalid(f"the constant {name!r} has the shape {shape}")
        entries.append((offsets[0], offsets[1], name, DTYPES[_TENSOR_DTYPES[entry["dtype"]]], shape))
    position = 0
    for start, end, name, dtype, shape in sorted(entries, key=lambda entry: entry[:3]):
        if start != position or not start <= end <= len(tensors):
            invalid(
                f"the constant {name!r} lies at {start}..{end}, not at {position} within {len(tensors)} bytes"
            )
        position = end
        if dtype.itemsize * math.prod(shape) != end - start:
            invalid(f"the constant {name!r} of shape {shape} cannot have {end - start} bytes")
        constants[name] = np.frombuffer(tensors[start:end], dtype).reshape(shape).copy()
    if position != len(tensors):
        invalid(f"its header describes {position} bytes of constants, it has {len(tensors)}")
    return constants


def _floats(constants: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
    """The table of floats, taken from among the tensors; none where there is no such tensor."""
    floats = constants.pop(_FLOATS, np.zeros(0, np.float32))
    if floats.dtype != np.float32 or floats.ndim != 1:
        invalid(f"its tensor {_FLOATS!r} is not a list of float32")
    return floats
