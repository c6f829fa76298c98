"""Biases that keep means: against what is wanted, with and without an activation."""

from dataclasses import replace

import numpy as np
import octavo
import onnx
import onnx.parser
import pytest
from octavo._core import shifts_behind
from octavo.calibration import RULES
from octavo.program.scales import scale_of_sums
from octavo.quantization import biases
from octavo.quantization.biases import correct_bias, mean_results
from octavo.quantization.products import bias_in_reals, bias_of_reals, products_of
from octavo.quantization.recipes import RECIPES
from octavo.quantization.stages import STAGES
from octavo.quantization.walk import Walk, part
from octavo.quantization.work import Work

F = np.float32


@pytest.mark.parametrize(("low", "high"), [(0.0, np.inf), (0.0, 1.5), (-1.0, 1.0)])
@pytest.mark.parametrize("unit", [1.0, 1e-30, 1e30])
def test_a_shift_brings_the_mean_behind_an_activation(low, high, unit):
    rng = np.random.default_rng(4)
    seen = rng.normal([-2, -0.5, 0, 0.5, 2], size=(4000, 5)) * unit
    bounds = (low * unit, high * unit)
    clipped = np.clip(seen, *bounds)
    true = rng.uniform(-0.2, 0.2, 5) * unit
    missing = np.clip(seen + true, *bounds).mean(axis=0) - clipped.mean(axis=0)
    shift = shifts_behind(bounds, missing, seen.astype(F))
    left = np.clip(seen + shift, *bounds).mean(axis=0) - clipped.mean(axis=0) - missing
    assert (np.abs(left) < 0.05 * np.abs(missing) + 1e-4 * unit).all()


def test_no_step_is_longer_than_the_results_allow():
    """A channel that the activation holds back whole would need an endless shift."""
    seen = np.full((100, 1), -5.0, F)
    shift = shifts_behind((0.0, np.inf), np.array([3.0]), seen)
    assert shift == pytest.approx([3 * 0.1 * 5.0])
    assert shifts_behind((0.0, np.inf), np.zeros(2), np.zeros((9, 2), F)).tolist() == [0, 0]


def test_quiet_channels_are_counted_as_finely_as_loud_ones():
    rng = np.random.default_rng(5)
    units = np.array([1.0, 1e6, 1e-6])
    seen = rng.normal(size=(4000, 1)) * units
    missing = 0.05 * units
    shift = shifts_behind((0.0, np.inf), missing, seen.astype(F))
    np.testing.assert_allclose(shift / units, shift[0], rtol=1e-3)


def test_sums_of_the_most_results_of_the_greatest_size_are_exact():
    """As many as are ever looked at, all a hair below a power of two: the mean moves by what is missing."""
    count = biases._SEEN + biases._OF_ONE - 1
    for sign in (1, -1):
        seen = np.full((count, 1), np.nextafter(F(sign * 2), F(0)), F)
        shift = shifts_behind((-np.inf, np.inf), np.array([sign * 0.15]), seen)
        assert shift == pytest.approx([sign * 0.15], rel=1e-4)


TEXT = """<ir_version: 10, opset_import: ["" : 21]> g (float[N,3,9,9] x) => (float[N,4] y, float[N,5,9,9] z) {
    a = Conv<pads = [1,1,1,1]>(x, w1, b1) r = Relu(a) z = Conv(r, w2, b2)
    p = GlobalAveragePool(r) f = Flatten(p) y = Gemm(f, w3, b3) }"""


@pytest.fixture
def work():
    rng = np.random.default_rng(8)
    proto = onnx.parser.parse_model(TEXT)
    shapes = {"w1": (8, 3, 3, 3), "b1": (8,), "w2": (5, 8, 1, 1), "b2": (5,), "w3": (8, 4), "b3": (4,)}
    for name, shape in shapes.items():
        array = rng.normal(size=shape).astype(F)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    data = (rng.normal(size=(24, 3, 9, 9)) + 1).astype(F)
    made = Work(proto, data, RECIPES["int8"], [RULES["minmax"]], threads=1)
    for name in ("load", "measure shapes", "calibrate", "lower"):
        STAGES[name](made)
    return made


def test_means_in_float_are_those_of_numpy(work):
    products = products_of(work.floats, work.lowered)
    assert [(one.before, one.behind) for one in products] == [("a", "r"), ("z", "z"), ("y", "y")]
    assert [(one.low, one.high) for one in products] == [(0, np.inf), (-np.inf, np.inf), (-np.inf, np.inf)]
    feeds = work.calibration.kept.feeds
    found = mean_results(work.floats, products, feeds, 1)
    session = octavo.Session(work.model, threads=1)
    y, z = (np.concatenate(of) for of in zip(*(session.run(None, sample) for sample in feeds), strict=True))
    inside = octavo.Session(part(work.floats, work.floats.nodes, ["r"]), threads=1)
    r = np.concatenate([inside.run(None, sample)[0] for sample in feeds])
    np.testing.assert_allclose(found[0], r.mean(axis=(0, 2, 3), dtype=np.float64), atol=1e-6)
    np.testing.assert_allclose(found[1], z.mean(axis=(0, 2, 3), dtype=np.float64), atol=1e-6)
    np.testing.assert_allclose(found[2], y.mean(axis=0, dtype=np.float64), atol=1e-6)
    assert mean_results(work.floats, [], feeds, 1) == []


