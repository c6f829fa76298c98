"""The demo's figures, counted anew from what it ships."""

import numpy as np
import octavo
import onnxruntime
import pytest
from octavo.demo import digits
from octavo.program import artifact


@pytest.fixture(scope="module")
def compared():
    return digits.compare(threads=1)


@pytest.fixture(scope="module")
def shipped():
    with np.load(digits.FOLDER / "images.npz") as file:
        images, labels = file["images"], file["labels"]
    with np.load(digits.FOLDER / "calibration.npz") as file:
        calibration = file["images"]
    return (images / np.float32(255), labels, calibration / np.float32(255))


def test_the_figures_are_those_of_both_forms(compared, shipped):
    images, labels, calibration = shipped
    session = onnxruntime.InferenceSession(digits.MODEL)
    floats = session.run(None, {"input": images})[0].argmax(1)
    quantized = octavo.quantize(digits.MODEL, calibration)
    integers = octavo.Session(quantized).run(None, {"input": images})[0].argmax(1)
    assert compared.images == len(images) == 1000
    assert compared.float32.accuracy == (floats == labels).mean() > 0.96
    assert compared.int8.accuracy == (integers == labels).mean() > 0.96
    assert compared.agreement == (floats == integers).mean() > 0.98
    assert compared.float32.bytes == digits.MODEL.stat().st_size
    assert compared.int8.bytes == len(artifact.to_bytes(quantized.program))
    assert 0 < compared.int8.latency < 1
    assert 0 < compared.float32.latency < 1


def test_as_data(compared):
    data = compared.as_dict()
    assert data["images"] == 1000
    assert data["agreement"] == compared.agreement
    for form, measured in (("float32", compared.float32), ("int8", compared.int8)):
        assert data[form] == {
            "accuracy": measured.accuracy,
            "bytes": measured.bytes,
            "latency": measured.latency,
        }


@pytest.mark.parametrize("threads", [None, 3])
def test_the_table(monkeypatch, capsys, threads):
    from octavo.demo import command

    asked = []
    forms = digits.Measured(0.97125, 4000, 20e-6), digits.Measured(0.965, 1500, 10e-6)
    made = digits.Comparison(7, 0.9875, 1234, "avx2", threads or 2, *forms)

    def compare(threads):
        asked.append(threads)
        return made

    monkeypatch.setattr(digits, "compare", compare)
    command.demo(threads)
    assert asked == [threads]
    assert capsys.readouterr().out.splitlines() == [
        "a small CNN on 7 images of handwritten digits",
        "",
        "         accuracy    size  one image",
        "float32    97.12%  4.0 kB    20.0 µs",
        "int8       96.50%  1.5 kB    10.0 µs",
        "",
        f"with avx2, {threads or 2} threads, int8 is 2.00 times as fast as float32",
        "the two give the same answer on 98.75% of the images",
    ]


def test_the_latency_is_a_median_of_turns(monkeypatch):
    monkeypatch.setattr(digits, "ROUNDS", 3)
    monkeypatch.setattr(digits, "RUNS", 1)
    # Each run's start and end, of the two sessions in turns: 1, 2 and 900; 5, 4 and 3.
    took = [1, 5, 2, 4, 900, 3]
    ticks = iter([tick for i, time in enumerate(took) for tick in (1000 * i, 1000 * i + time)])
    monkeypatch.setattr(digits.time, "perf_counter", lambda: next(ticks))

    class Silent:
        def run(self, names, feeds):
            assert feeds["input"] is image

    image = np.zeros(1)
    assert digits._latencies([Silent(), Silent()], image) == [2, 4]
