"""The recipe `int8-strict`: nothing in float, inputs and outputs in integers; all that cannot be is named."""

import numpy as np
import octavo
import onnx.parser
import pytest
from octavo import reference
from octavo.program import DTYPES

NETWORK = """<ir_version: 10, opset_import: ["" : 21]>
    g (float[N,3,16,16] x) => (float[N,12] y, int64[N,1] z, float[N,5] u) {
    [first] a = Conv<pads = [1,1,1,1]>(x, w1, b1) [norm] n = BatchNormalization(a, scale, bias, mean, var)
    [sloped] p = PRelu(n, slope) [few] c = Conv<group = 4, pads = [1,1,1,1]>(p, w2, b2) [sum] d = Add(p, c)
    [pool] e = MaxPool<kernel_shape = [2,2], strides = [2,2]>(d) [gate] s = Sigmoid(e) [swish] h = Mul(e, s)
    [mean] m = GlobalAveragePool(h) [flat] f = Flatten(m) [last] l = MatMul(f, w3)
    [probabilities] y = Softmax<axis = -1>(l) [best] z = ArgMax<axis = 1>(l)
    [slice] u = Slice(l, from, to, axes) }"""


def constants(rng):
    shapes = {"w1": (12, 3, 3, 3), "b1": (12,), "w2": (12, 3, 3, 3), "b2": (12,), "w3": (12, 12)}
    shapes |= {"scale": (12,), "bias": (12,), "mean": (12,), "slope": (12, 1, 1)}
    made = {name: (rng.normal(size=shape) / 3).astype("f4") for name, shape in shapes.items()}
    made["var"] = rng.uniform(0.5, 1.5, 12).astype("f4")
    return made | {"from": np.array([2]), "to": np.array([7]), "axes": np.array([1])}


def parsed(text, given):
    model = onnx.parser.parse_model(text)
    for name, array in given.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return model


@pytest.fixture(scope="module")
def network():
    return parsed(NETWORK, constants(np.random.default_rng(21)))


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(22)
    return (rng.normal(size=(40, 3, 16, 16)) * rng.uniform(0.5, 2, (40, 1, 1, 1))).astype("f4")


def integers_of(array, info):
    """As an input or output in integers says that it holds reals."""
    dtype = np.dtype(info.type.removeprefix("tensor(").removesuffix(")"))
    ends = np.iinfo(dtype)
    return np.clip(np.rint(array / np.float32(info.scale)) + info.zero_point, ends.min, ends.max).astype(
        dtype
    )


def reals_of(array, info):
    return array if info.scale is None else (array.astype("f4") - info.zero_point) * np.float32(info.scale)


@pytest.mark.parametrize("io", ["uint8", "int8"])
def test_no_float_is_in_the_program(network, images, io):
    model = octavo.quantize(network, images, "int8-strict", io=io)
    kinds = {
        DTYPES[model.program.values[name].dtype].kind for node in model.program.nodes for name in node.outputs
    }
    assert kinds <= {"u", "i"}
    read = {name for node in model.program.nodes for name in node.inputs if name}
    assert not any(
        model.program.constants[name].dtype.kind == "f" for name in read & set(model.program.constants)
    )
    assert model.report.stays == []
    session = octavo.Session(model)
    infos = [*session.get_inputs(), *session.get_outputs()]
    assert [info.type for info in infos] == [
        f"tensor({io})",
        f"tensor({io})",
        "tensor(int64)",
        f"tensor({io})",
    ]
    profile = session.profile({"x": integers_of(images[:2], infos[0])})
    assert not any("f32" in row.kernel for row in profile)


def test_answers_are_near_and_the_same_everywhere(network, images, tmp_path):
    """On each tier, at each batch: what the reference gives; and the same with either form of the ends."""
    floats, answers = octavo.Session(network).run(None, {"x": images}), []
    for io in ("uint8", "int8"):
        model = octavo.quantize(network, images[:32], "int8-strict", io=io)
        model.save(tmp_path / "model.octavo")
        (taken,) = octavo.Session(model).get_inputs()
        feeds = {"x": integers_of(images, taken)}
        expected = reference.run(model.program, feeds)
        for isa in octavo.tiers():
            session = octavo.Session(tmp_path / "model.octavo", isa=isa)
            for found, wanted in zip(session.run(None, feeds), expected, strict=True):
                assert found.dtype == wanted.dtype
                assert np.array_equal(found, wanted)
            alone = session.run(None, {"x": feeds["x"][3:4]})
            assert all(np.array_equal(one, wanted[3:4]) for one, wanted in zip(alone, expected, strict=True))
        answers.append([reals_of(*pair) for pair in zip(expected, session.get_outputs(), strict=True)])
    assert all(np.array_equal(one, other) for one, other in zip(*answers, strict=True))
    signal, noise = np.square(floats[0]).sum(), np.square(floats[0] - answers[0][0]).sum()
    assert 10 * np.log10(signal / noise) > 25
    assert np.mean(floats[1] == answers[0][1]) > 0.9


def test_ends_in_float_are_quantized_and_dequantized(network, images):
    model = octavo.quantize(network, images, "int8-strict")
    first, *inside = model.program.nodes
    ops = [node.op for node in inside]
    assert first.op == "Quantize"
    assert ops[-2:] == ["Dequantize"] * 2 or ops.count("Dequantize") == 2
    assert "Quantize" not in ops
    named = {info.name: info.type for info in octavo.Session(model).get_outputs()}
    assert named == {"y": "tensor(float)", "z": "tensor(int64)", "u": "tensor(float)"}


