"""Weights of float products made for samples: the columns that they meet, and whole networks."""

import itertools

import numpy as np
import octavo
import onnx
import onnx.parser
import pytest
from octavo import reference
from octavo.program import artifact
from octavo.quantization import stored
from octavo.quantization.columns import RealColumns, moments_of, real_columns_of
from octavo.quantization.loading import floats_of
from octavo.quantization.recipes import RECIPES
from octavo.quantization.stored import InHalves, InStorage, float_products, made_for
from octavo.rewrites import Storage, nearest_rows, rows_of

F = np.float32


def in_four_bits(weight, axis):
    return InStorage(Storage(4, 32).of(weight.size // weight.shape[axis]))


def test_moments_of_reals():
    rng = np.random.default_rng(3)
    elements = (rng.normal(size=(2, 2500, 6)) + 100).astype("f4")
    means, covariances = moments_of(RealColumns(elements), 1)
    for group in range(2):
        assert np.allclose(means[group], elements[group].astype("f8").mean(0), rtol=1e-9)
        assert np.allclose(covariances[group], np.cov(elements[group].T.astype("f8"), bias=True), atol=1e-5)
    again = moments_of(RealColumns(elements), 2)
    assert all(np.array_equal(one, two) for one, two in zip((means, covariances), again, strict=True))


NETWORK = """<ir_version: 10, opset_import: ["" : 21]>
    g (float[N,4,9,9] x) => (float[N,10] y) {
    [first] a = Conv<pads=[1,1,1,1]>(x, k, b) [relu] r = Relu(a)
    [dw] d = Conv<group=32, strides=[2,2], pads=[1,1,1,1]>(r, u, e)
    [point] p = Conv(d, v, c) [act] q = Relu(p) [pool] m = GlobalAveragePool(q) [flat] f = Flatten(m)
    [last] y = Gemm<transB=1>(f, w, h) }"""
SHAPES = {
    "k": (32, 4, 3, 3), "b": (32,), "u": (32, 1, 3, 3), "e": (32,), "v": (64, 32, 1, 1), "c": (64,),
    "w": (10, 64), "h": (10,),
}  # fmt: skip


@pytest.fixture(scope="module")
def network():
    rng = np.random.default_rng(7)
    model = onnx.parser.parse_model(NETWORK)
    for name, shape in SHAPES.items():
        array = (rng.normal(size=shape) / np.sqrt(max(1, np.prod(shape[1:])))).astype("f4")
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return model, rng.normal(size=(70, 4, 9, 9)).astype("f4")


def test_columns_of_floats_are_what_the_weights_meet(network):
    model, data = network
    floats, _, _ = floats_of(model)
    values = dict(zip(floats.outputs, reference.run(floats, {"x": data[:3]}), strict=True)) | {"x": data[:3]}
    products = {of.node.name: of for of in float_products(floats, frozenset())}
    assert list(products) == ["first", "dw", "point", "last"]
    assert [of.node.name for of in float_products(floats, frozenset({"dw"}))] == ["first", "point", "last"]
    for name in ("first", "dw", "point"):
        of = products[name]
        read, made = of.node.inputs[0], of.node.outputs[0]
        x, y = reference.run(floats, {"x": data[:3]}, [read, made])
        columns = real_columns_of(of.node, [x[n : n + 1] for n in range(3)], of.shape, 1000)
        weight = floats.constants[of.node.inputs[1]]
        rows = rows_of(weight, 0).reshape(of.groups, -1, of.length)
        found = rows.astype("f8") @ columns.elements.transpose(0, 2, 1)
        found = found.reshape(len(weight), -1) + floats.constants[of.node.inputs[2]][:, None]
        wanted = np.concatenate([one.reshape(len(weight), -1) for one in y], 1)
        assert np.allclose(found, wanted, atol=1e-5)
    assert values["x"].shape == (3, 4, 9, 9)


def error(model, quantized, x):
    (wanted,), (found,) = (
        octavo.Session(model).run(None, {"x": x}),
        octavo.Session(quantized).run(None, {"x": x}),
    )
    return float(np.square(found - wanted).mean() / np.square(wanted - wanted.mean(0)).mean())


@pytest.mark.parametrize(
    "recipe",
    [
        octavo.Recipe("weight-only"),
        octavo.Recipe("weight-only", 4, 32),
        octavo.Recipe("weight-only", 4, None, False),
        octavo.Recipe("weight-only", 3, 32),
        octavo.Recipe("weight-only", 2, 32),
        octavo.Recipe("weight-only", 4, shared=True),
        octavo.Recipe("weight-only", 3, shared=True, pruned=0.25),
        octavo.Recipe("weight-only", 8, shared=True, pruned=0.5),
        octavo.Recipe("float16"),
    ],
    ids=str,
)
def test_a_network_errs_much_less_with_weights_made_for_data(network, recipe):
    model, data = network
    calibration, others = data[:60], data[60:]
    nearest = octavo.quantize(model, recipe=recipe)
    made = octavo.quantize(model, calibration, recipe)
    assert error(model, made, others) < 0.7 * error(model, nearest, others)
    assert len(artifact.to_bytes(made.program)) <= len(artifact.to_bytes(nearest.program)) + 200
    told = [warning for warning in nearest.report.warnings if "rounded to nearest" in warning]
    assert len(told) == (recipe.bits < 8)
    assert not any("rounded to nearest" in warning for warning in made.report.warnings)
    assert made.report.samples == 60
    (wanted,) = reference.run(made.program, {"x": others})
    for isa in octavo.tiers():
        assert np.array_equal(octavo.Session(made, isa=isa).run(None, {"x": others})[0], wanted)


@pytest.mark.parametrize("options", [(3, 32), (3, None, None, True, 0.4)])
def test_neither_the_order_of_the_data_nor_the_machine_shows(network, monkeypatch, options):
    model, data = network
    recipe = octavo.Recipe("weight-only", *options)
    one, other = (
        octavo.quantize(model, given, recipe, threads=threads).program
        for given, threads in ((data[:40], 1), (data[:40][::-1], 2))
    )
    assert artifact.to_bytes(one) == artifact.to_bytes(other)
    for isa in octavo.tiers():
        monkeypatch.setenv("OCTAVO_ISA", isa)
        assert artifact.to_bytes(octavo.quantize(model, data[:40], recipe).program) == artifact.to_bytes(one)


def test_what_is_not_finite_leaves_weights_at_the_nearest(network):
    model, data = network
    floats, _, _ = floats_of(model)
    feeds = [{"x": data[n : n + 1].copy()} for n in range(40)]
    feeds[3]["x"][0, 0, 2, 2] = np.inf
    made = made_for(floats, in_four_bits, frozenset(), feeds, 1, fit=True)
    assert not made.rows
    assert not made.biases
    assert made.program.constants.keys() == floats.constants.keys()
    assert all(
        np.array_equal(made.program.constants[name], array) for name, array in floats.constants.items()
    )


def test_few_columns_leave_weights_at_the_nearest(network, monkeypatch):
    """The last layer has one column a sample; fewer than 32 say too little, whatever half of them says."""
    ever_more = itertools.count()
    monkeypatch.setattr(stored, "error_over", lambda *_: next(ever_more))
    model, data = network
    floats, _, _ = floats_of(model)
    feeds = [{"x": data[n : n + 1]} for n in range(20)]
    made = made_for(floats, in_four_bits, frozenset(), feeds, 1, fit=True).rows
    nearest = nearest_rows(rows_of(floats.constants["w"], 0), Storage(4, 32))
    assert np.array_equal(made["w", 0].integers, nearest.integers)
    assert not np.array_equal(
        made["v", 0].integers, nearest_rows(rows_of(floats.constants["v"], 0), Storage(4, 32)).integers
    )


def holds_halves(array):
    with np.errstate(over="ignore"):
        return np.array_equal(array, array.astype("f2").astype("f4"))


def test_constants_of_float16(network):
    """Weights become what it holds, but for those that it cannot hold; biases stay as they were made."""
    model, data = network
    constants = octavo.quantize(model, data[:40], "float16").program.constants
    assert [name for name in ("k", "u", "v", "w") if holds_halves(constants[name])] == ["k", "u", "v", "w"]
    assert not holds_halves(constants["c"])
    assert holds_halves(octavo.quantize(model, recipe="float16").program.constants["c"])
    great = onnx.ModelProto.FromString(model.SerializeToString())
    [point] = [tensor for tensor in great.graph.initializer if tensor.name == "v"]
    array = onnx.numpy_helper.to_array(point).copy()
    array[3, 5] = 1e5
    point.CopyFrom(onnx.numpy_helper.from_array(array, "v"))
    made = octavo.quantize(great, data[:40], "float16")
    assert np.array_equal(made.program.constants["v"], array)
    assert any("'v' stays float32: float16 cannot hold it" in warning for warning in made.report.warnings)
    # The nearest, where nothing can be made up for.
    rows = np.array([[0.1, -3.0421, 7e4]])
    alone = InHalves().made(rows[None], np.diag([3.0, 2.0, 1.0])[None], 1).dequantize()
    assert np.array_equal(alone, [[F(np.float16(0.1)), F(np.float16(-3.0421)), 65504]])


def test_efforts_of_float16(network):
    model, data = network
    fast, plain = (
        octavo.quantize(model, data[:40], "float16", effort="fast"),
        octavo.quantize(model, recipe="float16"),
    )
    assert artifact.to_bytes(fast.program) == artifact.to_bytes(plain.program)
    default, best = (
        octavo.quantize(model, data[:40], "float16", effort=effort) for effort in ("default", "best")
    )
    assert (default.report.is_fitted, best.report.is_fitted) == (False, True)
    assert artifact.to_bytes(best.program) != artifact.to_bytes(default.program)


def test_efforts(network):
    """`fast` rounds to nearest; at 8 bits `best` fits weights, below them `default` does."""
    model, data = network
    fast = octavo.quantize(model, data[:40], octavo.Recipe("weight-only", 4), effort="fast")
    plain = octavo.quantize(model, recipe=octavo.Recipe("weight-only", 4))
    assert artifact.to_bytes(fast.program) == artifact.to_bytes(plain.program)
    fitted = {
        (bits, effort): octavo.quantize(
            model, data[:40], octavo.Recipe("weight-only", bits), effort=effort
        ).report.is_fitted
        for bits in (8, 4)
        for effort in ("fast", "default", "best")
    }
    assert {key for key, is_fitted in fitted.items() if is_fitted} == {
        (8, "best"),
        (4, "default"),
        (4, "best"),
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("weight-only", 5), "bits is 5; there are 8, 4, 3, 2"),
        (("weight-only", True), "bits is True; there are"),
        (("weight-only", 4, 16), "group_size is 16; there are 32, 64, 128, and None for a whole row"),
        (("dynamic", 4), "not have the option bits, which is there for int8, int8-strict, weight-only"),
        (("int8", 8, 32), "group_size is 32, but weights of 8 bits that meet integers have one scale a row"),
        (("float16", 8, 32), "the recipe 'float16' does not have the option group_size"),
        (("weight-only", 4, 32, None, True), "leave out group_size and symmetric"),
        (("weight-only", 4, None, False, True), "leave out group_size and symmetric"),
        (("weight-only", 4, None, None, False, 0.5), "pruned weights need a codebook: give shared=True"),
        (("weight-only", 4, None, None, True, 1.0), "pruned is 1.0: it is the share of weights"),
        (("weight-only", 4, None, None, True, -0.1), "pruned is -0.1"),
        (("weight-only", 4, None, None, True, float("nan")), "pruned is nan"),
        (("int8", 8, None, None, True), "the recipe 'int8' does not have the option shared"),
        (("int7",), "no recipe is called 'int7'; there are int8, int8-strict, int16x8, dynamic"),
    ],
)
def test_options_that_are_not_there(arguments, says):
    with pytest.raises(octavo.ModelError, match=says):
        octavo.Recipe(*arguments)
    assert octavo.Recipe("weight-only") == RECIPES["weight-only"]
    assert (
        str(octavo.Recipe("weight-only", 4, 32, False)) == "weight-only bits=4 group_size=32 symmetric=False"
    )


