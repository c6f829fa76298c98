"""What counts for the rules about calibration data: which layers, bounds, pictures and answers do."""

from dataclasses import replace

import numpy as np
import octavo
import onnx.parser
import pytest
from octavo import frontend
from octavo.calibration import Calibration, Kept, Statistics
from octavo.errors import ModelError
from octavo.lowering import evaluate, lower
from octavo.passes import simplify
from octavo.program import Node, Program, Value
from octavo.quantization import preprocessing
from octavo.quantization.inputs import DOUBT_NEEDS, FEWEST, doubts
from octavo.quantization.preprocessing import unlike_training
from octavo.quantization.scales import SCALES, channel_axis, is_picture, scale_of
from octavo.quantization.scopes import excluded_nodes

F = np.float32
RNG = np.random.default_rng(8)


def values(**shapes):
    return {name: Value(name, "f32", shape) for name, shape in shapes.items()}


def program(text, **constants):
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {text}')
    for name, array in constants.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array, F), name))
    return lower(simplify(frontend.load(proto), evaluate)).program


def clipped(op, high, reader="Conv", inputs=3):
    """A Clip of what `op` gives, between 0 and `high`, that `reader` reads."""
    names = ("a", "low", "high")[:inputs]
    nodes = [Node(op, "maker", ("x",), ("a",)), Node("Clip", "clip", names, ("c",))]
    nodes.append(Node(reader, "reader", ("c",), ("y",)))
    constants = {"low": np.array(0, F), "high": np.array(high, F)}
    return Program(["x"], ["y"], values(x=None, a=None, c=None, y=None), constants, nodes)


@pytest.mark.parametrize(
    ("high", "counts"), [(3.9, False), (4.0, True), (4.1, True), (6.0, True), (999999.0, True), (1e6, False)]
)
def test_bounds_that_count(high, counts):
    found = preprocessing._bounded(clipped("Conv", high))
    assert [node.name for node in found] == ["clip"] * counts


@pytest.mark.parametrize("op", ["Conv", "Gemm", "BatchNormalization", "Add", "Relu"])
@pytest.mark.parametrize("reader", ["Conv", "Add", "Mul", "Div"])
def test_clips_that_count(op, reader):
    counts = op in ("Conv", "Gemm", "BatchNormalization") and reader not in ("Mul", "Div")
    assert bool(preprocessing._bounded(clipped(op, 6, reader))) == counts
    assert not preprocessing._bounded(clipped(op, 6, reader, inputs=2))
    fed = clipped(op, 6, reader)
    assert not preprocessing._bounded(replace(fed, constants={"low": fed.constants["low"]}))


def layer(op="Conv", bias=None, before=None, weight=None, **attributes):
    weight = np.ones((4, 2, 1, 1) if op == "Conv" else (2, 4), F) if weight is None else weight
    constants = {"w": weight} | ({} if bias is None else {"b": np.asarray(bias, F)})
    nodes = [] if before is None else [Node(before, "before", ("x",), ("m",))]
    source = "x" if before is None else "m"
    inputs = (source, "w") + (() if bias is None else ("b",))
    nodes.append(Node(op, "layer", inputs, ("y",), attributes))
    return Program(["x"], ["y"], {}, constants, nodes)


@pytest.mark.parametrize(
    ("made", "counts"),
    [
        (layer(bias=[1, 2, 3, 4]), True),
        (layer(bias=[0, 0, 0, 4]), True),
        (layer(bias=[0, 0, 0, 0]), False),
        (layer(), False),
        (layer("Gemm", bias=[1, 2, 3, 4]), True),
        (layer("Gemm", bias=[[1, 2, 3, 4]]), True),
        (layer("Gemm", bias=[[1], [2], [3], [4]]), False),
        (layer("Gemm", bias=1.0), False),
        (layer("MatMul", bias=[1, 2, 3, 4]), False),
        *((layer(bias=[1, 2, 3, 4], before=op), True) for op in preprocessing._MOVES),
        *((layer(bias=[1, 2, 3, 4], before=op), False) for op in ("Relu", "Mul", "MaxPool", "Conv")),
    ],
)
def test_first_layers(made, counts):
    assert [node.name for node in preprocessing._first_layers(made)] == ["layer"] * counts


