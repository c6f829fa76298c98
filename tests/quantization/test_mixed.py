"""Models of which some ops compute on int16 and the others on uint8."""

import numpy as np
import octavo
import onnx.parser
import pytest
from octavo import ModelError, Override, reference
from octavo.program import artifact

NETWORK = """<ir_version: 10, opset_import: ["" : 21]> g (float[N,3,12,12] x) => (float[N,7] y) {
    [first] a0 = Conv<pads = [1,1,1,1]>(x, w0) [clip] a = Relu(a0)
    [branch] b0 = Conv(a, w1) [swish] b = HardSwish(b0)
    [each] c0 = Conv<pads = [1,1,1,1], group = 16>(b, w2) [clip2] c = Relu(c0)
    [back] d = Conv(c, w3) [sum] e = Add(d, a) [pool] f = MaxPool<kernel_shape = [2,2], strides = [2,2]>(e)
    [side] h = Conv<strides = [2,2]>(a, w4) [joined] g = Concat<axis = 1>(f, h)
    [mean] j = GlobalAveragePool(g) [flat] k = Flatten(j) [last] y = Gemm(k, w5) }"""
SHAPES = {
    "w0": (16, 3, 3, 3),
    "w1": (16, 16, 1, 1),
    "w2": (16, 1, 3, 3),
    "w3": (16, 16, 1, 1),
    "w4": (8, 16, 1, 1),
    "w5": (24, 7),
}
NODES = ("first", "branch", "swish", "each", "back", "sum", "pool", "joined", "side", "mean", "last")


