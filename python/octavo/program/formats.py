"""What people give for a model that is neither an ONNX file nor an artifact, and what they can do about it.

A file is known by its first bytes; its name counts only where they say nothing.
"""

import io
import os
from collections.abc import Iterable

from octavo.program import Program

ONNX = "octavo takes ONNX: "
_FROM_TORCH = ONNX + 'export the model with torch.onnx.export(model, example, "model.onnx")'
_FROM_TFLITE = (
    ONNX + "convert the float model with python -m tf2onnx.convert --tflite FILE --output model.onnx"
)
_FROM_KERAS = (
    ONNX + "in Keras, model.export('model.onnx', format='onnx') writes one; for older files, tf2onnx"
)
_FROM_SAVED = ONNX + "python -m tf2onnx.convert --saved-model FOLDER --output model.onnx makes one of it"
_FROM_FROZEN = (
    ONNX + "python -m tf2onnx.convert --graphdef FILE --inputs NAME:0 --outputs NAME:0 makes one of it"
)
_FROM_HUB = ONNX + "optimum-cli export onnx --model FOLDER OUT makes one of a folder of weights"
_UNPACK = "unpack it and give the .onnx file inside"
_AGAIN = "get the file itself again"

_MAGIC: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"version https://git-lfs.github.com/", "a pointer of Git LFS, not the file", "run git lfs pull"),
    (4, b"TFL", "a TensorFlow Lite model", _FROM_TFLITE),
    (4, b"ORTM", "a model in ONNX Runtime's own format", "give the .onnx file that it was made of"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes them", _FROM_KERAS),
    (0, b"GGUF", "a GGUF file of weights", ONNX + "export the network that it belongs to"),
    (0, b"\x93NUMPY", "a numpy array, not a model", "give it as data"),
    (0, b"\x1f\x8b", "compressed with gzip", _UNPACK),
    (0, b"BZh", "compressed with bzip2", _UNPACK),
    (0, b"\xfd7zXZ\0", "compressed with xz", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstandard", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"\x89PNG\r\n\x1a\n", "a picture, not a model", "give it as data"),
    (0, b"\xff\xd8\xff", "a picture, not a model", "give it as data"),
    (0, b"%PDF-", "a PDF document, not a model", _AGAIN),
    (0, b"\x7fELF", "a program, not a model", "give the .onnx file"),
)
"""At this place, these bytes: what it is, what to do."""

_NAMES = {
    ".tflite": ("a TensorFlow Lite model by its name", _FROM_TFLITE),
    ".pt": ("a PyTorch file by its name", _FROM_TORCH),
    ".pth": ("a PyTorch file by its name", _FROM_TORCH),
    ".ckpt": ("a checkpoint by its name", _FROM_TORCH),
    ".pb": ("a TensorFlow graph by its name", _FROM_FROZEN),
    ".h5": ("a Keras file by its name", _FROM_KERAS),
    ".keras": ("a Keras file by its name", _FROM_KERAS),
    ".mlmodel": ("a Core ML model by its name", ONNX + "export the model that it was made of"),
    ".engine": ("a TensorRT engine by its name", "give the .onnx file that it was built from"),
    ".plan": ("a TensorRT engine by its name", "give the .onnx file that it was built from"),
}


_ONNX_BEGINS = b"\x08"
"""The first byte of a ModelProto as every exporter writes it: its first field, the IR version."""


COMPRESSED = b"\x50\x2a\x4d\x18\x06\0\0\0octavo"
"""How a compressed artifact begins: a skippable frame of Zstandard, which the artifact's own follows."""


def is_artifact(data: bytes) -> bool:
    """Whether these bytes begin as an artifact: as a safetensors file, or compressed.

    The former has eight bytes of a length, then JSON. ONNX's bytes begin otherwise.
    """
    return data[8:9] == b"{" or data.startswith(COMPRESSED)


def begins_as_onnx(data: bytes) -> bool:
    """Whether these bytes may be the beginning of an ONNX file."""
    return data[:1] == _ONNX_BEGINS


def foreign_file(data: bytes, name: str | os.PathLike[str] = "") -> str | None:
    """What the bytes of a file are, such as "is a TensorFlow Lite model: ...", where they are not a model.

    Meant for bytes that could not be read as a model: it tells what they look like. None where nothing is
    known about them.
    """
    if not data:
        return f"is empty: {_AGAIN}"
    if is_artifact(data):
        return None if _has_program(data) else f"is a safetensors file of weights alone: {_FROM_HUB}"
    for at, magic, what, advice in _MAGIC:
        if data.startswith(magic, at):
            return f"is {what}: {advice}"
    for recognize in (_zip, _pickle, _text, _tensorflow):
        found = recognize(data)
        if found is not None:
            return f"is {found[0]}: {found[1]}"
    if begins_as_onnx(data):
        return None
    found = _NAMES.get(os.path.splitext(os.fspath(name))[1].lower())
    return found and f"is {found[0]}: {found[1]}"


def foreign_folder(path: str | os.PathLike[str]) -> str:
    """What a folder that was given for a model holds, and what to do about it."""
    names = sorted(os.listdir(path))
    if "saved_model.pb" in names:
        return f"is the directory of a TensorFlow SavedModel: {_FROM_SAVED}"
    models = [name for name in names if name.lower().endswith((".onnx", ".octavo"))]
    if models:
        return f"is a directory: give a file in it, such as {os.path.join(os.fspath(path), models[0])}"
    if any(name.endswith((".safetensors", ".bin", ".pt", ".pth")) for name in names):
        return f"is a directory of weights: {_FROM_HUB}"
    return "is a directory without an .onnx file in it: give the path of a model"


def foreign_object(source: object) -> str:
    """What an object is that was given for a model: its type, and what to do about it where that is known."""
    kinds = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(source).__mro__}
    name = type(source).__name__
    if isinstance(source, Program) or isinstance(getattr(source, "program", None), Program):
        return f"{name}, which runs as it is: to quantize, give the float model that it was made of"
    if kinds & {"torch.Module", "torch.ScriptModule"}:
        return f"{name}, a PyTorch module: {_FROM_TORCH}"
    if any(kind.startswith(("keras.", "tensorflow.")) for kind in kinds):
        return f"{name}, a TensorFlow object: {_FROM_KERAS}"
    if "onnxruntime.InferenceSession" in kinds:
        return f"{name}: give the path of the .onnx file that it was made of"
    return name


