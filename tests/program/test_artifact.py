"""Artifacts: what is saved is read back, always the same bytes; nothing damaged or lying gets through."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import octavo
import pytest
from octavo.program import MAX_RANK, Node, Program, Value, artifact

SHARED = Path(__file__).resolve().parents[2] / "rust/runtime/tests/data"
COMMITTED = SHARED / "every_encoding.octavo"
LIES = json.loads((SHARED / "lies.json").read_text(encoding="utf-8"))
"""Changes of that file, sealed again, that the runtime's tests read too.

`program` and `header`: values by their JSON pointers. `text`: a part of the program's JSON, and what it
becomes. `tail`: bytes behind the last. `floats`: elements of the table of floats. `says`: parts of the
error's text, the same in both languages.
"""


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
    assert (program.opset, program.format_version, program.producer) == (25, 3, "octavo test")
    assert program.constants.keys() == every_encoding.constants.keys()
    for name, array in every_encoding.constants.items():
        assert program.constants[name].dtype == array.dtype
        assert program.constants[name].shape == array.shape
        assert program.constants[name].tobytes() == array.tobytes()
        assert program.constants[name].flags.aligned
        assert program.constants[name].flags.writeable  # of the reader's own, no view of the file
    assert program.values.keys() == every_encoding.values.keys()
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


@pytest.mark.parametrize("written", ["\\u00e9", "\\u00E9", "\\ud83d\\ude00", "\\uD83D\\uDE00", "\\\\ud800"])
def test_whole_characters_may_be_escaped(data, forge, written):
    forged = forge(data, text=('"octavo test"', f'"{written}"'))
    assert artifact.from_bytes(forged).producer == json.loads(f'"{written}"')


def header_of(data):
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def change(json_value, edits):
    """Sets what is at each JSON pointer."""
    for pointer, value in edits.items():
        *path, key = pointer.split("/")[1:]
        place = json_value
        for step in path:
            place = place[int(step) if isinstance(place, list) else step]
        place[int(key) if isinstance(place, list) else key] = value


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie["name"])
def test_a_sealed_lie_is_an_error_that_names_it(data, forge, lie):
    def edit(document):
        change(document, lie.get("program", {}))

    changed = {int(at): byte for at, byte in lie.get("bytes", {}).items()}
    start, _ = header_of(data)["__floats__"]["data_offsets"]
    for place, bits in lie.get("floats", {}).items():
        changed |= enumerate(bytes.fromhex(bits)[::-1], start + 4 * int(place))
    forged = forge(
        data,
        edit,
        lambda header: change(header, lie.get("header", {})),
        lie.get("text"),
        bytes.fromhex(lie.get("tail", "")),
        changed,
    )
    with pytest.raises(octavo.ArtifactError) as caught:
        artifact.from_bytes(forged)
    assert not [part for part in lie["says"] if part not in str(caught.value)], caught.value
    assert "the artifact" in str(caught.value) or "the program is not valid" in str(caught.value)
    with pytest.raises(octavo.ArtifactError):
        octavo.Session(forged, threads=1)


def test_a_checksum_in_another_place_is_an_error(data, forge, every_encoding):
    """A constant of such a name, first in the header: what stands there is the sum that is right."""
    name = 'crc32":"00000000'

    def edit(document):
        document["values"].append({"name": name, "dtype": "u8", "shape": [0], "quant": None})

    def first(header):
        rest = dict(header)
        header.clear()
        header[name] = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
        header.update(rest)

    forged = forge(data, edit, first)
    with pytest.raises(octavo.ArtifactError, match="its checksum is not where the format has it"):
        artifact.from_bytes(forged)


def test_bits_of_every_digit_are_read(data, forge):
    def edit(document):
        document["nodes"][2]["attributes"]["ratio"] = {"f64": "3fedcba987654210"}

    ratio = artifact.from_bytes(forge(data, edit)).nodes[2].attributes["ratio"]
    assert ratio == np.uint64(0x3FEDCBA987654210).view(np.float64)


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


@pytest.mark.parametrize("name", ["__metadata__", "__floats__"])
def test_a_constant_with_the_reserved_name_is_an_error(every_encoding, name):
    every_encoding.constants[name] = np.zeros(1, np.float32)
    every_encoding.values[name] = type(every_encoding.values["x"])(name, "f32", (1,))
    with pytest.raises(octavo.ArtifactError, match=name):
        artifact.to_bytes(every_encoding)


def test_what_scales_give_is_left_out_and_nothing_else(every_encoding, data):
    names = [value["name"] for value in json.loads(header_of(data)["__metadata__"]["octavo"])["values"]]
    assert {"multiplier", "shift"} <= set(names)
    assert {"more multiplier", "more shift"}.isdisjoint(names)
    whole = sum(array.nbytes for array in every_encoding.constants.values())
    assert artifact.stored_bytes(every_encoding) == whole - 24 - 30
    for change in (
        {"more multiplier": np.array([2061584256, 2**30 + 128, 2**30 + 384], np.int32)},
        {"more shift": np.array([36, 31, 30], np.int32)},
    ):
        program = replace(every_encoding, constants=every_encoding.constants | change)
        again = artifact.from_bytes(artifact.to_bytes(program))
        for name, array in program.constants.items():
            assert again.constants[name].tobytes() == array.tobytes()


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
        monkeypatch.setattr(artifact, "to_bytes", lambda *_, **__: "not bytes")
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


@pytest.mark.parametrize("size", range(9))
def test_a_file_too_short_for_its_header_says_so(size):
    """The eight bytes of a length, and no more than are there behind them."""
    header = b'{"a"'
    data = len(header).to_bytes(8, "little") + header
    says = f"it has {size} bytes" if size < 8 else f"its header says 4 bytes, {size - 8} are there"
    with pytest.raises(
        octavo.ArtifactError, match=f"^the artifact is damaged: {says}; copy or save it again$"
    ):
        artifact.from_bytes(data[:size])
    for cut in (1, 2, 3, 4):
        with pytest.raises(octavo.ArtifactError, match=f"its header says 4 bytes, {4 - cut} are there"):
            artifact.from_bytes(data[:-cut])
    with pytest.raises(octavo.ArtifactError, match="it holds no checksum, so octavo did not write it"):
        artifact.from_bytes(data)


def test_a_constant_of_the_metadata_s_name(every_encoding):
    name = "__metadata__"
    values = every_encoding.values | {name: Value(name, "u8", (1,))}
    constants = every_encoding.constants | {name: np.zeros(1, np.uint8)}
    with pytest.raises(octavo.ArtifactError, match="a constant cannot have the name '__metadata__'"):
        artifact.to_bytes(replace(every_encoding, values=values, constants=constants))


def test_a_constant_of_the_most_axes_is_read(every_encoding):
    array = np.arange(2, dtype=np.float32).reshape((1,) * (MAX_RANK - 1) + (2,))
    every_encoding.values["deep"] = Value("deep", "f32", array.shape)
    every_encoding.constants["deep"] = array
    read = artifact.from_bytes(artifact.to_bytes(every_encoding)).constants["deep"]
    assert read.shape == array.shape
    assert read.tobytes() == array.tobytes()


@pytest.mark.parametrize("data", [None, "text", bytearray(b"1"), memoryview(b"1")])
def test_an_artifact_is_bytes(data):
    with pytest.raises(TypeError, match=f"an artifact is bytes, not an object of type {type(data).__name__}"):
        artifact.from_bytes(data)


def test_names_that_are_no_utf8(every_encoding):
    with pytest.raises(octavo.ArtifactError, match="a name cannot be written as UTF-8"):
        artifact.to_bytes(replace(every_encoding, producer="\udcff"))
    with pytest.raises(octavo.ArtifactError, match="cannot be the path of a file"):
        artifact.load("a\0b")


@pytest.mark.parametrize(
    ("element", "dtype"),
    [
        (0.5, "F16"), (-0.0, "F16"), (65504.0, "F16"), (2.0**-24, "F16"), (np.inf, "F16"), (0.1, "F32"),
        (65520.0, "F32"), (2.0**-25, "F32"), (1 + 2.0**-11, "F32"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", [0, 63, 64, 99])
def test_float32_that_float16_holds_is_stored_so(element, dtype, place):
    """Every element, bit for bit, or none of them; read by both sides as it was."""
    array = np.zeros((4, 25), np.float32)
    array.reshape(-1)[place] = element
    values = {name: Value(name, "f32", (4, 25)) for name in ("x", "w", "y")}
    program = Program(["x"], ["y"], values, {"w": array}, [Node("Add", "add", ("x", "w"), ("y",))])
    data = artifact.to_bytes(program)
    assert header_of(data)["w"]["dtype"] == dtype
    assert artifact.stored_bytes(program) == (200 if dtype == "F16" else 400)
    assert artifact.from_bytes(data).constants["w"].tobytes() == array.tobytes()
    x = np.full((4, 25), -0.0, np.float32)
    assert octavo.Session(data).run(None, {"x": x})[0].tobytes() == array.tobytes()


def test_few_elements_and_other_dtypes_are_stored_as_they_are():
    for shape, dtype in (((63,), "f32"), ((64,), "f64"), ((64,), "f16")):
        array = np.ones(shape, artifact.DTYPES[dtype])
        assert artifact.stored_as(array, dtype) == (dtype, array.nbytes)
