"""Each rule of preprocessing on networks made for it: where its bound lies, what it reads, what it says."""

import numpy as np
import onnx.parser
import pytest
from octavo import frontend
from octavo.lowering import evaluate, lower
from octavo.passes import simplify
from octavo.quantization.preprocessing import unlike_training
from octavo.quantization.scales import SCALES

UNIT, SIGNED, RAW, _ = SCALES
F = np.float32


def doubts(text, feeds, **constants):
    """What is said of a network, whose nodes are called by what they make, fed with these arrays for x."""
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {text}')
    for node in proto.graph.node:
        node.name = f"the {node.output[0]}"
    for name, array in constants.items():
        array = np.asarray(array, np.int64 if name in ("pads", "axes") else F)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    program = lower(simplify(frontend.load(proto), evaluate)).program
    return unlike_training(program, [x if isinstance(x, dict) else {"x": x} for x in feeds], 1)


def moved_by(deviations, count=4):
    """Rows that alternate about 0 by these deviations."""
    row = np.asarray(deviations, F)[None]
    return [row * F(1 - 2 * (index % 2)) for index in range(count)]


DENSE = "g (float[N,5] x) => (float[N,5] y) { a = Gemm<transB=1>(x, w, b) y = Relu(a) }"


@pytest.mark.parametrize(
    ("ratios", "says"),
    [
        ([1, 2, 21, 50, 60], 21),
        ([1, 2, 19, 50, 60], None),
        ([60, 21.5, 1, 22.5, 2], 22),
        ([-30, -40, -50, -60, -70], 50),
        ([0, 0, 0, 900, 900], None),
        ([0, 0, 300, -300, 300], 300),
    ],
)
def test_a_first_layer_that_hardly_moves_in_its_median_channel(ratios, says):
    """By the offset of its outputs from 0, in their own deviations; whatever its sign."""
    deviations = np.array([1, 2, 0.5, 4, 1])
    found = doubts(DENSE, moved_by(deviations), w=np.eye(5), b=deviations * ratios)
    if says is None:
        assert found == []
        return
    (doubt,) = found
    assert doubt == (
        f"Gemm 'the a', which reads the input, hardly changes with it (1/{says} of its bias): the model was "
        "trained on larger values; check the preprocessing"
    )


def test_what_the_bias_does_not_make_is_no_offset_of_the_bias():
    """Outputs far from 0 by the input's own mean; the bias is what counts where it is the smaller one."""
    shifted = [rows + F(100) for rows in moved_by([1] * 5)]
    assert doubts(DENSE, shifted, w=np.eye(5), b=np.full(5, 2)) == []
    (doubt,) = doubts(DENSE, shifted, w=np.eye(5), b=np.full(5, 50))
    assert "(1/50 of its bias)" in doubt
    assert doubts(DENSE, shifted, w=np.eye(5), b=np.full(5, -100)) == []


@pytest.mark.parametrize("turned", [0, 1])
def test_channels_of_no_weights_do_not_count(turned):
    """Their outputs never move. Five of nine are such: counted, they were the median."""
    weights = np.zeros((5, 9))
    weights[:4, 5:] = np.eye(4)
    weights[0, :5] = 1e-5
    text = f"g (float[N,5] x) => (float[N,9] y) {{ a = Gemm<transB={turned}>(x, w, b) y = Relu(a) }}"
    bias = np.array([90] * 5 + [1] * 4)
    w = weights.T if turned else weights
    assert doubts(text, moved_by([1] * 5), w=w, b=bias) == []
    (doubt,) = doubts(text, moved_by([1] * 5), w=w, b=np.array([1] * 5 + [90] * 4))
    assert "(1/90 of its bias)" in doubt


PLACES = {
    "a convolution": "a = Conv(x, w, b)",
    "after moves": "t = Transpose<perm=[0,1,3,2]>(x) p = Pad(t, pads) a = Conv(p, w, b)",
}


@pytest.mark.parametrize("place", PLACES)
def test_layers_that_read_the_input_perhaps_moved(place):
    text = f"g (float[N,1,4,4] x) => (float[N,3,h,v] y) {{ {PLACES[place]} y = Relu(a) }}"
    rng = np.random.default_rng(0)
    feeds = [rng.normal(size=(1, 1, 4, 4)).astype(F) for _ in range(4)]
    more = {"pads": [0, 0, 1, 1, 0, 0, 1, 1]} if "pads" in text else {}
    weights = np.ones((3, 1, 1, 1))
    (doubt,) = doubts(text, feeds, w=weights, b=[99, 99, 99], **more)
    assert doubt.startswith("Conv 'the a', which reads the input, hardly changes with it (1/")
    assert doubts(text, feeds, w=weights, b=[0, 0, 0], **more) == []


def clipped(*factors):
    """A chain of convolutions, each by its factor, each before a Clip to 0 and 6."""
    nodes, last = [], "x"
    for index in range(len(factors)):
        nodes.append(f"a{index} = Conv({last}, w{index}) c{index} = Clip(a{index}, low, high)")
        last = f"c{index}"
    text = f"g (float[N,1,10,10] x) => (float[N,1,10,10] y) {{ {' '.join(nodes)} y = Conv({last}, w) }}"
    weights = {f"w{index}": np.full((1, 1, 1, 1), factor) for index, factor in enumerate(factors)}
    return text, {**weights, "w": np.full((1, 1, 1, 1), 2), "low": 0, "high": 6}


