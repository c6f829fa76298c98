"""Scales a channel: which tensors have them, what they are, and that every reader takes them in."""

from dataclasses import replace

import numpy as np
import octavo
import onnx
import onnx.parser
import pytest
from octavo.calibration import RULES
from octavo.lowering import Forms, lower_to_integers
from octavo.lowering.affine import Affine
from octavo.program.integers import UINT8
from octavo.program.scales import scale_of_sums
from octavo.quantization.channels import ALPHAS, candidates, channel_forms
from octavo.quantization.choice import Candidate
from octavo.quantization.products import products_of
from octavo.quantization.recipes import RECIPES
from octavo.quantization.rounding import round_weights
from octavo.quantization.stages import STAGES
from octavo.quantization.work import Work, lowered_for

F = np.float32
NETWORK = """<ir_version: 10, opset_import: ["" : 21]> g (float[N,3,10,10] x) => (float[N,4,10,10] y) {
    a = Conv<pads = [1,1,1,1]>(x, w1, b1) r = Relu(a)
    d = Conv<pads = [1,1,1,1], group = 8>(r, w2, b2) e = Relu(d) y = Conv(e, w3, b3) }"""


def network(text=NETWORK, spread=40.0, **more):
    """Channels of the first convolution that differ by a factor of `spread`."""
    rng = np.random.default_rng(12)
    proto = onnx.parser.parse_model(text)
    loud = np.geomspace(1, 1 / spread, 8)[:, None, None, None]
    arrays = {
        "w1": rng.normal(size=(8, 3, 3, 3)) * loud,
        "b1": rng.normal(size=8) * loud[:, 0, 0, 0],
        "w2": rng.normal(size=(8, 1, 3, 3)) / loud,
        "b2": rng.normal(size=8),
        "w3": rng.normal(size=(4, 8, 1, 1)),
        "b3": rng.normal(size=4),
        **more,
    }
    for name, array in arrays.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array, F), name))
    return proto


@pytest.fixture
def pictures():
    return np.random.default_rng(1).normal(size=(48, 3, 10, 10)).astype(F)


def lowered(proto, data, last="lower"):
    work = Work(proto, data, RECIPES["int8"], [RULES["minmax"]], threads=1)
    for name in work.recipe.stages:
        STAGES[name](work)
        if name == last:
            return work
    raise AssertionError(last)


def test_what_depthwise_convolutions_alone_read(pictures):
    assert list(candidates(lowered(network(), pictures).lowered)) == ["r"]
    for change, same in (
        ("d = Conv", "d = Conv"),  # as it is
        ("y = Conv(e, w3, b3)", "q = Conv(r, w3) p = Conv(e, w3, b3) y = Add(p, q)"),  # another reader
        ("r = Relu(a)", "r = Clip(a, low, high)"),  # not from 0 on
        ("r = Relu(a)", "r = Clip(a, zero, half)"),  # bounded within its range
        ("group = 8", "group = 2"),
    ):
        more = {"low": -1, "high": 9, "zero": 0, "half": 0.5} if "Clip" in same else {}
        if same == "group = 2":
            more["w2"] = np.ones((8, 4, 3, 3))
        found = list(candidates(lowered(network(NETWORK.replace(change, same), **more), pictures).lowered))
        wanted = ["r"] if change == same or "half" in same else []
        assert found == wanted, same


@pytest.mark.parametrize("alpha", ALPHAS)
def test_scales_against_the_formula(pictures, alpha):
    work = lowered(network(), pictures)
    statistics = work.calibration.statistics
    forms = channel_forms(work.lowered, statistics, alpha)
    assert list(forms) == ["r"]
    own = work.lowered.forms["r"]
    highs = np.array(statistics.read("r", "channel_extremes")["maxima"])
    shares = np.maximum(highs / highs.max(), 1e-3)
    wanted = np.minimum(highs.max() * shares**alpha / 255, own.scale)
    assert forms["r"].channels is not None
    np.testing.assert_allclose(forms["r"].channels, wanted, rtol=1e-6)
    assert (forms["r"].scale, forms["r"].zero_point) == (max(forms["r"].channels), 0)
    assert forms["r"].scale <= own.scale
    finer = {"r": Affine(np.float32(own.scale / 3), 0, UINT8)}
    narrow = replace(work.lowered, forms=work.lowered.forms | finer)
    assert max(channel_forms(narrow, statistics, alpha)["r"].channels) == np.float32(own.scale / 3)


def test_tensors_that_are_never_above_0_have_none(pictures):
    work = lowered(network(b1=np.full(8, -1e3)), pictures)
    assert channel_forms(work.lowered, work.calibration.statistics, 0.5) == {}