@pytest.fixture(scope="module")
def network():
    rng, model = np.random.default_rng(7), onnx.parser.parse_model(NETWORK)
    for name, shape in SHAPES.items():
        array = (rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return model


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(8).normal(size=(48, 3, 12, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def made(network, images):
    def make(*names, recipe="int8", to="int16x8", **options):
        overrides = [Override(node=name, recipe=to) for name in names]
        return octavo.quantize(network, images, recipe, overrides=overrides, **{"effort": "fast"} | options)

    return make


def noise(network, model, images):
    """The error's share of the answers, in dB below them."""
    wanted, found = (octavo.Session(of).run(None, {"x": images})[0] for of in (network, model))
    return 10 * np.log10(np.square(wanted.astype("f8")).sum() / np.square(found - wanted.astype("f8")).sum())


def dtypes(model):
    """By the node's name, what it reads and what it gives."""
    values = model.program.values
    return {
        node.name: (values[node.inputs[0]].dtype, values[node.outputs[0]].dtype)
        for node in model.program.nodes
    }


@pytest.mark.parametrize("count", [1, 2, 4, len(NODES)])
@pytest.mark.parametrize("seed", range(6))
def test_any_mix_gives_the_same_bits_everywhere(made, images, count, seed):
    """Of the reference and every tier, out of an artifact."""
    names = np.random.default_rng([seed, count]).choice(NODES, count, replace=False)
    model = made(*names)
    assert not model.report.stays
    (wanted,) = reference.run(model.program, {"x": images[:3]})
    for isa in octavo.tiers():
        for threads in (1, 2):
            session = octavo.Session(artifact.from_bytes(model.to_bytes()), threads=threads, isa=isa)
            assert np.array_equal(session.run(None, {"x": images[:3]})[0], wanted)


def test_one_product_reads_int16_and_its_neighbours_do_not(made):
    """What gives its input writes int16 from sums of bytes; it writes bytes itself."""
    plain, mixed = dtypes(made()), dtypes(made("back"))
    assert (mixed["each"], mixed["back"]) == (("u8", "i16"), ("i16", "u8"))
    assert mixed.pop("sum") == ("u8", "u8")  # which a product on bytes would do as well
    others = mixed.keys() - {"each", "back"}
    assert {name: mixed[name] for name in others} == {name: plain[name] for name in others}


def test_a_reader_on_bytes_takes_int16_narrowed(made):
    """Once for all of them, at the scale that bytes would have had."""
    plain, mixed = made(), made("sum")
    assert dtypes(mixed)["sum"] == ("i16", "i16")
    narrowed = [node for node in mixed.program.nodes if node.op == "Requantize"]
    (of_a,) = [node for node in narrowed if node.inputs == ("a",)]
    readers = {node.name for node in mixed.program.nodes if of_a.outputs[0] in node.inputs}
    assert readers == {"branch", "side"}
    quant = mixed.program.values[of_a.outputs[0]].quant
    assert quant.scale == plain.program.values["a"].quant.scale


def test_all_ops_by_name_are_the_other_recipe(made, network, images):
    """Bit by bit where the ranges are the same, and the other way round."""
    wide = octavo.quantize(network, images, "int16x8", effort="fast")
    answers = octavo.Session(wide).run(None, {"x": images})[0]
    assert np.array_equal(octavo.Session(made("*")).run(None, {"x": images})[0], answers)
    narrow = octavo.Session(made(range_rule="minmax", per_channel=True)).run(None, {"x": images})[0]
    back = made("*", recipe="int16x8", to="int8")
    assert np.array_equal(octavo.Session(back).run(None, {"x": images})[0], narrow)


def test_ops_on_int16_bring_the_answers_nearer(made, network, images):
    plain, most, every = (
        noise(network, made(*names), images) for names in ((), (*NODES[:-3], "clip", "clip2"), ("*",))
    )
    assert plain < most < every
    assert plain + 1 < every


def test_what_has_no_form_on_int16_stays_float_and_says_so(images):
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[N,6] x) => (float[N,6,6] y) {
        [left] a = MatMul(x, w) s = Constant<value_ints = [0, 6, 1]>() [wide] b = Reshape(a, s)
        t = Constant<value_ints = [0, 1, 6]>() [high] c = Reshape(a, t) [both] d = MatMul(b, c)
        [last] y = MatMul(d, v) }"""
    model = onnx.parser.parse_model(text)
    for name in "wv":
        array = np.random.default_rng(3).normal(size=(6, 6)).astype("f4")
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    data = np.random.default_rng(4).normal(size=(40, 6)).astype("f4")
    override = Override(node="both", recipe="int16x8")
    made = octavo.quantize(model, data, overrides=[override], effort="fast")
    reasons = {stay.name: stay.reason for stay in made.report.stays}
    assert reasons["both"] == "MatMul has no integer form for activations of int16"
    assert not reasons.keys() & {"left", "last"}


@pytest.mark.parametrize("recipe", ["int8-strict", "dynamic", "weight-only", "float16"])
def test_recipes_of_whole_models(network, images, recipe):
    override = Override(node="sum", recipe="int16x8")
    with pytest.raises(
        ModelError, match=f"recipe '{recipe}' is of whole models; int8 and int16x8 can be mixed"
    ):
        octavo.quantize(network, images, recipe, overrides=[override])


def test_the_last_override_holds(network, images):
    said = [
        Override(node="*", recipe="int16x8"),
        Override(op="Conv", keep="float"),
        Override(node="back", recipe="int8"),
    ]
    model = octavo.quantize(network, images, overrides=said, effort="fast")
    chosen = {stay.name for stay in model.report.stays if stay.reason == "excluded by choice"}
    assert chosen == {"first", "branch", "each", "side"}
    assert dtypes(model)["back"][0] == "u8"
    assert dtypes(model)["last"][0] == "i16"


def test_remedies_can_be_tried_on_a_mixed_model(network, images, made):
    """Compare makes the same model again from its forms."""
    for names in (("sum", "branch"), ("back",), ("joined", "last"), ("mean",)):
        found = octavo.compare(network, made(*names, effort="default"), images[:16])
        assert any(layer.cause is not None for layer in found.layers)