def channel_error(work, program, name):
    """How far the mean of each channel of an output is from that in float."""
    feeds, index = work.calibration.kept.feeds, program.outputs.index(name)
    means = []
    for of in (program, work.floats):
        session = octavo.Session(of, threads=1)
        made = np.concatenate([session.run(None, sample)[index] for sample in feeds])
        means.append(np.moveaxis(made, 1, 0).reshape(made.shape[1], -1).mean(axis=1, dtype=np.float64))
    return np.abs(means[0] - means[1])


def test_means_of_the_outputs_are_those_in_float(work):
    products = products_of(work.floats, work.lowered)
    wanted = mean_results(work.floats, products, work.calibration.kept.feeds, 1)
    walk = Walk(work.lowered.program, work.calibration.kept.feeds, 1)
    for one, means in zip(products, wanted, strict=True):
        walk.run_before(one.place)
        correct_bias(walk, one, means)
    for name in ("y", "z"):
        before = channel_error(work, work.lowered.program, name)
        after = channel_error(work, walk.program, name)
        assert after.max() < 1e-5
        assert before.max() > 1e-3


@pytest.mark.parametrize(
    "window",
    [
        'auto_pad = "SAME_UPPER", strides = [2,2]',
        'auto_pad = "SAME_LOWER", strides = [2,2]',
        "pads = [2,1,0,1], strides = [1,2], dilations = [2,1]",
    ],
)
def test_a_product_by_itself_has_its_windows(window):
    """Sizes are free, so that a plan pads, and those of these samples need an odd sum of pads."""
    rng = np.random.default_rng(3)
    proto = onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 21]> g (float[N,4,H,W] x) => (float[N,2,h,w] y) {{
        a = Conv<{window}>(x, w1) r = Relu(a) y = Conv(r, w2) }}"""
    )
    for name, shape in {"w1": (6, 4, 3, 3), "w2": (2, 6, 1, 1)}.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(rng.normal(size=shape).astype(F), name))
    data = (rng.normal(size=(24, 4, 6, 8)) + 1).astype(F)
    made = Work(proto, data, RECIPES["int8"], [RULES["minmax"]], threads=1)
    for name in ("load", "measure shapes", "calibrate", "lower"):
        STAGES[name](made)
    first = products_of(made.floats, made.lowered)[0]
    feeds = made.calibration.kept.feeds
    wanted = mean_results(made.floats, [first], feeds, 1)
    walk = Walk(made.lowered.program, feeds, 1)
    walk.run_before(first.place)
    correct_bias(walk, first, wanted[0])
    assert ("auto_pad" in first.node.attributes) == ("auto_pad" in window)
    errors = []
    for program in (made.lowered.program, walk.program):
        session, quant = (
            octavo.Session(part(program, program.nodes, ["r"]), threads=1),
            program.values["r"].quant,
        )
        results = np.concatenate([session.run(None, sample)[0] for sample in feeds]).astype(np.float64)
        means = quant.scale[0] * (results.mean(axis=(0, 2, 3)) - quant.zero_point[0])
        errors.append(np.abs(means - wanted[0]).max())
    assert errors[1] < errors[0] / 5


def test_a_bias_that_would_leave_the_bound_stays(work):
    products = products_of(work.floats, work.lowered)
    walk = Walk(work.lowered.program, work.calibration.kept.feeds, 1)
    one = replace(products[0], behind=products[0].before)
    walk.run_before(one.place)
    before = walk.program.constants[one.bias].copy()
    assert before.dtype == np.int32
    correct_bias(walk, one, np.full(8, 1e30))
    assert np.array_equal(walk.program.constants[one.bias], before)


def test_biases_as_nodes_take_them(work):
    program = work.lowered.program
    for one in products_of(work.floats, work.lowered):
        bias, unit = program.constants[one.bias], scale_of_sums(program, one.node)
        reals = bias_in_reals(program, one.node)
        np.testing.assert_allclose(reals, bias * (1 if bias.dtype == F else unit), rtol=1e-15)
        again = bias_of_reals(program, one.node, reals)
        assert (again.dtype, again.tolist()) == (bias.dtype, bias.tolist())
        more = bias_of_reals(program, one.node, reals + 3.4 * unit)
        np.testing.assert_allclose(more - bias, 3 if bias.dtype != F else 3.4 * unit, rtol=1e-3)


def test_products_name_their_activation_and_its_bounds():
    text = """<ir_version: 10, opset_import: ["" : 21]>
        g (float[N,4] x) => (float[N,4] y) <float low = {-1}, float six = {6}> {
        a = MatMul(x, w) c = Clip(a, low, six) b = MatMul(c, v) d = Clip(b, , six) y = MatMul(d, w) }"""
    proto = onnx.parser.parse_model(text)
    rng = np.random.default_rng(1)
    for name in ("w", "v"):
        array = rng.normal(size=(4, 4)).astype(F)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    made = Work(proto, rng.normal(size=(20, 4)).astype(F), RECIPES["int8"], [RULES["minmax"]], threads=1)
    for name in ("load", "calibrate", "lower"):
        STAGES[name](made)
    found = products_of(made.floats, made.lowered)
    bounds = {one.behind: (one.low, one.high, one.has_activation) for one in found}
    assert bounds.get("c", (-1, 6, True)) == (-1, 6, True)
    assert bounds["d"] == (-np.inf, 6, True)
    means = {"QConv": "channel_means", "QConvTranspose": "channel_means", "QGemm": "feature_means"}
    assert means == biases.MEANS