def test_a_layer_of_weights_that_are_computed_is_none_of_the_first():
    made = layer(bias=[1, 2, 3, 4])
    for name in "wb":
        left = {key: array for key, array in made.constants.items() if key != name}
        assert preprocessing._first_layers(replace(made, constants=left)) == []


@pytest.mark.parametrize(
    ("op", "attributes", "axis"), [("Conv", {}, 0), ("Gemm", {"transB": 0}, 1), ("Gemm", {"transB": 1}, 0)]
)
def test_channels_that_are_alive(op, attributes, axis):
    """More than a ten thousandth of the most; square weights, so that a mistaken axis shows."""
    sums = np.array([1.0, 1.01e-4, 0.99e-4, 0.5])
    weight = np.zeros((4, 4) + ((1, 1) if op == "Conv" else ()), F)
    np.moveaxis(weight, axis, 0)[:, 0] = sums.reshape(-1, *[1] * (weight.ndim - 2))
    made = layer(op, [1, 2, 3, 4], weight=weight, **attributes)
    assert preprocessing._live_channels(made, made.nodes[0]).tolist() == [True, True, False, True]


@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize(("size", "says"), [(1.0, False), (1 / 16, False), (1 / 30, True)])
def test_a_layer_that_hardly_moves(turned, size, says):
    """Its bias is 20 times what its outputs deviate by: of inputs of +-size through the identity."""
    weight = np.eye(4, dtype=F)
    text = f"g (float[N,4] x) => (float[N,4] y) {{ a = Gemm<transB={turned}>(x, w, b) y = Relu(a) }}"
    made = program(text, w=weight, b=np.full(4, 1.0))
    feeds = [{"x": np.full((1, 4), size * sign, F)} for sign in (1, -1) * 4]
    found = unlike_training(made, feeds, 1)
    assert len(found) == says
    if says:
        assert f"(1/{1 / size:.0f} of its bias)" in found[0]
    assert unlike_training(made, feeds[:1], 1) == []  # one sample deviates by nothing


@pytest.mark.parametrize(("share", "says"), [(0.2, False), (0.25, True), (1.0, True)])
def test_a_clip_that_is_at_its_bound_too_often(share, says):
    text = (
        """g (float[N,1,1,20] x) => (float y) { a = Conv(x, w, b) c = Clip(a, low, high) y = Conv(c, w) }"""
    )
    made = program(text, w=np.ones((1, 1, 1, 1)), b=np.zeros(1), low=0, high=6)
    row = np.where(np.arange(20) < share * 20, 6.0, 5.9).astype(F).reshape(1, 1, 1, 20)
    found = unlike_training(made, [{"x": row}] * 4, 1)
    assert len(found) == says
    if says:
        assert f"stands at its bound of 6 in {share:.0%} of its outputs" in found[0]


@pytest.mark.parametrize(
    ("shape", "dtype", "end", "found"),
    [
        (("N", 3), "f32", None, "y"),
        (("N", 2), "f32", None, None),
        (("N", 1000), "f32", None, "y"),
        (("N", "C"), "f32", None, None),
        (("N", 3, 1), "f32", None, None),
        (None, "f32", None, None),
        (("N", 3), "f16", None, None),
        (("N", 3), "f32", "Softmax", "a"),
        (("N", 3), "f32", "LogSoftmax", "a"),
        (("N", 3), "f32", "Identity", "a"),
        (("N", 3), "f32", "Sigmoid", "y"),
        (("N", 3), "f32", "LogSoftmax Identity", "a"),
        (("N", 3), "f32", "Identity Softmax Identity", "a"),
        (("N", 3), "f32", "Sigmoid Identity Softmax", "b0"),
    ],
)
def test_the_scores_of_a_classifier(shape, dtype, end, found):
    ends = end.split() if end else []
    names = ["x", "a", *(f"b{place}" for place in range(len(ends) - 1)), "y"] if ends else ["x", "y"]
    nodes = [
        Node(op, f"n{place}", (names[place],), (names[place + 1],))
        for place, op in enumerate(["Gemm", *ends])
    ]
    made = Program(["x"], ["y"], {name: Value(name, dtype, shape) for name in names}, {}, nodes)
    assert preprocessing._logits(made) == found