def test_a_calibrator_gives_the_same(network, images):
    whole = octavo.quantize(network, images, "int8-strict", io="uint8")
    calibrator = octavo.prepare(network, "int8-strict").observe(images[:13]).observe(images[13:])
    made = octavo.convert(calibrator, io="uint8")
    assert whole.program.nodes == made.program.nodes
    assert all(
        np.array_equal(whole.program.constants[name], array) for name, array in made.program.constants.items()
    )


def test_all_that_cannot_be_integers_is_one_error(images):
    text = """<ir_version: 10, opset_import: ["" : 21]>
        g (float[N,3,16,16] x) => (float[N,3,16,16] y, bool[N,3,16,16] z) {
        [edge] a = InstanceNormalization(x, s, b) [logs] c = LogSoftmax<axis = 1>(a)
        [floats] f = Cast<to = 1>(k) [near] z = Greater(c, f) [sum] y = Add(c, f) }"""
    given = {"s": np.ones(3, "f4"), "b": np.zeros(3, "f4")}
    model = parsed(text.replace("x) =>", "x, int64[N,3,16,16] k) =>"), given)
    feeds = [{"x": image[None], "k": np.ones((1, 3, 16, 16), np.int64)} for image in images]
    with pytest.raises(octavo.ModelError, match="4 ops cannot run in integers") as raised:
        octavo.quantize(model, feeds, "int8-strict")
    for said in (
        "InstanceNormalization 'edge': InstanceNormalization has no integer form",
        "LogSoftmax 'logs': LogSoftmax has no integer form",
        "Cast 'floats': it makes floats of what is none",
        "Greater 'near': it reads floats and gives something else",
    ):
        assert said in str(raised.value)
    with pytest.raises(octavo.ModelError, match=r"1 op cannot run in integers .*'first': excluded by"):
        octavo.quantize(
            parsed(NETWORK, constants(np.random.default_rng(1))), images, "int8-strict", exclude=["first"]
        )


def test_ranges_that_do_not_fit_are_named_too(images):
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[N,3,16,16] x) => (float[N,3,16,16] y) {
        [tiny] y = Div(x, k) }"""
    model = parsed(text, {"k": np.array([1, 1e-40, 1], "f4").reshape(3, 1, 1)})
    seen = images * np.array([1, 0, 1], "f4").reshape(3, 1, 1)
    with pytest.raises(octavo.ModelError, match=r"cannot run in integers \(Div 'tiny': it divides by a"):
        octavo.quantize(model, seen, "int8-strict")


def test_options_that_are_not_there(network, images):
    with pytest.raises(octavo.ModelError, match="io is 'int4'; there are float32, uint8, int8"):
        octavo.quantize(network, images, "int8-strict", io="int4")
    with pytest.raises(octavo.ModelError, match="recipe 'int8' takes and gives floats; int8-strict can"):
        octavo.quantize(network, images, "int8", io="uint8")


@pytest.mark.parametrize("recipe", ["int8", "int8-strict"])
def test_symmetric_activations(network, images, recipe):
    """A zero point of 128 and a step of the 127th of the greatest magnitude: int8 without a zero point."""
    model = octavo.quantize(network, images, octavo.Recipe(recipe, symmetric=True), effort="fast")
    program = model.program
    fixed = {name for node in program.nodes if node.op in ("QSoftmax", "Lookup") for name in node.outputs}
    zero_points = {
        int(value.quant.zero_point[0])
        for name, value in program.values.items()
        if value.dtype == "u8" and value.quant is not None and name not in fixed | set(program.constants)
    }
    assert zero_points == {128}
    quantized = next(node for node in model.program.nodes if node.op == "Quantize")
    assert quantized.attributes["zero_point"] == 128
    assert quantized.attributes["scale"] == np.float32(np.float64(np.abs(images).max()) * (255 / 127) / 255)


def test_compare_feeds_integers_with_floats(network, images):
    told = [
        octavo.compare(network, octavo.quantize(network, images[:30], "int8-strict", io=io), images[30:])
        for io in ("float32", "uint8", "int8")
    ]
    assert told[0].outputs[0].sqnr > 25
    assert told[1].outputs == told[2].outputs
    assert abs(told[1].outputs[0].sqnr - told[0].outputs[0].sqnr) < 3


def test_a_model_that_is_quantized_already(network, images, tmp_path):
    """Exported and read again, without data: integers alone, and the same answers."""
    model = octavo.quantize(network, images, "int8-strict")
    model.export_onnx(tmp_path / "model.onnx")
    again = octavo.quantize(tmp_path / "model.onnx", recipe="int8-strict", io="uint8")
    assert again.report.stays == []
    with pytest.raises(octavo.DataError, match="need data to measure by"):
        octavo.quantize(tmp_path / "model.onnx", min_sqnr=20)
    session, plain = octavo.Session(again), octavo.Session(model)
    (taken,) = session.get_inputs()
    assert taken.type == "tensor(uint8)"
    integers = np.random.default_rng(23).integers(0, 256, (9, 3, 16, 16), np.uint8)
    reals = np.float32(taken.scale) * (integers.astype(np.int64) - taken.zero_point).astype(np.float32)
    found, wanted = session.run(None, {"x": integers}), plain.run(None, {"x": reals})
    for one, other, info in zip(found, wanted, session.get_outputs(), strict=True):
        assert np.array_equal(reals_of(one, info), other)
