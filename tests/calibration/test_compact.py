"""Samples in little memory: what goes in comes out, bit for bit, and nothing decoded stays."""

import weakref
from copy import copy

import numpy as np
import octavo
import onnx
import onnx.parser
import pytest
from octavo import _core
from octavo.calibration import Kept, OfInput
from octavo.calibration.compact import Compact
from octavo.program import artifact

F = np.float32


def held(array):
    """The bytes that a Compact of this array takes."""
    found = Compact.of({"x": array})._held["x"]
    return found.nbytes if isinstance(found, np.ndarray) else found.values.nbytes + found.indices.nbytes


def of_values(count, *shape):
    """An array of so many different elements."""
    return (np.arange(np.prod(shape)) * 7 % count / 127.5 - 1).astype(F).reshape(shape)


@pytest.mark.parametrize(
    ("count", "taken"),
    [
        (1, 24_000 + 4),
        (255, 24_000 + 4 * 255),
        (256, 24_000 + 4 * 256),
        (257, 48_000 + 4 * 257),
        (768, 48_000 + 4 * 768),
        (1024, 48_000 + 4 * 1024),
        (1025, 96_000),
        (24_000, 96_000),
    ],
)
def test_few_different_elements_take_a_byte_or_two_each(count, taken):
    array = of_values(count, 1, 3, 80, 100)
    assert len(np.unique(array)) == count
    found = Compact.of({"x": array})
    assert (found["x"].tobytes(), found["x"].shape, found["x"].dtype) == (array.tobytes(), array.shape, F)
    assert held(array) == taken
    assert found.nbytes == array.nbytes


SPECIAL = np.array([0x7FC00001, 0xFFC01234, 0x7F800001, 0, 0x80000000, 0x7F800000, 0xFF800000, 1], np.uint32)


@pytest.mark.parametrize(
    "array",
    [
        np.tile(SPECIAL, 50).view(F),
        np.zeros(0, F),
        np.zeros((2, 0, 3), F),
        np.array(3, F),
        np.zeros((4, 5, 6), F)[:, 1],
        np.tile(np.arange(4, dtype=F), (3, 5)).T,
        np.tile(np.arange(4, dtype=F), 30)[::-2],
        np.frombuffer(b"\0" + np.tile(np.arange(4, dtype=F), 9).tobytes(), F, offset=1),
        np.zeros(50, ">f4"),
        np.zeros(50, np.float64),
        np.zeros(50, np.float16),
        np.ones((5, 20), np.int64),
        np.ones(50, np.bool_),
        np.ones(200, np.uint32),
    ],
    ids=lambda array: f"{array.dtype.str} {array.shape} {array.strides}",
)
def test_every_array_comes_back_bit_for_bit(array):
    before = array.copy()
    found = Compact.of({"x": array})
    for again in (found["x"], copy(found)["x"], Compact.of(found)["x"]):
        assert (again.dtype, again.shape) == (array.dtype, array.shape)
        assert again.tobytes() == array.tobytes() == before.tobytes()
        assert again.flags.c_contiguous
        assert again.flags.aligned
        assert again.flags.writeable
        assert not np.shares_memory(again, array)


def test_a_mapping_whose_copies_are_apart():
    given = {"x": of_values(5, 100), "n": np.arange(3)}
    whole = Compact.of(given)
    part = copy(whole)
    part["h"] = np.ones(2, F)
    del part["x"]
    assert (set(part), set(whole), len(part)) == ({"n", "h"}, {"x", "n"}, 2)
    assert "x" in whole
    assert "x" not in part
    with pytest.raises(KeyError):
        part["x"]
    assert whole.nbytes == 400 + 24
    assert {name: array.tolist() for name, array in whole.items()} == {
        name: array.tolist() for name, array in given.items()
    }


def test_arrays_of_an_input():
    samples = [Compact.of({"x": of_values(5, 10 + index)}) for index in range(6)]
    of = OfInput("x", samples)
    assert [array.size for array in of] == [10, 11, 12, 13, 14, 15]
    assert [array.size for array in of[1::2]] == [11, 13, 15]
    assert (len(of), of[-1].size, bool(of[:0])) == (6, 15, False)


def test_indices_beyond_the_values_are_an_error():
    with pytest.raises(octavo.RunError):
        _core.dictionary_decode(np.zeros(2, np.uint32), np.array([0, 2], np.uint8))


def pictures(count):
    rng = np.random.default_rng(2)
    return rng.integers(0, 256, (count, 3, 16, 16)).astype(F) / F(127.5) - F(1)


def classifier():
    """A model of pictures in several pieces: a convolution, a Relu6, and products behind them."""
    model = onnx.parser.parse_model("""<ir_version: 10, opset_import: ["" : 21]>
        g (float[N,3,16,16] x) => (float[N,4] y) <float low = {0}, float high = {6}> {
        a = Conv<strides = [2, 2]>(x, w, b) c = Clip(a, low, high) d = Conv(c, v) r = Relu(d)
        m = GlobalAveragePool(r) f = Flatten(m) y = MatMul(f, u) }""")
    rng = np.random.default_rng(1)
    for name, shape in {"w": (8, 3, 3, 3), "b": (8,), "v": (8, 8, 1, 1), "u": (8, 4)}.items():
        array = rng.normal(size=shape).astype(F)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return model


class Decoding:
    """What is decoded in its time, and how much of it is there at once."""

    def __init__(self, monkeypatch):
        self.seen, self.most, self._decode = [], 0, _core.dictionary_decode
        monkeypatch.setattr(_core, "dictionary_decode", self)

    def __call__(self, values, indices):
        made = self._decode(values, indices)
        self.seen.append(weakref.ref(made))
        self.most = max(self.most, self.there)
        return made

    @property
    def there(self):
        return sum(ref() is not None for ref in self.seen)


@pytest.mark.parametrize("effort", ["fast", "default", "best"])
def test_no_decoded_array_outlives_its_use(effort, monkeypatch):
    decoding = Decoding(monkeypatch)
    octavo.quantize(classifier(), pictures(70), effort=effort, threads=1)
    assert len(decoding.seen) >= 64
    assert decoding.most <= 3
    assert decoding.there == 0


def test_what_is_kept_is_decoded_anew_each_time(monkeypatch):
    decoding, chosen = Decoding(monkeypatch), Kept()
    for _ in chosen.watch({"x": picture} for picture in pictures(5)):
        pass
    assert not decoding.seen
    for samples in (chosen.feeds, *chosen.halves):
        arrays = [id(sample["x"]) for sample in samples]
        assert len(arrays) == len(samples)
    assert len(decoding.seen) == 10
    assert decoding.there == 0


def test_neither_model_nor_calibration_shows_the_encoding(monkeypatch, tmp_path):
    calibrator = octavo.prepare(classifier()).observe(pictures(40))
    calibrator.save(tmp_path / "one")
    model = octavo.convert(calibrator)
    monkeypatch.setattr(_core, "dictionary_encode", lambda elements: None)
    plain = octavo.prepare(classifier()).observe(pictures(40)[::-1])
    plain.save(tmp_path / "other")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    assert artifact.to_bytes(octavo.convert(plain).program) == artifact.to_bytes(model.program)
