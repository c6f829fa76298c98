"""Whole networks on every engine: the same bytes, in integers."""

import sys
from pathlib import Path

import numpy as np
import octavo
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benches"))
import datasets

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
