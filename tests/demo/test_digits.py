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
    made = digits.Comparison(
        7, 0.9875, digits.Measured(0.97125, 4000, 0.002), digits.Measured(0.965, 1500, 0.001)
    )

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
        "float32    97.12%  4.0 kB   2.000 ms",
        "int8       96.50%  1.5 kB   1.000 ms",
        "",
        "the two give the same answer on 98.75% of the images",
    ]


def test_the_latency_is_a_median(monkeypatch):
    ticks = iter([time for i in range(300) for time in (i, i + (1000 if i < 100 else 3 if i < 200 else 5))])
    monkeypatch.setattr(digits.time, "perf_counter", lambda: next(ticks))

    class Silent:
        def run(self, names, feeds):
            assert feeds["input"] is image

    image = np.zeros(1)
    assert digits._latency(Silent(), image) == 5
