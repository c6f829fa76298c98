"""Whole networks on every engine: the same bytes, in integers, close to the float model."""

import sys
from pathlib import Path

import numpy as np
import octavo
import onnxruntime
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benches"))
import datasets

# SQNR in dB against ONNX Runtime's float outputs that plain ranges must reach on a few samples.
LEAST = {
    "mnist-cnn": 37,
    "resnet8": 21,
    "dscnn": 26,
    "vww": 25,
    "autoencoder": 41,
    "resnet20-cifar": 27,
    "squeezenet": 30,
    "mobilenetv2": 12.5,
    "ultraface": 39,
}
LARGE = {"squeezenet", "mobilenetv2"}
CASES = {case.name: case for case in datasets.CASES}


class Quantized:
    """A case quantized with some of its data, and eight samples (one where the batch is fixed)."""

    def __init__(self, case):
        data = case.calibration()
        self.case = case
        self.model = octavo.quantize(str(case.model), data[:40])
        self.x = data[-8:] if case.batch > 1 else data[-1:]

    def session(self, isa, threads=1):
        return octavo.Session(self.model, threads=threads, isa=isa)

    def run(self, session, x):
        return session.run(None, {self.case.input: x})


@pytest.fixture(scope="module", params=CASES)
def quantized(request, data_dir):
    return Quantized(CASES[request.param])


def test_engines_agree(quantized):
    x = quantized.x
    few = x[:2] if quantized.case.name in LARGE else x
    expected = octavo.reference.run(quantized.model.program, {quantized.case.input: few})
    for isa in octavo.tiers():
        for threads in (1, 2):
            session = quantized.session(isa, threads)
            whole = quantized.run(session, x)
            one_by_one = [quantized.run(session, x[i : i + 1]) for i in range(len(x))]
            single = [np.concatenate(parts) for parts in zip(*one_by_one, strict=True)]
            for reference, batch, one in zip(expected, whole, single, strict=True):
                engine = f"{isa}, {threads} threads"
                assert batch.tobytes() == one.tobytes(), f"{engine}: batches of {len(x)} and of 1 differ"
                assert batch[: len(few)].tobytes() == reference.tobytes(), (
                    f"{engine} and the reference differ"
                )


def test_multiply_accumulates_are_in_the_tiers_integer_kernels(quantized):
    for isa in octavo.tiers():
        rows = quantized.session(isa).profile({quantized.case.input: quantized.x})
        total = sum(row.macs for row in rows)
        own = sum(row.macs for row in rows if row.tier == isa and row.op.startswith("Q"))
        assert own >= 0.99 * total > 0, [(r.name, r.kernel, r.macs) for r in rows if r.tier != isa and r.macs]


def test_close_to_float(quantized):
    case = quantized.case
    float_session = onnxruntime.InferenceSession(str(case.model))
    output = case.output or float_session.get_outputs()[0].name
    session = quantized.session(None)
    signal = noise = 0.0
    for x in np.array_split(quantized.x, len(quantized.x)):
        [y] = float_session.run([output], {case.input: x})
        [y8] = session.run([output], {case.input: x})
        signal += np.square(y.astype(np.float64)).sum()
        noise += np.square(y.astype(np.float64) - y8).sum()
    assert 10 * np.log10(signal / noise) >= LEAST[case.name]