@pytest.mark.parametrize(
    ("shape", "dtype", "is_one"),
    [
        ((1, 3, 16, 16), F, True),
        ((1, 1, 16, 20), F, True),
        ((1, 16, 20, 3), F, True),
        ((1, 16, 20, 1), F, True),
        ((1, 3, 15, 16), F, False),
        ((1, 3, 16, 15), F, False),
        ((1, 15, 16, 3), F, False),
        ((1, 2, 16, 16), F, False),
        ((1, 4, 16, 16), F, False),
        ((1, 16, 16, 2), F, False),
        ((1, 3, 16, 16), np.uint8, False),
        ((3, 16, 16), F, False),
        ((1, 3, 16, 16, 1), F, False),
    ],
)
def test_what_is_a_picture(shape, dtype, is_one):
    array = np.zeros(shape, dtype)
    assert is_picture(array) == is_one
    if is_one:
        assert shape[channel_axis(array)] in (1, 3)


def test_a_picture_is_the_only_input_and_alone_in_its_batch():
    made = Program(["x"], [], {}, {}, [])
    one = np.zeros((1, 3, 16, 16), F)
    assert preprocessing._picture(made, [{"x": one}] * 2) == "x"
    assert preprocessing._picture(made, [{"x": one}, {"x": np.concatenate([one, one])}]) is None
    assert preprocessing._picture(replace(made, inputs=["x", "z"]), [{"x": one, "z": one}]) is None


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.name)
def test_how_far_pixels_may_leave_a_scale(scale):
    """A hundredth at either end; nine tenths of it must be filled."""

    def of(low, high):
        ramp = np.linspace(low, high, 300, dtype=F).reshape(1, 1, 15, 20)
        return scale_of([scale.from_pixels(np.repeat(ramp, 3, 1))]) is scale

    assert of(0, 1)
    assert of(-0.009, 1.009)
    assert of(0, 0.91) or scale is SCALES[0]
    assert not of(-0.02, 1)
    assert not of(0, 1.02)
    assert not of(0, 0.89)
    grey = np.zeros((1, 1, 16, 16), F)
    assert scale.fits(grey) == (len(scale.black) == 1)
    assert scale.fits(np.zeros((1, 3, 16, 16), F))
    assert scale.fits(np.zeros((1, 16, 16, 3), F))


DIFFERENT = ({"x": np.zeros(2, F)}, {"x": np.ones(2, F)})


def calibration(count, feeds_kept=DIFFERENT, **observed):
    """As if samples had shown so many elements of each value, from a least to a greatest."""
    shapes = {name: (elements,) for name, (_, _, elements) in observed.items()}
    program = Program(list(observed), list(observed), values(**shapes), {}, [])
    statistics = Statistics(list(observed), DOUBT_NEEDS)
    feeds = {
        name: np.linspace(low, high, elements, dtype=F) for name, (low, high, elements) in observed.items()
    }
    octavo.Session(program, threads=1).observe(feeds, statistics)
    kept = Kept()
    assert len(list(kept.watch(feeds_kept))) == len(feeds_kept)
    kept.seen = count
    return Calibration((statistics, Statistics(list(observed), DOUBT_NEEDS)), kept)


@pytest.mark.parametrize(
    ("shapes", "few"),
    [
        ({"x": ("N", 3)}, 31),
        ({"x": (1, 3)}, 31),
        ({"x": (16, 3)}, 1),
        ({"x": ("N", 3), "z": (2, 3)}, 15),
        ({"x": ()}, 31),
    ],
)
def test_samples_are_counted_by_the_largest_batch_that_is_fixed(shapes, few):
    made = Program(list(shapes), ["x"], values(**shapes), {}, [])
    wide = {name: (0.0, 1.0, 99) for name in shapes}
    (says,) = doubts(made, calibration(few, **wide), 1)
    assert says.startswith("one sample only" if few == 1 else f"{few} samples only")
    assert doubts(made, calibration(few + 1, **wide), 1) == []
    assert FEWEST == 32


@pytest.mark.parametrize(
    ("low", "high", "elements", "says"),
    [
        (0.5, 0.5, 80, True),
        (0.5, 0.5, 41, True),
        (0.5, 0.5, 40, False),
        (0.5, 0.5, 39, False),
        (0.5, 0.75, 80, False),
        (0.0, 0.0, 80, True),
    ],
)
def test_inputs_of_one_number_a_sample_may_be_constant(low, high, elements, says):
    made = Program(["x"], ["x"], values(x=("N", 2)), {}, [])
    found = doubts(made, calibration(40, x=(low, high, elements)), 1)
    assert found == ([f"input 'x' is {low:g} throughout: give typical values"] if says else [])


