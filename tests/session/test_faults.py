"""Damaged artifacts, data that fail half-way, places that cannot be written: errors, and nothing left."""

import os
from pathlib import Path

import numpy as np
import octavo
import pytest
from octavo.program import artifact

MODEL = Path(octavo.__file__).parent / "demo" / "mnist-cnn.onnx"


@pytest.fixture(scope="module")
def tiny(small):
    return artifact.to_bytes(small)


def test_every_change_of_a_byte_is_an_error(tiny):
    octavo.Session(tiny, threads=1)
    wrong = []
    for at, byte in enumerate(tiny):
        for other in set(range(256)) - {byte}:
            try:
                octavo._core.Session(tiny[:at] + bytes([other]) + tiny[at + 1 :], 1)
                wrong.append((at, other))
            except octavo.ArtifactError:
                pass
    assert not wrong


def test_every_truncation_is_an_error(tiny):
    for length in range(len(tiny)):
        with pytest.raises(octavo.Error):
            octavo.Session(tiny[:length], threads=1)
    with pytest.raises(octavo.ArtifactError):
        octavo.Session(tiny + b"\0", threads=1)


def test_a_damaged_file_is_named(tiny, tmp_path):
    path = tmp_path / "damaged.octavo"
    path.write_bytes(tiny[:-1] + b"?")
    for source in (path, str(path)):
        with pytest.raises(octavo.ArtifactError, match=r"damaged\.octavo: "):
            octavo.Session(source)


@pytest.fixture(scope="module")
def digits():
    return np.random.default_rng(0).random((4, 1, 28, 28), np.float32)


def test_data_with_a_nan(digits):
    damaged = digits.copy()
    damaged[2, 0, 3, 3] = np.nan
    with pytest.raises(octavo.DataError, match=r"input.*2|2.*input"):
        octavo.quantize(MODEL, damaged)


@pytest.mark.parametrize("data", [[], {}, np.zeros((0, 1, 28, 28), np.float32), iter(()), lambda: []])
def test_no_data(data):
    with pytest.raises(octavo.DataError):
        octavo.quantize(MODEL, data)


def test_an_iterator_that_raises_half_way(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def data():
        yield from digits[:2]
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        octavo.quantize(MODEL, data())
    with pytest.raises(RuntimeError, match="the disk is gone"):
        octavo.quantize(MODEL, data)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written(digits, tmp_path):
    model = octavo.quantize(MODEL, digits)
    with pytest.raises(FileNotFoundError):
        model.save(tmp_path / "missing" / "model.octavo")
    folder = tmp_path / "folder.octavo"
    folder.mkdir()
    with pytest.raises(OSError, match=r"folder\.octavo"):
        model.save(folder)
    with pytest.raises(OSError, match="name too long"):
        model.save(tmp_path / ("x" * 300))
    assert sorted(tmp_path.rglob("*")) == [folder]


def test_a_disk_that_fills_up_leaves_the_old_file(digits, tmp_path, monkeypatch):
    model = octavo.quantize(MODEL, digits)
    path = tmp_path / "model.octavo"
    path.write_bytes(b"the old one")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        model.save(path)
    with pytest.raises(OSError, match="No space left"):
        artifact.save(model.program, path)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"the old one"]
