"""Scales a feature, and further columns for the widest: what they hold, when they are tried, their gain."""

import numpy as np
import octavo
import onnx
import onnx.parser
import pytest
from octavo.calibration import RULES
from octavo.program import artifact
from octavo.quantization import choice, features
from octavo.quantization.features import candidates, feature_forms, reads_features
from octavo.quantization.recipes import RECIPES
from octavo.quantization.stages import STAGES
from octavo.quantization.work import Work

F = np.float32
WIDTH = 64
NETWORK = """<ir_version: 10, opset_import: ["" : 21]> g (float[N,L,64] x) => (float[N,L,8] y) {
    n = LayerNormalization(x, g, o) a = MatMul(n, w1) b = Add(a, b1) h = Gelu(b) c = MatMul(h, w2)
    d = Add(c, n) m = LayerNormalization(d, g, o) y = MatMul(m, w3) }"""


def network(text=NETWORK, **more):
    """Normalized features, of which two reach 20 and 6 times as far as the others."""
    rng = np.random.default_rng(4)
    gains = np.ones(WIDTH)
    gains[[5, 40]] = 20, 6
    arrays = {
        "g": gains,
        "o": rng.normal(size=WIDTH) * 0.1,
        "w1": rng.normal(size=(WIDTH, 96)) / 8 / gains[:, None],
        "b1": rng.normal(size=96),
        "w2": rng.normal(size=(96, WIDTH)) / 8,
        "w3": rng.normal(size=(WIDTH, 8)) / 8 / gains[:, None],
        **more,
    }
    proto = onnx.parser.parse_model(text)
    for name, array in arrays.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array, F), name))
    return proto


def samples(count, seed=1):
    return list(np.random.default_rng(seed).normal(size=(count, 7, WIDTH)).astype(F))


def lowered(proto, data):
    work = Work(proto, data, RECIPES["int8"], [RULES["minmax"]], threads=1)
    for name in ("load", "measure shapes", "calibrate", "lower"):
        STAGES[name](work)
    return work


def test_what_matrix_products_alone_read():
    work = lowered(network(), samples(8))
    assert list(candidates(work.lowered)) == [("n", WIDTH, 2), ("h", 96, 2), ("m", WIDTH, 2)]
    assert reads_features(work.floats)


IMAGES = """float[N,3,8,8] x) => (float[N,8] y) { c = Conv(x, k) r = Relu(c) a = GlobalAveragePool(r)
    f = Flatten(a) """


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("float[N,64] x) => (float[N,8] y) { s = Add(x, x) y = MatMul(s, w) }", True),
        ("float[N,3,64] x) => (float[N,3,8] y) { y = MatMul(x, w) }", True),
        (IMAGES + "y = MatMul(f, w) }", False),
        (IMAGES + "h = HardSwish(f) y = MatMul(h, w) }", True),
        (IMAGES + "n = LayerNormalization(f, o) y = MatMul(n, w) }", True),
        ("float[N,3,8,8] x) => (float[N,64,6,6] y) { y = Conv(x, k) }", False),
    ],
)
def test_feature_statistics_are_for_models_that_can_use_them(text, reads):
    arrays = {"k": np.ones((WIDTH, 3, 3, 3)), "w": np.ones((WIDTH, 8)), "o": np.ones(WIDTH)}
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> g ({text}')
    for name, array in arrays.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(F), name))
    shape = [axis.dim_value or 2 for axis in proto.graph.input[0].type.tensor_type.shape.dim]
    work = lowered(proto, np.random.default_rng(0).normal(size=shape).astype(F))
    assert reads_features(work.floats) == reads
    assert (work.calibration.statistics.statistics.count("feature_extremes") == 1) == reads


def reach(form, index):
    """The least and the greatest real that the columns of an index hold together."""
    columns = [place for place, other in enumerate(form.indices) if other == index]
    ends = [sum(form.scales[c] * (end - form.rests[c]) for c in columns) for end in (0, 255)]
    return ends, [form.scales[c] for c in columns]