def test_samples_that_differ_in_one_input_or_one_place_are_not_the_same():
    made = Program(["x", "z"], ["x"], values(x=(2,), z=(2,)), {}, [])
    wide = {"x": (0.0, 1.0, 99), "z": (0.0, 1.0, 99)}
    base = {"x": np.zeros(2, F), "z": np.zeros(2, F)}
    for other, same in ((base, True), (base | {"z": F([0, 1])}, False), (base | {"x": F([1, 0])}, False)):
        for feeds in ([base, base, other], [base, other, base]):
            found = doubts(made, calibration(40, feeds, **wide), 1)
            assert found == ["the samples are all the same: give a hundred or so that differ"] * same
    assert doubts(made, calibration(40, [base], **wide), 1) == []


INPUTS = """g (int64[N,2] i, float[N,4] x, float[N,4] z) => (float[N,3] y)
    { j = Cast<to=1>(i) s = ReduceSum<keepdims=1>(j, axes) a = Mul(x, s) b = MatMul(a, w) c = MatMul(z, w)
      y = Add(b, c) }"""


def test_the_report_has_the_float_inputs_in_the_models_order():
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {INPUTS}')
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((4, 3), F), "w"))
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1]), "axes"))
    data = {
        "z": RNG.normal(size=(12, 4)).astype(F), "x": 5 + RNG.random((12, 4)).astype(F),
        "i": RNG.integers(1, 3, (12, 2)),
    }  # fmt: skip
    report = octavo.quantize(proto, data).report
    assert [seen.name for seen in report.inputs] == ["x", "z"]
    for seen in report.inputs:
        assert (seen.minimum, seen.maximum) == (data[seen.name].min(), data[seen.name].max())


def test_exclusions_of_another_type():
    made = Program([], [], {}, {}, [Node("Relu", name, (), ()) for name in ("a", "[b]", "b", "ab")])
    with pytest.raises(TypeError, match="exclude is of type int: give a list of names or patterns"):
        excluded_nodes(made, 3, {})
    with pytest.raises(TypeError, match="exclude holds an object of type NoneType: give names or patterns"):
        excluded_nodes(made, ["a", None], {})
    assert excluded_nodes(made, ["[ab]"], {}) == {"a", "b"}
    assert excluded_nodes(made, ["[!a]"], {}) == {"b"}
    assert excluded_nodes(made, ["?b"], {}) == {"ab"}
    assert excluded_nodes(made, ["[b]"], {}) == {"[b]", "b"}
    with pytest.raises(ModelError, match="called 'c'"):
        excluded_nodes(made, ["*", "c"], {})


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ({"strict": 1}, "strict is of type int: it must be True or False"),
        ({"strict": None}, "strict is of type NoneType"),
        ({"per_channel": 1}, "per_channel is of type int: it must be True or False"),
        ({"per_channel": "no"}, "per_channel is of type str"),
        ({"progress": 3}, "progress is of type int: give a function of the number of samples"),
    ],
)
def test_arguments_of_another_type(argument, says, model, digits):
    with pytest.raises(TypeError, match=says):
        octavo.quantize(model, digits[:2], **argument)


def test_a_large_input_with_a_small_bias_is_none_that_hardly_moves():
    """What was learned beside larger values has a bias of their size."""
    text = "g (float[N,4] x) => (float[N,4] y) { a = Gemm(x, w, b) y = Relu(a) }"
    feeds = [{"x": np.full((1, 4), 300 + sign, F)} for sign in (1, -1) * 4]
    for bias, count in ((0.1, 0), (19.0, 0), (21.0, 1), (300.0, 1)):
        made = program(text, w=np.eye(4), b=np.full(4, bias))
        assert len(unlike_training(made, feeds, 1)) == count, bias


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((1, 3, 20, 1), 1), ((1, 1, 20, 3), 1), ((1, 3, 20, 3), 1), ((1, 20, 1, 3), 3), ((1, 20, 3, 1), 3)],
)
def test_channels_stand_second_where_both_could_be(shape, axis):
    assert channel_axis(np.zeros(shape, F)) == axis
