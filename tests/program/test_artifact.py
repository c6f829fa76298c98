"""Artifacts: what is saved is read back, always the same bytes; nothing damaged or lying gets through."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import octavo
import pytest
from octavo.program import Program, artifact

COMMITTED = Path(__file__).resolve().parents[2] / "rust/runtime/tests/data/every_encoding.octavo"


@pytest.fixture
def data(every_encoding):
    return artifact.to_bytes(every_encoding)


def test_what_is_written_is_read(every_encoding, data):
    program = artifact.from_bytes(data)
    assert program.inputs == every_encoding.inputs
    assert program.outputs == every_encoding.outputs
    assert program.nodes == every_encoding.nodes
    for node, original in zip(program.nodes, every_encoding.nodes, strict=True):
        assert {k: type(v) for k, v in node.attributes.items()} == {
            k: type(v) for k, v in original.attributes.items()
        }
    assert (program.opset, program.format_version, program.producer) == (25, 1, "octavo test")
    assert program.constants.keys() == every_encoding.constants.keys()
    for name, array in every_encoding.constants.items():
        assert program.constants[name].dtype == array.dtype
        assert program.constants[name].shape == array.shape
        assert program.constants[name].tobytes() == array.tobytes()
        assert program.constants[name].flags.aligned
    assert list(program.values) == list(every_encoding.values)
    for name, value in every_encoding.values.items():
        found = program.values[name]
        assert (found.name, found.dtype, found.shape) == (value.name, value.dtype, value.shape)
        assert (found.quant is None) == (value.quant is None)
        if value.quant is not None:
            assert found.quant.scale.tobytes() == value.quant.scale.tobytes()
            assert found.quant.zero_point.tolist() == value.quant.zero_point.tolist()
            assert (found.quant.axis, found.quant.block) == (value.quant.axis, value.quant.block)


def test_reading_and_writing_gives_the_same_bytes(data):
    assert artifact.to_bytes(artifact.from_bytes(data)) == data


def test_the_bytes_are_those_of_the_committed_file(data):
    # The runtime's tests read that file. After a change of the format: save(every_encoding, COMMITTED).
    assert data == COMMITTED.read_bytes()


def test_the_order_in_which_constants_and_attributes_were_added_does_not_matter(every_encoding, data):
    nodes = [
        type(node)(node.op, node.name, node.inputs, node.outputs, dict(reversed(node.attributes.items())))
        for node in every_encoding.nodes
    ]
    constants = dict(reversed(every_encoding.constants.items()))
    p = every_encoding
    turned = Program(p.inputs, p.outputs, p.values, constants, nodes, producer=p.producer)
    assert artifact.to_bytes(turned) == data


def test_the_bytes_do_not_depend_on_the_process():
    code = (
        "import sys; from octavo.program import artifact; from pathlib import Path;"
        f"sys.stdout.buffer.write(artifact.to_bytes(artifact.load({os.fspath(COMMITTED)!r})))"
    )
    for seed in ("0", "1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        )
        assert run.stdout == COMMITTED.read_bytes()


def test_every_change_of_a_bit_is_an_error(data):
    for at in range(len(data)):
        for bit in range(8):
            with pytest.raises(octavo.ArtifactError):
                artifact.from_bytes(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])


def test_every_truncation_is_an_error(data):
    for length in range(len(data)):
        with pytest.raises(octavo.ArtifactError):
            artifact.from_bytes(data[:length])


def test_bytes_after_the_end_are_an_error(data):
    with pytest.raises(octavo.ArtifactError):
        artifact.from_bytes(data + b"\0")


def test_an_unchanged_forgery_is_read(data, forge):
    assert artifact.to_bytes(artifact.from_bytes(forge(data))) == data


def at(*path):
    """Sets what is at a path in a nest of dicts and lists: the steps, then the value."""
    *path, key, value = path

    def edit(document):
        place = document
        for step in path:
            place = place[step]
        place[key] = value

    return edit


DOCUMENTS = {
    "newer format": (at("format", 2), "'octavo test'.*format 2 .*reads format 1"),
    "older format": (at("format", 0), "format 0 "),
    "newer opset": (at("opset", 26), "opset 26.*opset 25"),
    "format is a fraction": (at("format", 1.0), "no number 1.0"),
    "format is a truth": (at("format", True), "format is no 64-bit integer"),
    "unknown key": (at("extra", 1), "unknown key 'extra'"),
    "unknown key of a node": (at("nodes", 0, "extra", 1), "unknown key 'extra'"),
    "unknown op": (at("nodes", 0, "op", "QuantizeMore"), "unknown op 'QuantizeMore'"),
    "unknown attribute": (at("nodes", 0, "attributes", "axis", 1), "Quantize node 'quantize'.*'axis'"),
    "missing attribute": (
        at("nodes", 0, "attributes", {"zero_point": 3}),
        "Quantize node 'quantize' lacks.*'scale'",
    ),
    "attribute of another kind": (
        at("nodes", 0, "attributes", "zero_point", "3"),
        "'zero_point'.* of type str",
    ),
    "attribute beyond 64 bits": (at("nodes", 0, "attributes", "zero_point", 2**63), "'zero_point'.*64-bit"),
    "attribute null": (at("nodes", 0, "attributes", "zero_point", None), "'zero_point'.*64-bit"),
    "short bits": (at("nodes", 0, "attributes", "scale", {"f32": "3f80000"}), "'3f80000' is not 8 hex"),
    "upper-case bits": (at("nodes", 0, "attributes", "scale", {"f32": "3F800000"}), "not 8 hex"),
    "unknown dtype": (at("values", 0, "dtype", "u4"), "unknown dtype 'u4'"),
    "negative axis": (at("values", 0, "shape", [-1]), "no size and no symbol"),
    "nameless symbol": (at("values", 0, "shape", [""]), "no size and no symbol"),
    "shape of a constant": (at("values", 0, "shape", [2, 3]), "the constant 'weights'.*says|its value i8"),
    "shape of 2^60": (at("values", 12, "shape", [2**60, 2**60]), "too large"),
    "33 axes": (at("values", 12, "shape", [1] * 33), "too large"),
    "zero scale": (at("values", 0, "quant", "scale", {"f32": ["00000000", "3f000000"]}), "scale.*'weights'"),
    "infinite scale": (
        at("values", 0, "quant", "scale", {"f32": ["7f800000", "3f000000"]}),
        "scale.*'weights'",
    ),
    "one scale too few": (at("values", 0, "quant", "scale", {"f32": ["3f800000"]}), "'weights'"),
    "axis of scales": (at("values", 0, "quant", "axis", 4), "no axis 4"),
    "zero point": (at("values", 0, "quant", "zero_point", [0, 128]), "zero point.*-128..127"),
    "undescribed input": (at("inputs", ["z"]), "'z'"),
    "input twice": (at("inputs", ["x", "x"]), "'x' is there twice"),
    "constant as input": (at("inputs", ["x", "bias"]), "'bias' is there twice, or is a constant"),
    "no outputs": (at("outputs", []), "no outputs"),
    "output twice": (at("outputs", ["y", "y"]), "twice"),
    "read before made": (at("nodes", 0, "inputs", ["y"]), "reads 'y' before"),
    "made twice": (at("nodes", 4, "outputs", ["p"]), "makes 'p', which is there"),
    "too many inputs": (at("nodes", 0, "inputs", ["x", "x"]), "cannot have 2 inputs"),
    "input left out": (at("nodes", 0, "inputs", [""]), "lacks its input 'x'"),
    "dtype of an input": (at("nodes", 3, "inputs", ["x", "table"]), "Lookup node ''.* 'x' of f32"),
    "nodes are no list": (at("nodes", {}), "list of nodes"),
    "name is no text": (at("nodes", 0, "name", 1), "no text"),
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_a_sealed_lie_in_the_program_is_an_error_that_names_it(data, forge, case):
    edit, message = DOCUMENTS[case]
    with pytest.raises(octavo.ArtifactError, match=message):
        artifact.from_bytes(forge(data, edit))


LAYOUTS = {
    "offset beyond the file": (at("bias", "data_offsets", [0, 2**60]), "'bias' lies at"),
    "end before start": (at("bias", "data_offsets", [8, 0]), "'bias'|offset"),
    "shape of 2^60": (at("bias", "shape", [2**60]), "'bias' has the shape"),
    "axes whose product is 2^64": (at("bias", "shape", [2**32, 2**32]), "'bias' has the shape"),
    "none of 2^60": (at("empty", "shape", [0, 2**60]), "'empty' has the shape"),
    "33 axes": (at("bias", "shape", [1] * 32 + [2]), "'bias' has the shape"),
    "another size": (at("bias", "shape", [3]), "'bias' of shape"),
    "dtype of another size": (at("bias", "dtype", "I64"), "'bias' of shape"),
    "dtype of the same size": (at("bias", "dtype", "F32"), "'bias' is float32"),
    "unknown dtype": (at("bias", "dtype", "BF16"), "dtype 'BF16'"),
    "offsets are no pair": (at("bias", "data_offsets", [0]), "'bias' has the offsets"),
    "unknown key": (at("bias", "stride", 1), "'stride'"),
    "undescribed constant": (
        at("more", {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}),
        "'more' is no value",
    ),
    "more metadata": (at("__metadata__", "format", "pt"), "unknown key 'format'"),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_a_sealed_lie_about_the_constants_is_an_error_that_names_it(data, forge, case):
    edit, message = LAYOUTS[case]
    with pytest.raises(octavo.ArtifactError, match=message):
        artifact.from_bytes(forge(data, layout=edit))


def test_constants_that_overlap_are_an_error(data, forge):
    def overlap(header):
        header["bias"]["data_offsets"] = header["shift"]["data_offsets"]

    with pytest.raises(octavo.ArtifactError, match=r"lies at"):
        artifact.from_bytes(forge(data, layout=overlap))


def test_sizes_that_overflow_together_are_an_error(forge, every_encoding):
    # Eight constants of 2^61 bytes fill 2^64: an end that wraps would lie within the file.
    def fill(header):
        for place in range(8):
            span = [place << 61, (place + 1 << 61) - 8 * (place == 7)]
            header[f"huge{place}"] = {"dtype": "U8", "shape": [span[1] - span[0]], "data_offsets": span}

    with pytest.raises(octavo.ArtifactError, match="huge"):
        artifact.from_bytes(forge(artifact.to_bytes(every_encoding), layout=fill))


def test_json_nested_without_end_is_an_error(data, forge):
    def nest(document):
        deep = []
        for _ in range(400):
            deep = [deep]
        document["nodes"] = deep

    with pytest.raises(octavo.ArtifactError):
        artifact.from_bytes(forge(data, nest))
    text = (
        b'{"__metadata__":{"octavo":"{\\"crc32\\":\\"00000000\\""},"x":'
        + b"[" * 100_000
        + b"]" * 100_000
        + b"}"
    )
    with pytest.raises(octavo.ArtifactError):
        artifact.from_bytes(len(text).to_bytes(8, "little") + text)


@pytest.mark.parametrize(
    "data", [b"", b"\x08", b"PK\x03\x04" * 100, b"\xff" * 64, b"\0" * 64, b"\x02" + b"\0" * 7 + b"{}"]
)
def test_other_files_are_an_error(data):
    with pytest.raises(octavo.ArtifactError, match="artifact"):
        artifact.from_bytes(data)


def test_a_name_that_the_format_cannot_hold_is_an_error(one_node):
    program = one_node("Identity", ["f32"], ["f32"], {})
    program.nodes[0] = type(program.nodes[0])("Identity", "\ud800", ("in0",), ("out0",))
    with pytest.raises(octavo.ArtifactError, match="UTF-8"):
        artifact.to_bytes(program)


def test_a_constant_with_the_reserved_name_is_an_error(every_encoding):
    name = "__metadata__"
    every_encoding.constants[name] = np.zeros(1, np.float32)
    every_encoding.values[name] = type(every_encoding.values["x"])(name, "f32", (1,))
    with pytest.raises(octavo.ArtifactError, match="__metadata__"):
        artifact.to_bytes(every_encoding)


def test_saved_is_loaded_and_replaces_what_was_there(tmp_path, every_encoding, data):
    path = tmp_path / "model.octavo"
    path.write_bytes(b"old")
    artifact.save(every_encoding, path)
    assert path.read_bytes() == data
    assert artifact.to_bytes(artifact.load(path)) == data
    assert os.listdir(tmp_path) == ["model.octavo"]


@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
def test_a_failed_save_leaves_what_was_there(tmp_path, monkeypatch, every_encoding, failing):
    path = tmp_path / "model.octavo"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError("no space left")

    if failing == "replace":
        monkeypatch.setattr(Path, "replace", fail)
    elif failing == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr(artifact, "to_bytes", lambda _: "not bytes")
    with pytest.raises((OSError, TypeError)):
        artifact.save(every_encoding, path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.octavo"]


def test_an_invalid_program_is_not_saved(tmp_path, every_encoding):
    every_encoding.outputs.clear()
    with pytest.raises(octavo.ArtifactError, match="no outputs"):
        artifact.save(every_encoding, tmp_path / "model.octavo")
    assert os.listdir(tmp_path) == []


def test_load_names_the_file(tmp_path):
    path = tmp_path / "model.octavo"
    path.write_bytes(b"nonsense")
    with pytest.raises(octavo.ArtifactError, match=r"model\.octavo: the artifact is"):
        artifact.load(path)