@pytest.mark.parametrize("sign", [1, -1])
def test_forms_against_the_formulas(sign):
    data = [sign * np.abs(sample) if sign < 0 else sample for sample in samples(8)]
    work = lowered(network(), data)
    statistics = work.calibration.statistics
    forms = feature_forms(work.lowered, statistics)
    assert set(forms) == {"n", "h", "m"}
    for name, form in forms.items():
        seen = statistics.read(name, "feature_extremes")
        least, greatest = (np.array(seen[end]) * features.MARGIN for end in ("minima", "maxima"))
        farthest = np.maximum(-least, greatest)
        assert form.axis == 2
        assert form.indices[: len(least)] == tuple(range(len(least)))
        assert len(form.indices) % 4 == 0
        assert len(form.indices) <= len(least) * 9 / 8 + 3
        ratios = []
        for index in range(len(least)):
            (low, high), scales = reach(form, index)
            step = scales[0]
            assert low <= least[index] + step
            assert high >= greatest[index] - step
            assert len(set(scales)) == 1
            ratios.append(step / min(form.scales))
        assert max(ratios) <= features.MOST * (1 + 1e-6)
        # The farther a feature reaches the coarser its steps, up to that bound.
        assert (np.diff(np.array(ratios)[np.argsort(farthest)]) >= -1e-6).all()
    wide = [index for index in forms["n"].indices if index in (5, 40)]
    assert wide.count(5) > wide.count(40) >= 1


def test_dead_features_and_a_dead_tensor():
    """A median reach of 0, and a tensor of zeros, which keeps its plain form."""
    dead = np.zeros(WIDTH)
    dead[3] = 5.0
    work = lowered(network(g=dead, o=np.zeros(WIDTH)), samples(8))
    form = feature_forms(work.lowered, work.calibration.statistics)["n"]
    assert len(set(form.scales)) == 1
    (low, high), _ = reach(form, 3)
    assert low < -5 < 5 < high
    nothing = lowered(network(g=np.zeros(WIDTH), o=np.zeros(WIDTH)), samples(8))
    assert "n" not in feature_forms(nothing.lowered, nothing.calibration.statistics)


def sqnr(model, proto, data):
    session, other = octavo.Session(proto), octavo.Session(model)
    pairs = [(session.run(None, {"x": x[None]})[0], other.run(None, {"x": x[None]})[0]) for x in data]
    noise = sum(float(((one - two).astype(np.float64) ** 2).sum()) for one, two in pairs)
    return 10 * np.log10(sum(float((one.astype(np.float64) ** 2).sum()) for one, _ in pairs) / noise)


def test_features_that_stick_out_gain():
    proto, fresh = network(), samples(20, seed=2)
    model = octavo.quantize(proto, samples(48))
    assert model.report.range_rule.startswith("minmax with feature scales")
    assert {"minmax", "minmax with feature scales"} <= set(model.report.tried)
    assert isinstance(
        octavo.load(model.to_bytes()).program if hasattr(octavo, "load") else model.program, object
    )
    without = octavo.quantize(proto, samples(48), effort="fast")
    assert without.report.range_rule == "minmax"
    assert sqnr(model, proto, fresh) > sqnr(without, proto, fresh) + 6
    quantize = [node for node in model.program.nodes if node.op == "Quantize"]
    assert all(len(node.inputs) == 4 for node in quantize)


def test_few_samples_keep_one_scale():
    model = octavo.quantize(network(), samples(2 * choice.FEWEST - 2))
    assert model.report.tried == {}
    assert not any(len(node.inputs) == 4 for node in model.program.nodes if node.op == "Quantize")


def test_a_small_gain_is_none(monkeypatch):
    monkeypatch.setattr(choice, "GAIN", 10**3.0)
    model = octavo.quantize(network(), samples(48))
    assert model.report.range_rule == "minmax"
    assert model.report.tried["minmax with feature scales"] > model.report.tried["minmax"]
    assert not any(len(node.inputs) == 4 for node in model.program.nodes if node.op == "Quantize")


def test_any_order_of_samples_gives_the_same_bytes():
    proto, data = network(), samples(40)
    one, other = (octavo.quantize(proto, part) for part in (data, data[::-1]))
    assert artifact.to_bytes(one.program) == artifact.to_bytes(other.program)
    assert any(len(node.inputs) == 4 for node in one.program.nodes if node.op == "Quantize")