MATRICES = """<ir_version: 10, opset_import: ["" : 21]> g (float[N,T,48] x) => (float[N,T,24] y) {
    [one] a = MatMul(x, w) [shift] b = Add(d, a) [act] c = Relu(b) [other] y = MatMul(c, v) }"""


@pytest.fixture
def matrices():
    rng = np.random.default_rng(12)
    model = onnx.parser.parse_model(MATRICES)
    for name, shape in {"w": (48, 64), "d": (64,), "v": (64, 24)}.items():
        array = (rng.normal(size=shape) / np.sqrt(shape[0])).astype("f4")
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return model, rng.normal(1.5, 1, size=(60, 9, 48)).astype("f4")


def test_biases_that_an_add_brings(matrices):
    """It takes up the mean error; where there is none, weights err so that it is little as well."""
    model, data = matrices
    floats, _, _ = floats_of(model)
    assert [of.bias for of in float_products(floats, frozenset())] == ["d", ""]
    feeds = [{"x": data[n : n + 1]} for n in range(40)]
    made = made_for(floats, in_four_bits, frozenset(), feeds, 1, fit=False)
    assert made.biases == ["d"]
    x = data[40:]
    (b, y), (found_b, found_y) = (reference.run(of, {"x": x}, ["b", "y"]) for of in (floats, made.program))
    spread = np.std(b - found_b, axis=(0, 1)).mean()
    assert np.abs((b - found_b).mean((0, 1))).mean() < 0.1 * spread
    # Around 0, not around the mean: the error is no larger where columns have much of a mean.
    nearest = nearest_rows(rows_of(floats.constants["v"], 1), Storage(4, 32)).dequantize().T
    (c,) = reference.run(made.program, {"x": x}, ["c"])
    assert np.square(found_y - y).mean() < 0.7 * np.square(c @ nearest - y).mean()


@pytest.mark.parametrize(
    "body", ["y = Add(a, d) z = Mul(d, s)", "y = Add(a, a) z = Mul(d, s)", "y = Add(a, m)"]
)
def test_what_is_no_bias(body):
    outputs = "(float[N,4] y, float[4] z)" if "z" in body else "(float[N,4] y)"
    text = f"""<ir_version: 10, opset_import: ["" : 21]> g (float[N,8] x) => {outputs} {{
        a = MatMul(x, w) {body} }}"""
    model = onnx.parser.parse_model(text)
    for name, shape in {"w": (8, 4), "d": (4,), "m": (1, 4), "s": (4,)}.items():
        array = np.random.default_rng(1).normal(size=shape).astype("f4")
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    floats, _, _ = floats_of(model)
    assert [of.bias for of in float_products(floats, frozenset()) if of.node.op == "MatMul"] in ([""], [])
