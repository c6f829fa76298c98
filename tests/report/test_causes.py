"""Each cause, by a fault that is put in for it: the layer ranks first, and the cause has its name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import octavo
import onnx
import pytest
from injections import changed, subject
from octavo.lowering import Affine
from octavo.report.causes import (
    CAUSES,
    Evidence,
    Weights,
    _first_that_helps,
    dead_channels,
    saturated_accumulator,
)
from octavo.report.comparison import Cause, OutputRow
from octavo.report.doubts import TURNED, _layout, doubts
from octavo.report.measures import Own, Ratio
from octavo.report.trials import Change
from small import model, pictures, rows, weights


def array(proto, name):
    return onnx.numpy_helper.to_array(next(item for item in proto.graph.initializer if item.name == name))


def put(proto, **arrays):
    for name, values in arrays.items():
        item = next(item for item in proto.graph.initializer if item.name == name)
        item.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), name))
    return proto


@pytest.fixture
def rng():
    return np.random.default_rng(23)


@pytest.fixture
def normal(rng):
    return rng.normal(size=(80, 24)).astype(np.float32)


def worst(subject, program):
    found = octavo.compare(subject.floats, program, subject.held)
    row = found.layers[0]
    assert row.cause is not None
    assert f"{row.name}: {row.cause}" in str(found)
    return row


def test_an_input_in_another_range(subjects):
    one = subjects["rows"]
    for factor in (5, 0.1):
        row = worst(replace(one, held=one.held * np.float32(factor)), one.lowered().program)
        assert (row.of, row.cause.name) == ("x", "input range")
    assert row.cause.gain > 2


def test_branches_of_unlike_ranges_joined(rng):
    """The reader's weights have a scale a channel, and make up for the quiet branch without a loss."""
    text = """g (float[N,3,16,16] x) => (float[N,10] y) {
        s = Conv(x, ws) a = Relu(s) l = Conv(a, wl) k = Relu(l) h = Conv(a, wh) i = Relu(h)
        j = Concat<axis=1>(k, i) f = Conv<kernel_shape=[3,3], group=32>(j, wf) n = Relu(f)
        q = GlobalAveragePool(n) t = Flatten(q) y = Gemm<transB=1>(t, wy) }"""
    shapes = {"ws": (16, 3, 1, 1), "wl": (16, 16, 1, 1), "wh": (16, 16, 1, 1), "wf": (32, 1, 3, 3)}
    constants = {name: weights(rng, *shape) for name, shape in shapes.items()}
    constants["wl"] /= 60
    constants["wf"][:16] *= 60
    photos = pictures(rng, 120)
    one = subject(model(text, wy=weights(rng, 10, 32), **constants), photos[:100], photos[100:])
    row = worst(one, one.lowered().program)
    assert (row.name, row.cause.name) == ("the_l", "Concat of unlike ranges")
    assert row.cause.remedy == "exclude=['the_j', 'the_f']"
    assert row.cause.gain > 3


def test_a_channel_louder_than_the_others(rng, normal):
    proto = rows(rng)
    first, bias, second = (array(proto, name).copy() for name in ("w2", "b2", "w3"))
    first[5] *= 60
    bias[5] *= 60
    second[:, 5] /= 60
    one = subject(put(proto, w2=first, b2=bias, w3=second), normal[:60], normal[60:])
    row = worst(one, one.lowered().program)
    assert (row.name, row.cause.name) == ("the_c", "outlier channel")
    assert "channel 5" in row.cause.text
    assert row.cause.gain > 3


def test_a_flat_softmax(rng):
    text = "g (float[N,16] x) => (float[N,4] y) { a = MatMul(x, w) s = Softmax(a) y = MatMul(s, v) }"
    proto = model(text, w=rng.normal(size=(16, 300)) * 0.02, v=rng.normal(size=(300, 4)))
    x = rng.normal(size=(80, 16)).astype(np.float32)
    one = subject(proto, x[:60], x[60:])
    row = worst(one, one.lowered(given={"s": Affine(np.float32(1 / 256), 0)}).program)
    assert (row.op, row.cause.name) == ("QSoftmax", "flat softmax")
    assert row.cause.gain > 3


def test_a_bias_that_fills_the_accumulator(subjects):
    one = subjects["branches"]
    lowered = one.lowered()
    node = next(node for node in lowered.program.nodes if node.name == "the_f")
    bias = lowered.program.constants[node.inputs[2]].copy()
    weight = lowered.program.constants[node.inputs[1]].astype(np.int64)
    reach = np.abs(weight.reshape(len(weight), -1)).sum(1) * 255
    bias[::3] = (2**31 - 1 - reach)[::3]
    row = worst(one, changed(lowered, **{node.inputs[2]: bias}))
    assert (row.name, row.cause.name) == ("the_f", "saturated accumulator")
    assert row.cause.gain > 3