Found = tuple[str, str] | None


def _zip(data: bytes) -> Found:
    if not data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return None
    import zipfile  # for this alone: it is slow to load

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except Exception:  # zipfile raises a dozen kinds on damaged files
        return "a zip archive that is cut short or damaged", _AGAIN
    return _archive(names)


def _archive(names: Iterable[str]) -> tuple[str, str]:
    ends = {name.rpartition("/")[2] for name in names}
    if "data.pkl" in ends:
        return "a PyTorch file", _FROM_TORCH
    if "model.weights.h5" in ends:
        return "a Keras model", _FROM_KERAS
    if "saved_model.pb" in ends:
        return "a zip archive of a TensorFlow SavedModel", f"unpack it; {_FROM_SAVED}"
    if ends and all(name.endswith(".npy") for name in ends):
        return "a file of numpy arrays, not a model", "give it as data"
    inside = sorted(name for name in ends if name.endswith(".onnx"))
    return "a zip archive", f"unpack it and give {inside[0] if inside else 'the .onnx file inside'}"


def _pickle(data: bytes) -> Found:
    if data[:1] == b"\x80" and data[1:2] in b"\x02\x03\x04\x05" and data[1:2]:
        return "a Python pickle, as PyTorch's older files are", _FROM_TORCH
    return None


def _text(data: bytes) -> Found:
    head = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    lower = head.lower()
    if lower.startswith((b"<!doctype html", b"<html", b"<head")):
        return "a web page, not a model", f"the download went wrong; {_AGAIN}"
    if lower.startswith(b"<?xml") and b"<net" in lower:
        return "an OpenVINO model", ONNX + "give the model that it was made of"
    if head.startswith(b"<ir_version"):
        return "an ONNX model as text", "onnx.parser.parse_model reads it, onnx.save writes it as .onnx"
    if head.startswith(b"ir_version:"):
        return "an ONNX model as text", 'onnx.load(FILE, format="textproto") reads it, onnx.save writes .onnx'
    if head.startswith(b"{") and b'"irVersion"' in data:
        return (
            "an ONNX model as JSON",
            'onnx.load(FILE, format="json") reads it, onnx.save writes it as .onnx',
        )
    if b"\0" in head or not head:
        return None
    try:
        text = head.decode("utf-8", "strict" if len(data) < 4096 else "ignore")
    except UnicodeDecodeError:
        return None
    if not all(c.isprintable() or c in "\t\r\n" for c in text):
        return None
    first = " ".join(text[:60].split())
    return f"text, not a model (it begins with {first!r})", _AGAIN


def _has_program(data: bytes) -> bool:
    """Whether a safetensors file is an artifact, perhaps a damaged one, rather than another's weights."""
    if data.startswith(COMPRESSED):
        return True
    length = int.from_bytes(data[:8], "little")
    return b'"octavo"' in data[8 : 8 + length] or length > len(data) - 8


def _tensorflow(data: bytes) -> Found:
    """A SavedModel begins with its version, 1, and a graph; a frozen graph with a node; both name ops."""
    head = data[: 1 << 16]
    if data.startswith(b"\x08\x01\x12") and (b"Placeholder" in data or b"NoOp" in head or b"serve" in data):
        return "a TensorFlow SavedModel's graph", _FROM_SAVED.replace("FOLDER", "ITS-FOLDER")
    if data[:1] == b"\n" and (b"Placeholder" in head or b"\x12\x05Const" in head):
        return "a frozen TensorFlow graph", _FROM_FROZEN
    return None
