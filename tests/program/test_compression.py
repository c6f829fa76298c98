"""Compressed artifacts: the same Program, and an error for whatever else the bytes could be."""

import struct

import numpy as np
import octavo
import pytest
from octavo import _core
from octavo.program import artifact
from octavo.program.formats import COMPRESSED, is_artifact


@pytest.fixture
def data(every_encoding):
    return artifact.to_bytes(every_encoding, compress=True)


def test_what_is_compressed_is_the_artifact(every_encoding, data):
    plain = artifact.to_bytes(every_encoding)
    assert len(data) < len(plain) / 2
    assert data == artifact.to_bytes(every_encoding, compress=True)
    assert is_artifact(data)
    assert _core.expand(data) == _core.expand(plain) == plain
    assert artifact.to_bytes(artifact.from_bytes(data)) == plain
    assert octavo.load(data).to_bytes() == plain
    assert octavo.load(data).to_bytes(compress=True) == data
    octavo.Session(data, threads=1)


def test_it_begins_with_a_skippable_frame(data):
    """By RFC 8878, 3.1.2: a magic number, the length of what follows, and that; then a frame, 3.1.1."""
    magic, length = struct.unpack("<II", data[:8])
    assert 0x184D2A50 <= magic <= 0x184D2A5F
    assert data[8 : 8 + length] == b"octavo"
    assert data[8 + length :][:4] == bytes.fromhex("28b52ffd")


def test_saved_and_loaded(tmp_path, every_encoding, data):
    path = tmp_path / "model.octavo"
    artifact.save(every_encoding, path, compress=True)
    assert path.read_bytes() == data
    assert artifact.to_bytes(artifact.load(path), compress=True) == data
    octavo.Session(path, threads=1)
    anything = tmp_path / "model.bin"
    anything.write_bytes(data)
    octavo.Session(anything, threads=1)


def refused(data):
    for read in (artifact.from_bytes, lambda data: _core.Session(data, 1)):
        with pytest.raises(octavo.ArtifactError) as caught:
            read(data)
    return str(caught.value)


def test_every_truncation_and_addition_is_an_error(data):
    for length in range(len(COMPRESSED), len(data)):
        refused(data[:length])
    assert "end elsewhere" in refused(data + b"\0")
    assert "end elsewhere" in refused(data + data[len(COMPRESSED) :])


def test_every_change_of_a_bit_is_an_error_or_does_not_show(data):
    """Some bits of a frame are ignored, 3.1.1.1.1.3; all that the artifact is made of is summed up."""
    plain, unseen = _core.expand(data), 0
    for at in range(len(data)):
        for bit in range(8):
            changed = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
            try:
                assert artifact.to_bytes(artifact.from_bytes(changed)) == plain
                unseen += 1
            except octavo.ArtifactError:
                pass
    assert unseen < 8 * len(data) // 100


def frame_of_zeros(length):
    """A frame that says it holds so many zeros, and holds 128 KiB of them a block of four bytes, 3.1.1.2."""
    block = struct.pack("<I", (1 << 17) << 3 | 1 << 1)[:3] + b"\0"
    count = -(-length // (1 << 17))
    last = struct.pack("<I", ((length - 1) % (1 << 17) + 1) << 3 | 1 << 1 | 1)[:3] + b"\0"
    return struct.pack("<IBQ", 0xFD2FB528, 0xE0, length) + block * (count - 1) + last


def test_a_bomb_is_not_expanded():
    """16 GiB of zeros in 512 KiB, and what says that it is more than there can be."""
    bomb = COMPRESSED + frame_of_zeros(1 << 34)
    assert f"{len(bomb)} bytes cannot hold the {1 << 34} that it says" in refused(bomb)
    for length in (1 << 62, (1 << 64) - 3):
        frame = bytearray(frame_of_zeros(1 << 17))
        frame[5:13] = struct.pack("<Q", length)
        refused(COMPRESSED + bytes(frame))


def test_a_frame_that_says_less_or_more_than_it_holds():
    for said in (1, 100, 1 << 10):
        frame = bytearray(frame_of_zeros(1 << 12))
        frame[5:13] = struct.pack("<Q", said)
        refused(COMPRESSED + bytes(frame))


def test_a_frame_that_does_not_say_its_length(data):
    header = data[len(COMPRESSED) + 4]
    assert header >> 5 & 1  # one segment, so its length is there
    unsaid = struct.pack("<IBB", 0xFD2FB528, 0, 0x58) + b"\x01\0\0"
    assert "does not say how long it is" in refused(COMPRESSED + unsaid)


def test_what_is_all_zeros_is_not_compressed(every_encoding):
    zeros = np.zeros((1, 1 << 22), np.float32)
    constants = every_encoding.constants | {"zeros": zeros}
    values = every_encoding.values | {"zeros": octavo.program.Value("zeros", "f32", zeros.shape)}
    program = octavo.program.Program(
        every_encoding.inputs, every_encoding.outputs, values, constants, every_encoding.nodes
    )
    data = artifact.to_bytes(program, compress=True)
    assert data == artifact.to_bytes(program)
    octavo.Session(data, threads=1)


def test_a_lie_within_is_named(every_encoding, forge):
    def edit(document):
        document["format"] = 99

    forged = forge(artifact.to_bytes(every_encoding), edit)
    assert "format 99" in refused(_core.compress(forged))
