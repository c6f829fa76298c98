"""Networks of every common family, as exporters write them: quantized, run on every engine, compared."""

import sys
from pathlib import Path

import numpy as np
import octavo
import onnxruntime
import pytest
from octavo.program import artifact

sys.path.insert(0, str(Path(__file__).resolve().parent))
from networks import NETWORKS

SAMPLES = 24
BATCH = 3
FRESH, SCORED = 200, 16  # samples that the calibration has not seen, from this seed on


class Quantized:
    """A network, its int8 form, and feeds that calibration has not seen."""

    def __init__(self, network):
        self.network = network
        self.model = network.build()
        self.float_session = onnxruntime.InferenceSession(
            self.model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        self.quantized = self.quantize()
        free = isinstance(self.float_session.get_inputs()[0].shape[0], str)
        self.feeds = network.feeds(self.model, 99, BATCH if free else 1)
        self.floats = self.float_session.run(None, self.feeds)

    def quantize(self, **options):
        data = [self.network.feeds(self.model, seed, 1) for seed in range(SAMPLES)]
        return octavo.quantize(self.model, data, **options)

    def one_by_one(self, session):
        size = len(next(iter(self.feeds.values())))
        parts = [session.run(None, {k: v[i : i + 1] for k, v in self.feeds.items()}) for i in range(size)]
        return [np.concatenate(part) for part in zip(*parts, strict=True)]


def unoptimized(path):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


PARAMETERS = [
    pytest.param(network, id=network.name, marks=[pytest.mark.long] if network.long else [])
    for network in NETWORKS
]


@pytest.fixture(scope="module", params=PARAMETERS)
def case(request):
    return Quantized(request.param)


def test_float_form_is_onnx_runtimes(case):
    given = octavo.Session(case.model.SerializeToString()).run(None, case.feeds)
    for expected, found in zip(case.floats, given, strict=True):
        assert expected.shape == found.shape
        assert np.abs(expected - found).max() <= 1e-4 * np.abs(expected).max()


def test_engines_agree(case):
    expected = octavo.reference.run(case.quantized.program, case.feeds)
    for isa in octavo.tiers():
        for threads in (1, 2):
            session = octavo.Session(case.quantized, threads=threads, isa=isa)
            for given in (session.run(None, case.feeds), case.one_by_one(session)):
                for reference, found in zip(expected, given, strict=True):
                    assert (reference.dtype, reference.shape) == (found.dtype, found.shape)
                    assert reference.tobytes() == found.tobytes(), f"{isa}, {threads} threads"


def ratios_to_float(case, sessions):
    """Of each session, the ratio of signal to error of each output over fresh samples, in dB."""
    signals, noises = np.zeros(len(case.floats)), np.zeros((len(sessions), len(case.floats)))
    for seed in range(FRESH, FRESH + SCORED):
        feeds = case.network.feeds(case.model, seed, 1)
        wanted = [array.astype(np.float64) for array in case.float_session.run(None, feeds)]
        signals += [np.square(array).sum() for array in wanted]
        for session, noise in zip(sessions, noises, strict=True):
            pairs = zip(wanted, session.run(None, feeds), strict=True)
            noise += [np.square(array - found).sum() for array, found in pairs]
    return 10 * np.log10(signals / np.maximum(noises, 1e-300))


def test_close_to_float(case):
    """Over so many samples that no few of them decide, and not farther than without the default's effort."""
    models = case.quantized, case.quantize(effort="fast")
    sessions = [octavo.Session(model) for model in models]
    ratios, fast = ratios_to_float(case, sessions)
    assert ratios.min() >= case.network.bar
    assert (ratios >= fast - 0.5).all()


def test_other_runtimes_are_as_close_to_float(case, tmp_path):
    """The model exported to ONNX: a float32 rounding here and there decides a tie the other way, no more."""
    path = tmp_path / "exported.onnx"
    case.quantized.export_onnx(path)
    sessions = [octavo.Session(case.quantized), unoptimized(path)]
    own, exported = np.minimum(ratios_to_float(case, sessions), 120)
    assert (exported >= own - 1).all(), (own, exported)


def test_the_exported_model_comes_back_with_the_same_bits(case, tmp_path):
    path = tmp_path / "exported.onnx"
    case.quantized.export_onnx(path)
    own, back = (octavo.Session(model).run(None, case.feeds) for model in (case.quantized, path))
    for one, other in zip(own, back, strict=True):
        assert one.tobytes() == other.tobytes()


def test_products_are_in_integer_kernels(case):
    """But for those that the report says are better off in float."""
    rows = [row for row in octavo.Session(case.quantized).profile(case.feeds) if row.macs]
    chosen = {stay.name for stay in case.quantized.report.stays if stay.expected}
    floats = {row.name.split(" + ")[0] for row in rows if row.op not in ("QConv", "QGemm")}
    assert floats <= chosen
    assert len(floats) < len(rows)


def test_every_float_op_has_its_reason(case):
    """What stays float for want of an integer form is what the network expects; each op of the Program that
    computes in float is one of the report's."""
    report = case.quantized.report
    assert sorted({stay.op for stay in report.stays if not stay.expected}) == sorted(case.network.stays)
    assert all(stay.reason for stay in report.stays)
    assert set(report.float_ops) <= {stay.op for stay in report.stays}


def test_the_same_bytes_again(case):
    again = artifact.to_bytes(case.quantize(threads=1).program)
    assert again == artifact.to_bytes(case.quantized.program)