def test_a_channel_that_sets_the_scale_of_all_weights(rng, normal):
    """The weight that is far larger than all others meets an input that is always 0."""
    proto = rows(rng)
    first, bias, second = (array(proto, name).copy() for name in ("w1", "b1", "w2"))
    first[3] = bias[3] = 0
    second[7, 3] = 60 * np.abs(second).max()
    one = subject(put(proto, w1=first, b1=bias, w2=second), normal[:60], normal[60:])
    row = worst(one, one.lowered(per_channel=False).program)
    assert (row.name, row.cause.name) == ("the_c", "outlier weight channel")
    assert (row.cause.remedy, "channel 7" in row.cause.text) == ("per_channel=True", True)
    assert row.cause.gain > 3


def test_weights_that_are_all_rounded_down(subjects):
    one = subjects["branches"]
    lowered = one.lowered()
    node = next(node for node in lowered.program.nodes if node.name == "the_f")
    scale = lowered.program.values[node.inputs[1]].quant.scale[:, None, None, None]
    down = np.floor(lowered.weights[node.inputs[1]] / scale).clip(-127, 127).astype(np.int8)
    row = worst(one, changed(lowered, **{node.inputs[1]: down}))
    assert (row.name, row.cause.name) == ("the_f", "mean shift")
    assert row.cause.gain > 3


BENIGN = {"rounding", "clipped range", "outlier channel", "mean shift"}


@pytest.mark.parametrize("name", ["digits", "branches", "rows"])
def test_where_nothing_is_broken_nothing_else_is_blamed(subjects, name):
    one = subjects[name]
    found = octavo.compare(one.floats, one.lowered().program, one.held)
    assert {cause.name for row in found.layers[:3] for cause in row.causes} <= BENIGN
    assert found.causes == []
    assert found.unmatched == {}


def evidence(row, measured, weights):
    return Evidence(row, measured, weights, (), ("reader",), False)


def test_bounds_of_facts(subjects):
    """What stands just below its bound is not blamed, and just above it is."""
    one = subjects["branches"]
    row = octavo.compare(one.floats, one.lowered().program, one.held).layer("the_f")
    row = replace(row, computing=0.9, rounding=0.1, clipping=0.0)
    measured = Own(one.lowered().program.values["n"])
    measured.noises, measured.ratio = np.array([4.0, 6.0]), Ratio(100.0, 10.0)
    reals = np.ones((2, 3))
    for channel, is_most in ((0, False), (1, True)):
        found = reals.copy()
        found[channel] = 0
        full = found[:, 0] == 0
        biases = (np.zeros(2), np.zeros(2))
        dead = Weights(reals, found, biases, np.zeros(2, np.bool_), per_channel=True)
        assert (dead_channels(evidence(row, measured, dead)) is not None) == is_most
        saturated = Weights(reals, reals, biases, full, per_channel=True)
        assert (saturated_accumulator(evidence(row, measured, saturated)) is not None) == is_most


class Tried:
    """Trials whose gains are known."""

    def __init__(self, *gains):
        self.gains = iter(gains)

    def gain(self, change):
        return next(self.gains)


def test_a_remedy_that_does_not_help_yields_to_the_next():
    findings = [(Cause(name, "", ""), Change()) for name in "abc"]
    assert [cause.name for cause in _first_that_helps(findings, Tried(-1.0, 2.0))] == ["b"]
    assert [(c.name, c.gain) for c in _first_that_helps(findings, Tried(-1.0, 0.0, -3.0))] == [("a", -1.0)]
    assert [(c.name, c.gain) for c in _first_that_helps(findings, None)] == [("a", None)]
    assert _first_that_helps([], Tried()) == ()


def named(found, name):
    (cause,) = [cause for cause in found.causes if cause.name == name]
    return cause


def test_few_and_constant_samples(rng, normal):
    proto = rows(rng)
    few = octavo.quantize(proto, normal[:3])
    assert "3 samples" in named(octavo.compare(proto, few, normal[60:]), "too few samples").text
    ones = octavo.quantize(proto, np.ones((40, 24), np.float32))
    found = octavo.compare(proto, ones, normal[60:])
    cause = named(found, "constant samples")
    assert "'x' was 1 throughout" in cause.text
    assert cause.gain > 10
    assert found.layers[0].cause.name in ("input range", "clipped range")
    same = octavo.compare(proto, octavo.quantize(proto, normal), normal[:1].repeat(5, 0))
    assert "are all the same" in named(same, "constant samples").text


def test_pictures_in_another_layout(rng, subjects):
    one, photos = subjects["branches"], pictures(rng, 16)
    wrong = np.ascontiguousarray(photos.transpose(0, 2, 3, 1)).reshape(photos.shape)
    program = one.lowered().program
    cause = named(octavo.compare(one.floats, program, wrong), "layout")
    assert "transpose(0, 3, 1, 2)" in cause.remedy
    assert all(cause.name != "layout" for cause in octavo.compare(one.floats, program, photos).causes)


