"""What is no model is known by its bytes, then by its name, and named with what to do about it."""

import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import octavo
import pytest
from octavo.program import formats

DEMO = Path(octavo.__file__).parent / "demo"


@pytest.fixture(scope="module")
def onnx_bytes():
    return (DEMO / "mnist-cnn.onnx").read_bytes()


@pytest.fixture(scope="module")
def quantized(onnx_bytes):
    return octavo.quantize(onnx_bytes, np.random.default_rng(0).random((2, 1, 28, 28), np.float32))


def zipped(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"1")
    return buffer.getvalue()


def saved(write, array):
    buffer = io.BytesIO()
    write(buffer, array)
    return buffer.getvalue()


def safetensors(**header):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


ZEROS = np.zeros(3)
FOREIGN = {
    "empty": (b"", "is empty"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "page": (b"\n <!DOCTYPE html>\n<html>", "web page"),
    "tflite": (b"\x1c\0\0\0TFL3\x14\0 \0", "TensorFlow Lite.*tf2onnx"),
    "ort": (b"\x1c\0\0\0ORTM\x14\0 \0", "ONNX Runtime's own format"),
    "hdf5": (b"\x89HDF\r\n\x1a\n\0\0", "HDF5"),
    "keras": (zipped("metadata.json", "model.weights.h5"), "Keras model"),
    "torch": (zipped("archive/data.pkl", "archive/data/0"), r"PyTorch file.*torch\.onnx\.export"),
    "old torch": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", r"pickle.*torch\.onnx\.export"),
    "zip": (zipped("a/net.onnx", "a/notes.txt"), "zip archive: unpack it and give net.onnx"),
    "cut zip": (zipped("archive/data.pkl")[:20], "zip archive that is cut short"),
    "npz": (saved(np.savez, ZEROS), "numpy arrays"),
    "npy": (saved(np.save, ZEROS), "numpy array, not a model"),
    "gzip": (b"\x1f\x8b\x08\0", "gzip: unpack"),
    "tar": (b"a.onnx".ljust(257, b"\0") + b"ustar\0", "tar archive"),
    "weights": (safetensors(w={"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}), "weights alone"),
    "saved model": (b"\x08\x01\x12\x7f\x0a\x05serve", "SavedModel.*--saved-model"),
    "frozen": (b"\n\x1e\n\x05input\x12\x0bPlaceholder*\x05", "frozen TensorFlow graph"),
    "onnx text": (b'<ir_version: 10, opset_import: ["" : 21]> g () => () {}', "ONNX model as text"),
    "textproto": (b'ir_version: 7\nproducer_name: "x"\n', "ONNX model as text"),
    "json": (b'{\n "irVersion": "7", "graph": {}}', "ONNX model as JSON"),
    "openvino": (b'<?xml version="1.0"?>\n<net name="a" version="11">', "OpenVINO"),
    "answer": (b'{"error": "Not Found"}', "text, not a model.*Not Found"),
    "picture": (b"\x89PNG\r\n\x1a\n", "picture, not a model"),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("name", ["model.onnx", "model.octavo"])
def test_bytes_tell_whatever_the_name(tmp_path, kind, name):
    data, says = FOREIGN[kind]
    path = tmp_path / name
    path.write_bytes(data)
    for call in (octavo.Session, octavo.session.load_program, lambda path: octavo.quantize(path, ZEROS)):
        with pytest.raises(octavo.Error, match=says) as caught:
            call(path)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "says"), [("a.pt", "PyTorch"), ("a.PTH", "PyTorch"), ("a.pb", "TensorFlow"), ("a.h5", "Keras")]
)
def test_name_tells_where_bytes_do_not(tmp_path, name, says):
    (tmp_path / name).write_bytes(b"\xf3\0\xff\1")
    with pytest.raises(octavo.ModelError, match=says):
        octavo.Session(tmp_path / name)


def test_bytes_of_which_nothing_is_known():
    assert formats.foreign_file(b"\xf3\0\xff\1") is None
    with pytest.raises(octavo.ModelError, match=r"is not an ONNX model: give an \.onnx file"):
        octavo.Session(b"\xf3\0\xff\1")


def test_a_model_is_what_its_bytes_are(onnx_bytes, tmp_path):
    for name in ("model.pt", "model.octavo", "model"):
        (tmp_path / name).write_bytes(onnx_bytes)
        assert octavo.Session(tmp_path / name).get_inputs()[0].name == "input"
        (tmp_path / name).write_bytes(onnx_bytes[:-9])
        with pytest.raises(octavo.ModelError, match=r"cut short or damaged: .* bytes, which begin as one"):
            octavo.Session(tmp_path / name)


def test_an_artifact_is_not_quantized_again(quantized, tmp_path):
    quantized.save(tmp_path / "a.onnx")
    for source in (tmp_path / "a.onnx", (tmp_path / "a.onnx").read_bytes()):
        with pytest.raises(octavo.ModelError, match=r"\.octavo artifact, which runs as it is"):
            octavo.quantize(source, ZEROS)
    for source in (quantized, quantized.program):
        with pytest.raises(octavo.ModelError, match="to quantize, give the float model"):
            octavo.quantize(source, ZEROS)


def test_a_damaged_artifact_is_still_one(quantized, tmp_path):
    quantized.save(tmp_path / "a.octavo")
    data = (tmp_path / "a.octavo").read_bytes()
    for kept in (data[:-1], data[:30]):
        (tmp_path / "a.octavo").write_bytes(kept)
        for call in (octavo.Session, octavo.session.load_program):
            with pytest.raises(octavo.ArtifactError, match=r"a\.octavo: the artifact is"):
                call(tmp_path / "a.octavo")


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (["saved_model.pb"], "TensorFlow SavedModel: .*--saved-model"),
        (["a.txt", "net.onnx"], r"directory: give a file in it, such as .*net\.onnx"),
        (["config.json", "model.safetensors"], "directory of weights.*optimum"),
        ([], r"directory without an \.onnx file"),
    ],
)
def test_folder(tmp_path, files, says):
    folder = tmp_path / "some.octavo"
    folder.mkdir()
    for name in files:
        (folder / name).write_bytes(b"1")
    for call in (octavo.Session, octavo.session.load_program, lambda path: octavo.quantize(path, ZEROS)):
        with pytest.raises(octavo.ModelError, match=says):
            call(folder)


def test_objects_of_other_libraries():
    module = type("Module", (), {"__module__": "torch.nn.modules.module"})
    network = type("Net", (module,), {"__module__": "__main__"})
    keras = type("Functional", (), {"__module__": "keras.src.models.functional"})
    for source, says in ((network(), r"Net, a PyTorch module: .*torch\.onnx\.export"), (keras(), "Keras")):
        for call in (octavo.Session, lambda source: octavo.quantize(source, ZEROS)):
            with pytest.raises(octavo.ModelError, match=says):
                call(source)


@pytest.mark.parametrize("end", formats._NAMES)
def test_every_name_whatever_its_case(end):
    what, advice = formats._NAMES[end]
    for name in (f"a{end}", f"a{end.upper()}", Path(f"b.c/a{end}")):
        assert formats.foreign_file(b"\xf3\0\xff\1", name) == f"is {what}: {advice}"
    for name in (f"a{end}.onnx", end[1:], f"a{end}x", ""):
        assert formats.foreign_file(b"\xf3\0\xff\1", name) is None
    assert formats.foreign_file(b"\x08\xff\xff", f"a{end}") is None  # it begins as ONNX


@pytest.mark.parametrize("row", formats._MAGIC, ids=lambda row: row[2])
def test_every_kind_by_its_first_bytes_in_their_place(row):
    at, magic, what, advice = row
    data = b"\xf3" * at + magic
    for given in (data, data + b"\0\xff"):
        assert formats.foreign_file(given, "a.pt") == f"is {what}: {advice}"
    assert formats.foreign_file(b"\xf3" * (at + 1) + magic) != f"is {what}: {advice}"
    assert formats.foreign_file(data[:-1] + b"\xf3\xff") != f"is {what}: {advice}"


@pytest.mark.parametrize(
    ("byte", "is_one"), [(1, False), (2, True), (3, True), (4, True), (5, True), (6, False)]
)
def test_protocols_of_pickle(byte, is_one):
    assert ("pickle" in (formats.foreign_file(bytes([0x80, byte, 0xF3])) or "")) == is_one
    assert formats.foreign_file(b"\x80") is None


def test_archives_by_what_they_hold():
    for names, says in (
        (["a/saved_model.pb"], "a zip archive of a TensorFlow SavedModel"),
        (["a.npy", "b/c.npy"], "a file of numpy arrays"),
        (["a.npy", "b.txt"], "a zip archive: unpack it and give the .onnx file inside"),
        (["b.onnx", "a.onnx"], "a zip archive: unpack it and give a.onnx"),
        ([], "a zip archive: unpack it and give the .onnx file inside"),
    ):
        assert formats.foreign_file(zipped(*names)).startswith(f"is {says}")


@pytest.mark.parametrize("size", [4090, 4095, 4096, 4097, 9000])
def test_texts_of_any_length(size):
    """A character that is cut at the end of what is looked at does not make a long text another thing."""
    text = ("ä" * size).encode()[: size - size % 2]
    assert formats.foreign_file(text).startswith("is text, not a model (it begins with 'ää")
    assert formats.foreign_file(b"a" + text).startswith("is text, not a model (it begins with 'aä")
    assert formats.foreign_file(text[:99] + b"\0") is None
    assert formats.foreign_file(b"abc\x07") is None
    assert formats.foreign_file(b"abc\xff") is None


def test_weights_and_artifacts_are_told_apart():
    whole = safetensors(__metadata__={"octavo": "{}"})
    assert formats.foreign_file(whole) is None
    weights = safetensors(w={"dtype": "F32", "shape": [0], "data_offsets": [0, 0]})
    assert "weights alone" in formats.foreign_file(weights)
    assert formats.foreign_file(weights[:-1]) is None  # cut short: it may have been either
    assert "weights alone" in formats.foreign_file(weights + b'"octavo"')