def at(count, number):
    """A hundred elements, so many of which are the number, the others 1."""
    array = np.ones(100, F)
    array[:count] = number
    return array.reshape(1, 1, 10, 10)


@pytest.mark.parametrize(("count", "says"), [(20, None), (21, "21%"), (100, "100%")])
@pytest.mark.parametrize("number", [6, 7, 1000])
def test_more_than_a_fifth_at_the_bound(count, says, number):
    text, constants = clipped(1)
    found = doubts(text, [at(count, number)] * 4, **constants)
    assert found == ([] if says is None else [
        f"Clip 'the c0', near the input, stands at its bound of 6 in {says} of its outputs: the model was "
        "trained on smaller values; check the preprocessing"
    ])  # fmt: skip


def test_the_share_is_of_all_samples():
    text, constants = clipped(1)
    assert doubts(text, [at(60, 6), at(0, 6), at(0, 6)], **constants) == []
    assert "in 21% of" in doubts(text, [at(63, 6), at(0, 6), at(0, 6)], **constants)[0]
    assert doubts(text, [at(100, 5.999)] * 3, **constants) == []


@pytest.mark.parametrize("place", range(6))
def test_the_first_four_bounds_are_looked_at(place):
    """The one that stands at its bound most is named."""
    text, constants = clipped(*(30 if index == place else 1 for index in range(6)))
    found = doubts(text, [at(30, 0.1) / 2] * 3, **constants)
    assert [doubt.split("'")[1] for doubt in found] == ([f"the c{place}"] if place < 4 else [])


def test_samples_are_taken_from_all_that_there_are():
    text, constants = clipped(1)
    late = [at(0, 6)] * 32 + [at(100, 6)] * 32
    assert "in 50% of" in doubts(text, late, **constants)[0]
    first = [at(100, 6)] + [at(0, 6)] * 40
    assert doubts(text, first, **constants) == []


CLASSES = """g (float[N,1,16,16] x) => (float[N,4] y)
    { q = Conv<strides=[8,8]>(x, w) m = Max(q, level) f = Flatten(m) y = Gemm(f, eye) }"""
"""By the brightest quarter, where it is brighter than the level."""
QUARTERS = {"w": np.full((1, 1, 8, 8), 1 / 64), "eye": np.eye(4)}


def digits(count, scale, dark=0.0):
    """One quarter of each is bright, in the scale."""
    for index in range(count):
        picture = np.full((1, 1, 16, 16), dark, F)
        row, column = divmod(index % 4, 2)
        picture[..., 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = 1
        yield scale.from_pixels(picture)


def test_the_scale_in_which_a_classifier_answers_is_named():
    (doubt,) = doubts(CLASSES, [*digits(16, UNIT)], level=200, **QUARTERS)
    assert doubt == (
        "input 'x' looks like pixel / 255, but the model answers more surely on raw pixels of 0 to 255 (its "
        "top answer stands out by 1.73 deviations, here by 0.00): check what it was trained on (on the "
        "command line that is --range 0..255)"
    )
    assert doubts(CLASSES, [*digits(16, RAW)], level=200, **QUARTERS) == []


@pytest.mark.parametrize("end", ["Softmax", "LogSoftmax", "Identity"])
def test_scores_are_judged_before_a_softmax(end):
    text = CLASSES.replace("y = Gemm(f, eye)", f"z = Gemm(f, eye) y = {end}(z)")
    (doubt,) = doubts(text, [*digits(16, SIGNED)], level=200, **QUARTERS)
    assert "looks like pixel / 127.5 - 1, but" in doubt
    assert "stands out by 1.73 deviations, here by 0.00" in doubt


NO_CLASSIFIERS = {
    "fewer than 16 samples": (CLASSES, [*digits(15, UNIT)], QUARTERS),
    "several pictures a sample": (CLASSES, [np.repeat(x, 2, 0) for x in digits(16, UNIT)], QUARTERS),
    "no pictures of any scale": (CLASSES, [x * F(0.5) for x in digits(16, UNIT)], QUARTERS),
    "two classes": (
        CLASSES.replace("[N,4]", "[N,2]"), [*digits(16, UNIT)], {**QUARTERS, "eye": np.eye(4)[:, :2]},
    ),
    "no row of scores": (
        CLASSES.replace("[N,4]", "[N,1,4]").replace("y = ", "g = ").replace("}", "y = Unsqueeze(g, axes) }"),
        [*digits(16, UNIT)], {**QUARTERS, "axes": [1]},
    ),
    "another input": (
        CLASSES.replace("x)", "x, float[4] z)").replace("y = Gemm(f, eye)", "s = Add(f, z) y = Gemm(s, eye)"),
        [{"x": x, "z": np.zeros(4, F)} for x in digits(16, UNIT)], QUARTERS,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NO_CLASSIFIERS)
def test_what_no_scale_is_asked_of(case):
    text, feeds, constants = NO_CLASSIFIERS[case]
    assert doubts(text, feeds, level=200, **constants) == []


def test_three_classes_are_scores():
    eye = np.eye(4)[:, :3] - np.eye(4)[:, 3:]
    (doubt,) = doubts(
        CLASSES.replace("[N,4]", "[N,3]"), [*digits(16, UNIT)], level=200, **{**QUARTERS, "eye": eye}
    )
    assert "more surely on raw pixels" in doubt