def test_a_picture_that_is_hardly_rougher_is_left_alone(subjects):
    """Rough along the rows by a factor on either side of the bound, as a share of the other layout's."""
    floats = subjects["branches"].floats
    rng = np.random.default_rng(4)
    told = set()
    for smooth in np.linspace(0, 1, 30):
        x = (1 - smooth) * rng.normal(size=(1, 3, 16, 16)) + smooth * pictures(rng, 1)
        wrong = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).reshape(x.shape).astype(np.float32)
        roughness = [
            np.abs(np.diff(p, axis=3)).mean() + np.abs(np.diff(p, axis=2)).mean() for p in (wrong, x)
        ]
        ratio = roughness[0] / roughness[1]
        assert bool(_layout(floats, [{"x": wrong}])) == (ratio > TURNED)
        told.add((ratio > 1, ratio > TURNED))
    assert {(True, False), (True, True)} <= told


def test_pictures_with_channels_last_in_another_layout(rng):
    text = """g (float[N,16,16,3] x) => (float[N,3] y) {
        t = Transpose<perm=[0,3,1,2]>(x) c = Conv(t, w) q = GlobalAveragePool(c) y = Flatten(q) }"""
    proto = model(text, w=np.eye(3)[:, :, None, None])
    right = np.ascontiguousarray(pictures(rng, 16).transpose(0, 2, 3, 1))
    wrong = np.ascontiguousarray(right.transpose(0, 3, 1, 2)).reshape(right.shape)
    assert "transpose(0, 2, 3, 1)" in named(octavo.compare(proto, proto, wrong), "layout").remedy
    assert octavo.compare(proto, proto, right).causes == []


def test_colours_in_the_other_order(rng):
    text = """g (float[N,3,16,16] x) => (float[N,3] y) {
        c = Conv(x, w) q = GlobalAveragePool(c) y = Flatten(q) }"""
    proto = model(text, w=np.eye(3)[:, :, None, None])
    labels = np.arange(48) % 3
    photos = pictures(rng, 48)
    photos[np.arange(48), labels] += 2
    assert octavo.compare(proto, proto, photos, labels).causes == []
    cause = named(octavo.compare(proto, proto, photos[:, ::-1].copy(), labels), "channel order")
    assert "100.0 % of the samples" in cause.text
    assert cause.remedy == "feed np.flip(x, 1)"
    assert octavo.compare(proto, proto, photos[:30, ::-1].copy(), labels[:30]).causes == []


def test_samples_larger_than_those_of_training(rng):
    text = """g (float[N,3,16,16] x) => (float[N,4] y) {
        c = Conv(x, w, b) r = Clip(c, low, high) q = GlobalAveragePool(r) f = Flatten(q) y = Gemm(f, v) }"""
    proto = model(
        text, w=rng.normal(size=(8, 3, 1, 1)), b=np.zeros(8), low=0, high=6, v=rng.normal(size=(8, 4))
    )
    photos = pictures(rng, 20)
    assert "smaller values" in named(octavo.compare(proto, proto, photos * 90), "training range").text
    assert octavo.compare(proto, proto, photos).causes == []


def test_a_softmax_that_hides_or_makes_errors(rng):
    text = "g (float[N,16] x) => (float[N,9] y) { a = MatMul(x, w) y = Softmax(a) }"
    x = rng.normal(size=(80, 16)).astype(np.float32)
    one = subject(model(text, w=rng.normal(size=(16, 9)) * 12), x[:60], x[60:])
    found = octavo.compare(one.floats, one.lowered().program, one.held)
    (row,) = found.outputs
    op, before = row.before
    assert (op, abs(before - row.sqnr) > 3) == ("Softmax", True)
    cause = named(found, "softmax-limited SQNR")
    assert f"{row.sqnr:.1f} dB" in cause.text
    near = OutputRow("y", before - 2.9, 1.0, 1.0, before=row.before)
    assert doubts(one.floats, [], [near], None, lambda: None, None) == []


def test_every_cause_is_proved():
    """By the tests above, or by faults drawn at random (test_injections)."""
    from injections import INJECTIONS

    above = {
        "input range",
        "Concat of unlike ranges",
        "outlier channel",
        "flat softmax",
        "saturated accumulator",
        "outlier weight channel",
        "mean shift",
        "rounding",
    }
    assert set(CAUSES) == above | set(INJECTIONS)


def test_the_page_of_the_documents_lists_the_causes():
    page = (Path(__file__).resolve().parents[2] / "docs" / "comparing.md").read_text()
    rows = page.split("<!-- causes of layers -->")[1].strip().splitlines()[2:]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == list(CAUSES)