def test_every_multiplier_and_bias_takes_the_scales_in(pictures):
    """The integers of a network whose channels have these scales, by the formulas (7) and (19)."""
    work = lowered(network(), pictures)
    scales = tuple(np.geomspace(0.001, 0.01, 8).astype(F))
    forms = Forms(
        {name: RULES["minmax"].function({"extremes": work.calibration.statistics.read(name, "extremes")})
         for name in work.calibration.names},
        given={"r": Affine(max(scales), 0, UINT8, scales)},
    )  # fmt: skip
    made = lower_to_integers(work.floats, forms)
    assert made.stays == []
    first, second, _ = (node for node in made.program.nodes if node.op == "QConv")
    value = made.program.values[first.outputs[0]]
    assert (value.quant.scale.tolist(), value.quant.axis) == ([float(scale) for scale in scales], 1)
    constants, values = made.program.constants, made.program.values

    def factor(node):
        multipliers, shifts = (constants[name].astype(np.float64) for name in node.inputs[3:5])
        return multipliers * 2.0**-shifts

    x = values[first.inputs[0]].quant.scale[0]
    wanted = np.float64(x) * values[first.inputs[1]].quant.scale / np.array(scales, np.float64)
    np.testing.assert_allclose(factor(first), wanted, rtol=2.0**-23)
    unit = np.array(scales, np.float64) * values[second.inputs[1]].quant.scale
    np.testing.assert_array_equal(constants[second.inputs[2]], np.rint(work.floats.constants["b2"] / unit))
    np.testing.assert_allclose(factor(second), unit / values[second.outputs[0]].quant.scale, rtol=2.0**-23)
    np.testing.assert_array_equal(scale_of_sums(made.program, second), unit)


def test_a_float_result_has_the_scales_in_its_own(pictures):
    text = NETWORK.replace("e = Relu(d) y = Conv(e, w3, b3)", "y = Sin(d)").replace("4,10,10", "8,10,10")
    work = lowered(network(text), pictures)
    assert list(candidates(work.lowered)) == ["r"]
    made = lowered_for(work, work.calibration.statistics, Candidate(RULES["minmax"], 0.5))
    (depthwise,) = (node for node in made.program.nodes if "x_scale" in node.attributes)
    assert depthwise.attributes["x_scale"] == 1
    assert noise(made.program, work, pictures) < noise(work.lowered.program, work, pictures)


def noise(program, work, data):
    (made,), (wanted,) = (
        octavo.Session(of, threads=1).run(None, {"x": data}) for of in (program, work.floats)
    )
    return np.square(made.astype(np.float64) - wanted).sum() / np.square(wanted.astype(np.float64)).sum()


def test_quiet_channels_gain_and_weights_are_made_for_them(pictures):
    work = lowered(network(), pictures)
    plain = round_weights(work.floats, work.lowered, work.calibration.kept.feeds, 1)
    scaled = lowered_for(work, work.calibration.statistics, Candidate(RULES["minmax"], 0.75))
    made = round_weights(work.floats, scaled, work.calibration.kept.feeds, 1)
    assert len(products_of(work.floats, scaled)) == 3
    fresh = np.random.default_rng(2).normal(size=(40, 3, 10, 10)).astype(F)
    assert noise(made.program, work, fresh) < 0.5 * noise(plain.program, work, fresh)
    assert noise(made.program, work, fresh) < noise(scaled.program, work, fresh)
    model = octavo.quantize(work.model, pictures, threads=1)
    assert model.report.range_rule == "minmax with channel scales (0.75)"
    assert "channel scales" in str(model.report)


def test_all_engines_agree_on_them(pictures):
    model = octavo.quantize(network(), pictures, threads=1)
    wanted = octavo.reference.run(model.program, {"x": pictures[:2]})[0]
    for isa in octavo.tiers():
        for threads in (1, 2):
            found = octavo.Session(model, threads=threads, isa=isa).run(None, {"x": pictures[:2]})[0]
            assert found.tobytes() == wanted.tobytes()


def test_no_other_reader_takes_them(pictures):
    """Given for a tensor that an Add reads, or that is made by one, or bounded within: those stay float."""
    scales = tuple(np.geomspace(0.001, 0.02, 8).astype(F))
    form = Affine(max(scales), 0, UINT8, scales)
    work = lowered(
        network(NETWORK.replace("y = Conv(e, w3, b3)", "s = Add(e, r) y = Conv(s, w3, b3)")), pictures
    )
    ranges = {
        name: RULES["minmax"].function({"extremes": work.calibration.statistics.read(name, "extremes")})
        for name in work.calibration.names
    }
    made = lower_to_integers(work.floats, Forms(ranges, given={"r": form}))
    assert made.stays
    assert any("scale a channel" in stay.reason for stay in made.stays)
    (found,) = octavo.Session(made.program, threads=1).run(None, {"x": pictures[:1]})
    assert np.isfinite(found).all()
    work = lowered(
        network(NETWORK.replace("r = Relu(a)", "r = Clip(a, zero, half)"), zero=0, half=0.5), pictures
    )
    wide = Affine(F(0.01), 0, UINT8, (F(0.01),) * 8)
    made = lower_to_integers(work.floats, Forms(ranges | {"r": ranges["e"]}, given={"r": wide}))
    assert any("bounds would differ" in stay.reason for stay in made.stays)
